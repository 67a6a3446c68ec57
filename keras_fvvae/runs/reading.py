"""Results, scores and items in the files of a finished run, of any format."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fvvae.errors import RunError
from keras_fvvae.features import DAMAGE
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs import files, format1
from keras_fvvae.runs.manifest import Manifest
from keras_fvvae.runs.results import RunResults
from keras_fvvae.utils.text import normal_name, parse_json

if TYPE_CHECKING:
    from keras_fvvae.svm.calibration import Calibration


def read_results(folder: Path, manifest: Manifest, recipe: Recipe) -> RunResults:
    """What the training measured.

    Raises:
        RunError: if its file is missing or damaged.
    """
    with _reading(folder / files.METRICS) as path:
        if manifest.format > 1:
            return RunResults.from_json(path.read_text(encoding="utf-8"))
        from keras_fvvae.builders.representations import representation_title  # imports Keras; others need it not

        return format1.results(_json(path), representation_title(recipe))


def read_scores(folder: Path, manifest: Manifest, results: RunResults) -> dict[str, np.ndarray]:
    """By representation the scores of the test items, float64 `(test items, classes)`; empty without these.

    Raises:
        RunError: if their file is missing or damaged.
    """
    if not results.metrics:
        return {}
    if manifest.format == 1:
        with _reading(folder / files.METRICS) as path:
            scores = format1.scores(_json(path))
    else:
        with _reading(folder / files.SCORES) as path:
            scores = dict(zip(results.metrics, np.load(path), strict=True))
    return {name: values.astype("float64") for name, values in scores.items()}


def read_items(folder: Path, manifest: Manifest, scores: np.ndarray | None) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, labels and splits of the rows of the vectors; `scores` are those of the test items, if there are any.

    Raises:
        RunError: if their file is missing or damaged.
    """
    with _reading(folder / files.ITEMS) as path:
        items = _json(path)
        names, labels = [normal_name(name) for name in items["names"]], np.asarray(items["labels"])
        tested = 0 if scores is None else len(scores)
        splits = np.asarray(format1.splits(len(names), tested) if manifest.format == 1 else items["splits"])
        if not len(names) == len(labels) == len(splits):
            raise ValueError("names, labels and splits differ in number")
        if scores is not None and np.count_nonzero(splits == "test") != tested:
            raise ValueError(f"there are scores of {tested} test items")
    return names, labels, splits


def read_digests(folder: Path) -> list[str]:
    """SHA-256 of the contents of the training items that are files; empty where they were not noted.

    Raises:
        RunError: if their file is damaged.
    """
    if not (folder / files.DIGESTS).is_file():
        return []
    with _reading(folder / files.DIGESTS) as path:
        digests = _json(path)["sha256"]
        if not all(isinstance(digest, str) for digest in digests):
            raise ValueError("a digest is no text")
    return digests


def read_vectors(folder: Path, manifest: Manifest) -> np.ndarray:
    """The checked vectors `(items, ...)` as a memory map.

    Raises:
        RunError: if their file is missing or was altered.
    """
    manifest.check(folder, files.VECTORS)
    path = folder / files.VECTORS
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, *DAMAGE) as error:
        raise RunError(f"{path} cannot be read, and its vectors are needed: {error}.") from error


def read_calibration(folder: Path) -> Calibration | None:
    """The map from scores to probabilities, if the run has one.

    Raises:
        RunError: if its file is damaged.
    """
    if not (folder / files.CALIBRATION).is_file():
        return None
    from keras_fvvae.svm.calibration import Calibration  # imports scikit-learn, which reading results needs not

    with _reading(folder / files.CALIBRATION) as path:
        config = _json(path)["calibration"]
        return None if config is None else Calibration.from_config(config)


def read_held_out(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Scores of the labelled training items by SVMs of the other folds, and their folds, if the run has them.

    Raises:
        RunError: if their file is damaged.
    """
    if not (folder / files.HELD_OUT).is_file():
        return None
    with _reading(folder / files.HELD_OUT) as path:
        rows = np.load(path)
        return rows["scores"].astype("float64"), rows["fold"].astype("int64")


def _json(path: Path) -> Any:
    return parse_json(path.read_bytes(), finite=False, unicode=False)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Path]:
    """What cannot be understood in a file becomes one sentence that names it."""
    try:
        yield path
    except FileNotFoundError as error:
        raise RunError(f"{path.parent} is incomplete: {path.name} is missing; restore it, or train again.") from error
    except (OSError, *DAMAGE) as error:
        raise RunError(f"{path} is damaged; restore it, or train again with --overwrite ({error}).") from error
