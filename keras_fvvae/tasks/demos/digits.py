"""The whole way on handwritten digits: train end to end, encode, classify, compare, export, check, report."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data import load_digits
from keras_fvvae.export import export_saved_model
from keras_fvvae.recipes import load_recipe
from keras_fvvae.reporting.report import write_report
from keras_fvvae.runs.results import RunResults
from keras_fvvae.tasks.verify import require_same_scores
from keras_fvvae.training.train import train
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


def digits_demo(
    out: str | os.PathLike,
    steps: int | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    verbose: int = 1,
) -> DigitsDemoResult:
    """Trains `digits_conv` from scratch and does everything that one does with a trained FV-VAE.

    1. Backbone and FV-VAE are trained end to end; Fisher vectors, SVM; accuracy beside that of average pooling (AVE).
    2. FV-VAE minus (no classification loss) on the same backbone, frozen.
    3. The classifier is exported as a SavedModel, loaded in a fresh process without this library, and must give the
       same scores.
    4. A report with figures.

    Args:
        out: folder to write; a finished part is not computed again.
        steps: training steps instead of the recipe's.
        seed: instead of the recipe's. Same seed, same machine: same numbers.
        overwrite: whether to start anew.
        verbose: 1 for progress bars.

    Returns:
        A `DigitsDemoResult`.

    Raises:
        RunError: if the folder cannot be used, or the exported scores differ.
    """
    out = Path(out)
    changes = {key: value for key, value in (("steps", steps), ("seed", seed)) if value is not None}
    recipe = load_recipe("digits_conv", **changes)
    digits = load_digits()
    full = train(recipe, digits, out / "fv_vae", overwrite=overwrite, verbose=verbose)
    assert full is not None  # only workers other than the chief get none
    classifier = load_classifier(full.path)

    # The same backbone, now frozen: its activations are inputs as any others.
    minus_recipe = recipe.replace(lambda3=0.0, trainable_from=None)
    minus = train(
        minus_recipe,
        digits,
        out / "fv_vae_minus",
        backbone=classifier.encoder.backbone,
        cache=out / "activations",
        overwrite=overwrite,
        verbose=verbose,
    )
    assert minus is not None
    saved_model = export_saved_model(classifier, out / "export", recipe_views(recipe))
    checked = digits.subset(digits.indices("test")[:CHECKED])
    difference = require_same_scores(saved_model, classifier, checked)
    report = write_report([full.path, minus.path], out / "report.html", digits)
    results = dataclasses.replace(full.results, metrics={**minus.results.metrics, **full.results.metrics})
    return DigitsDemoResult(results, saved_model, difference, report)
