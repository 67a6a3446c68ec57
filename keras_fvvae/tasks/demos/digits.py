"""The whole way on handwritten digits: train end to end, encode, classify, compare, export, check, report."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from keras_fvvae.data import load_digits
from keras_fvvae.reporting.report import write_report
from keras_fvvae.runs.results import RunResults
from keras_fvvae.tasks.demos.settings import DemoSettings, export_and_check
from keras_fvvae.zoo import load_classifier

# Test images whose served scores are compared with Keras's.
CHECKED = 100


@dataclasses.dataclass(frozen=True)
class DigitsDemoResult:
    """What the demo made of the digits.

    Attributes:
        results: of FV-VAE, FV-VAE minus and AVE, as a run has them.
        saved_model: the exported version folder.
        difference: largest difference between the scores of Keras and of the SavedModel in a fresh process.
        report: the HTML report.
    """

    results: RunResults
    saved_model: Path
    difference: float
    report: Path


def digits_demo(out: str | os.PathLike, settings: DemoSettings) -> DigitsDemoResult:
    """Trains `digits_conv` from scratch and does everything that one does with a trained FV-VAE.

    1. Backbone and FV-VAE are trained end to end; Fisher vectors, SVM; accuracy beside that of average pooling (AVE).
    2. FV-VAE minus (no classification loss) on the same backbone, frozen.
    3. The classifier is exported as a SavedModel, loaded in a fresh process without this library, and must give the
       same scores.
    4. A report with figures.

    Args:
        out: folder to write.
        settings: how it trains.

    Returns:
        A `DigitsDemoResult`.

    Raises:
        RunError: if the folder cannot be used, or the exported scores differ.
    """
    out = Path(out)
    recipe, digits = settings.recipe("digits_conv"), load_digits()
    full = settings.train(recipe, digits, out / "fv_vae")
    classifier = load_classifier(full.path)

    # The same backbone, now frozen: its activations are inputs as any others.
    minus = settings.train(
        recipe.replace(lambda3=0.0, trainable_from=None),
        digits,
        out / "fv_vae_minus",
        backbone=classifier.encoder.backbone,
        cache=out / "activations",
    )
    checked = digits.subset(digits.indices("test")[:CHECKED])
    saved_model, difference = export_and_check(classifier, recipe, out / "export", checked)
    report = write_report([full.path, minus.path], out / "report.html", digits)
    results = dataclasses.replace(full.results, metrics={**minus.results.metrics, **full.results.metrics})
    return DigitsDemoResult(results, saved_model, difference, report)
