"""The whole way on textiles with small defects: what average pooling does not find, and where FV-VAE looks."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.backbones.lite_packages import LITE, are_weights_installed, weights_package
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data import Collection, load_textiles, paste_defect
from keras_fvvae.data.datasets.textiles import PACKAGE
from keras_fvvae.data.views import read_image, read_resized
from keras_fvvae.evaluation.evaluate import plain_metrics
from keras_fvvae.evaluation.fusion import late_fusion
from keras_fvvae.explanations.file_explanation import explain_frames
from keras_fvvae.explanations.places import inside
from keras_fvvae.models import Classifier
from keras_fvvae.recipes import Recipe
from keras_fvvae.reporting.report import write_report
from keras_fvvae.runs.results import RunResults
from keras_fvvae.tasks.demos.settings import DemoSettings, export_and_check
from keras_fvvae.tasks.explain import explain
from keras_fvvae.zoo import load_classifier

ENTRY = "textiles_lite2"
DEFECT = "local"
# Of the data set's 2,000: half are for training, as in the whole.
IMAGES = 600
# Nominal test images that get a defect of known place.
PLACED = 24
# Test images with a local defect whose heat maps are drawn, and whose scores are compared with the SavedModel's.
DRAWN, CHECKED = 6, 20


@dataclasses.dataclass(frozen=True)
class Places:
    """Whether heat maps point at defects of known place, made-up ones on images without any.

    Attributes:
        images: how many.
        found: share of those that are classified as having a local defect.
        pointed: share of those whose largest contribution to that class's score lies within the defect's place.
        share: mean share of the positive contributions that lies within the defect's place.
        area: the share of the image that the place takes: what contributions without a place would have there.
    """

    images: int
    found: float
    pointed: float
    share: float
    area: float


@dataclasses.dataclass(frozen=True)
class TextileDemoResult:
    """What the demo made of the textiles.

    Attributes:
        results: of FV-VAE and AVE, as a run has them.
        fused: metrics of the mean of both methods' scores, as from `plain_metrics`.
        places: of the heat maps.
        heat_maps: the folder of those that were drawn.
        saved_model: the exported version folder.
        difference: largest difference between the scores of Keras and of the SavedModel in a fresh process.
        report: the HTML report.
    """

    results: RunResults
    fused: dict[str, Any]
    places: Places
    heat_maps: Path
    saved_model: Path
    difference: float
    report: Path


def missing_packages() -> list[str]:
    """Names of the packages that this part needs and that are not installed."""
    pictures = importlib.util.find_spec(PACKAGE) is not None
    there = {PACKAGE.replace("_", "-"): pictures, weights_package(LITE): are_weights_installed(LITE)}
    return [name for name, is_there in there.items() if not is_there]


def textile_demo(out: str | os.PathLike, settings: DemoSettings) -> TextileDemoResult:
    """Trains `textiles_lite2` on 300 textiles, compares it with average pooling, and asks where it looks.

    1. FV-VAE on the activations of the frozen network; accuracy beside that of average pooling (AVE), and of both
       fused: the mean of their scores.
    2. Heat maps of test images with a local defect, and defects pasted in known places: how much of what speaks for
       the class lies there.
    3. The classifier is exported as a SavedModel, loaded in a fresh process without this library, and must give the
       same scores.
    4. A report with figures.

    Args:
        out: folder to write.
        settings: how it trains.

    Returns:
        A `TextileDemoResult`.

    Raises:
        DataError, WeightsError: if a package is missing, see `missing_packages`.
        RunError: if the folder cannot be used, or the exported scores differ.
    """
    out = Path(out)
    recipe, textiles = settings.recipe(ENTRY), load_textiles(IMAGES)
    run = settings.train(recipe, textiles, out / "fv_vae", cache=out / "activations")
    classifier = load_classifier(run.path)
    tests = textiles.indices("test")
    fused = plain_metrics(late_fusion(list(run.scores().values())), textiles.labels[tests], textiles.class_names)
    label = textiles.class_names.index(DEFECT)
    defective = tests[textiles.labels[tests] == label]
    nominal = tests[textiles.labels[tests] == 0]
    drawn = [textiles.sources[index] for index in defective[:DRAWN]]
    list(explain(run.path, drawn, out / "heat_maps", DEFECT))
    found = places(classifier, recipe, textiles.subset(nominal[:PLACED]))
    checked = textiles.subset(tests[:: max(1, len(tests) // CHECKED)])
    saved_model, difference = export_and_check(classifier, recipe, out / "export", checked)
    report = write_report([run.path], out / "report.html", textiles)
    return TextileDemoResult(run.results, fused, found, out / "heat_maps", saved_model, difference, report)


def places(classifier: Classifier, recipe: Recipe, images: Collection, seed: int = 0) -> Places:
    """Pastes a defect into each of some images without one, and looks for it in the heat map of `DEFECT`.

    Args:
        classifier: from `keras_fvvae.zoo.load_classifier`, of a run on textiles.
        recipe: of its training.
        images: a `Collection` without defects.
        seed: of the defects.
    """
    rng, views, index = np.random.default_rng(seed), recipe_views(recipe), classifier.class_names.index(DEFECT)
    measured, pictures = [], []
    for position in range(len(images)):
        pixels, (x, y, width, height) = paste_defect(read_image(images, position), rng)
        rows, columns = pixels.shape[:2]
        (frames,) = read_resized(Collection([pixels], ["defect"], [0], ["test"], classifier.class_names), 0, [views])
        pictures.append(pixels)
        explanation = explain_frames(classifier, frames, views, index)
        box = (x / columns, y / rows, (x + width) / columns, (y + height) / rows)
        measured.append(inside(explanation.maps[0], box))
    best = classifier.classify(pictures)[1].argmax(axis=1)
    share, area, pointed = np.mean(measured, axis=0).tolist()
    return Places(len(images), float(np.mean(best == index)), pointed, share, area)
