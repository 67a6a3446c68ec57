"""Whether an exported model answers as Keras does, how large it is, and how long it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_sample_images

from keras_fvvae.errors import RunError
from keras_fvvae.export import fresh_process
from keras_fvvae.export.formats import FORMATS
from keras_fvvae.export.portable import PixelModel
from keras_fvvae.utils.cores import usable_cores
from keras_fvvae.utils.fresh_process import run_isolated

if TYPE_CHECKING:
    from keras_fvvae.data.views import Views
    from keras_fvvae.models import Classifier

# Largest difference of scores, as a part of the largest score where that is above 1, that rounding in float32 explains.
TOLERANCE = 1e-4
# A Fisher vector has steps: a unit of the decoder that rounding brings from just above 0 to 0 takes its term away, see
# docs/formats.md. So of the examples a quarter may differ by more, up to this part of the largest score.
STEP, STEPS = 0.05, 0.25
# What the parts of a score may be off by, as a part of the largest score where that is above 1: entries that cancel
# down to rounding leave its square root.
PARTS = 0.01
# Examples of images, and of videos: of four frames, of which 4, 3, 2, 1 count.
IMAGES, VIDEOS, FRAMES = 16, 4, 4
BATCHES = {"image": (1, IMAGES), "video": (1, VIDEOS)}
# Height and width of the parts of a photograph that are to be resized, not of one aspect with any network's input.
PART = (150, 200)


@dataclasses.dataclass(frozen=True)
class Agreement:
    """What was measured of one exported model.

    Attributes:
        format: of `keras_fvvae.export.formats.FORMATS`.
        size: bytes of its file, of a SavedModel of its folder without `assets.extra`.
        difference: largest absolute difference of scores from Keras's on the same pixels.
        seconds: dictionary from the number of examples to the median seconds of a call.
        quantized: what was compared of a quantised file, see `keras_fvvae.export.quantized_agreement`; else empty.
    """

    format: str
    size: int
    difference: float
    seconds: Mapping[int, float]
    quantized: str = ""

    @property
    def text(self) -> str:
        """One sentence for a card."""
        measured = f"{self.measured} ({usable_cores()} CPU cores of the machine that exported)."
        if self.format == "keras":
            return f"It needs keras_fvvae. {measured}"
        if self.quantized:
            return f"{self.quantized} {measured}"
        return (
            f"Checked when it was written, in a fresh process without keras_fvvae and Keras, on parts of two "
            f"photographs and black: scores differ from Keras's by at most {self.difference:.1e}, the best labels "
            f"agree; {measured}"
        )

    @property
    def measured(self) -> str:
        """Size and times."""
        times = ", ".join(f"{1000 * value:.2f} ms for {count}" for count, value in self.seconds.items())
        return f"{self.size / 1e6:.2f} MB; {times}"


class Reference:
    """Sample pixels, and what Keras answers to them.

    Args:
        classifier: a built `keras_fvvae.models.Classifier` of RGB.
        views: `keras_fvvae.data.Views` of its training.
        kind: `"image"` or `"video"`.
    """

    def __init__(self, classifier: Classifier, views: Views, kind: str) -> None:
        self.kind = kind
        parts = _parts(IMAGES if kind == "image" else VIDEOS * FRAMES)
        fitting = np.asarray(tf.cast(tf.round(tf.image.resize(parts, views.resize_to, antialias=True)), tf.uint8))
        self.cases = {"fitting": _inputs(fitting, kind), "other": _inputs(parts, kind)}
        # Not the graph's own way of resizing, which is checked by this: the training's.
        self.model = PixelModel(classifier, views, kind, any_size=False)
        # A graph, as `predict` runs and as what is exported: it rounds otherwise than single operations.
        self.function = tf.function(self.model, autograph=False)
        outputs = {case: self.answers(given) for case, given in self.cases.items()}
        self.scores = {case: one["scores"].numpy() for case, one in outputs.items()}
        kernel, bias = classifier.svm.get_weights()
        half = kernel.astype("float16").astype("float32")
        self.half_scores = {case: one["vector"].numpy() @ half + bias for case, one in outputs.items()}

    def measure_keras(self, path: Path) -> Agreement:
        """Size and seconds of the Keras model itself, as a compiled function in this process."""
        given = self.cases["fitting"]
        seconds = fresh_process.measure(self.answers, given, BATCHES[self.kind])
        return Agreement("keras", size_of(path), 0.0, seconds)

    def answers(self, given: Mapping[str, np.ndarray]) -> dict[str, tf.Tensor]:
        """What Keras gives for arrays by input."""
        return self.function(*map(tf.constant, given.values()))

    def compare(self, format: str, path: Path, half_svm: bool = False) -> Agreement:
        """Runs an exported model in a fresh process.

        Args:
            format: of `FORMATS`, other than `"keras"`.
            path: the model's file, or folder.
            half_svm: whether the SVM's weights are in float16; Keras's are rounded for the comparison.

        Raises:
            RunError: if it does not run there, or answers otherwise than Keras.
        """
        cases = ["fitting"] if format == "litert" else list(self.cases)
        outputs = run_fresh(format, path, {case: self.cases[case] for case in cases}, BATCHES[self.kind])
        difference = 0.0
        for case in cases:
            wanted = (self.half_scores if half_svm else self.scores)[case]
            given = outputs[f"{case}/scores"]
            largest = max(1.0, float(np.abs(wanted).max()))
            each = np.abs(given - wanted).max(axis=1)
            found = float(each.max())
            best = wanted[np.arange(len(wanted)), given.argmax(axis=1)]
            same = (wanted.max(axis=1) - best <= 2 * np.maximum(each, TOLERANCE * largest)).all()
            if not (found <= STEP * largest and np.mean(each > TOLERANCE * largest) <= STEPS and same):
                raise RunError(
                    f"{FORMATS[format].title} answers otherwise than Keras: scores differ by up to {found:.2g} "
                    f"({TOLERANCE * largest:.2g} is rounding). Nothing was written; please report it with the recipe."
                )
            if f"{case}/contributions" in outputs:
                parts = outputs[f"{case}/contributions"].reshape(len(given), -1).sum(axis=1) + outputs[f"{case}/bias"]
                off = float(np.abs(parts - given.max(axis=1)).max())
                if not off <= PARTS * largest:
                    raise RunError(
                        f"In {FORMATS[format].title} the parts of the scores do not add up to them: they are off by up "
                        f"to {off:.2g}. Nothing was written; please report it with the recipe."
                    )
            difference = max(difference, found)
        seconds = {count: float(outputs[f"seconds/{count}"]) for count in BATCHES[self.kind]}
        return Agreement(format, size_of(path), difference, seconds)


def run_fresh(
    format: str, path: Path, cases: Mapping[str, Mapping[str, np.ndarray]], batches: tuple[int, ...] = ()
) -> dict[str, np.ndarray]:
    """What an exported model gives in a process that has neither this library nor Keras.

    Args:
        format: of `FORMATS`, other than `"keras"`.
        path: the model's file, or folder.
        cases: dictionary from a name to arrays by input.
        batches: numbers of examples of which the seconds are measured.

    Returns:
        Dictionary of arrays, see `keras_fvvae.export.fresh_process`.

    Raises:
        RunError: if the process fails, with its last line of output.
    """
    arrays = {f"{case}/{name}": array for case, inputs in cases.items() for name, array in inputs.items()}
    failure = (
        f"What was written does not run in {FORMATS[format].title}'s runtime: {{}}. Nothing was kept; export with "
        f"--format savedmodel."
    )
    return run_isolated([fresh_process.__file__, format, path], arrays, failure.format, batches)


def _parts(count):
    """Parts of the two photographs that come with scikit-learn, and black, uint8 `(count, *PART, 3)`."""
    generator = np.random.default_rng(0)
    photographs = load_sample_images().images
    parts = []
    for index in range(count):
        image = photographs[index % len(photographs)]
        top, left = (generator.integers(side - part + 1) for side, part in zip(image.shape, PART, strict=False))
        parts.append(image[top : top + PART[0], left : left + PART[1]])
    parts[-1] = np.zeros_like(parts[-1])  # black: what divides by a norm is to find none
    return np.stack(parts)


def _inputs(parts, kind):
    if kind == "image":
        return {"pixels": parts}
    return {
        "pixels": parts.reshape(VIDEOS, FRAMES, *parts.shape[1:]),
        "num_frames": np.arange(FRAMES, FRAMES - VIDEOS, -1, dtype="int32"),
    }


def size_of(path: Path) -> int:
    """Bytes of a model's file, with those of its weights; of a SavedModel's folder without `assets.extra`."""
    if path.is_file():
        names = {path.name, *(form.weights for form in FORMATS.values() if form.file == path.name and form.weights)}
        return sum(path.with_name(name).stat().st_size for name in names)
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file() and "assets.extra" not in one.parts)
