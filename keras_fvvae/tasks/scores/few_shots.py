"""The N-way K-shot protocol on vectors of runs, and on vectors that `keras-fvvae encode` wrote."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_fvvae import features
from keras_fvvae.data.collection import UNLABELLED
from keras_fvvae.errors import DataError
from keras_fvvae.evaluation.episodes import few_shot_accuracies
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.svm.kernels import kernel_matrix
from keras_fvvae.svm.row_blocks import BLOCK_COLUMNS

# Their kernel takes 128 MB; of more, as many are drawn. Episodes repeat items long before that.
MOST_ITEMS = 4000


def evaluate_few_shots(
    run_paths: Sequence[str | os.PathLike] = (),
    vector_paths: Sequence[str | os.PathLike] = (),
    *,
    shots: Sequence[int] = (1, 5),
    ways: int = 5,
    queries: int = 15,
    episodes: int = 600,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Few-shot accuracies of the vectors of some sources.

    Args:
        run_paths: finished runs: of their test items. Their classes are those that the run was trained on.
        vector_paths: what `keras_fvvae.features.open` opens, with labels: of other classes, for example.
        shots: items of a class to learn from; each is an evaluation of its own.
        ways, queries, episodes, seed: see `keras_fvvae.evaluation.episodes.few_shot_accuracies`.

    Returns:
        For every source and number of shots a dictionary: `source`, `ways`, `shots`, `queries`, `episodes`, `items`,
        `classifier`s with `value`, `low`, `high`, and `note`.

    Raises:
        RunError, DataError: for what cannot be read, or has too few classes or items.
    """
    results = []
    for name, gram, labels, C, note in [
        *(_of_run(path, seed) for path in run_paths),
        *(_of_vectors(path, seed) for path in vector_paths),
    ]:
        for count in shots:
            head = {"source": name, "ways": ways, "shots": count, "queries": queries, "episodes": episodes}
            found = few_shot_accuracies(gram, labels, ways, count, queries, episodes, C, seed)
            results.append({**head, "items": len(labels), **found, "note": note})
    return results


def _of_run(path: str | os.PathLike, seed: int) -> tuple[str, np.ndarray, np.ndarray, float, str]:
    items = RunFolder.open(path).vectors()
    rows = items.first_test_row + np.flatnonzero(items.test_labels != UNLABELLED)
    if not len(rows):
        raise DataError(f"The run {path} has no test items with labels, of which episodes could be drawn.")
    rows = _some(rows, seed)
    note = "the encoder was trained on these classes: they are not novel"
    return str(path), kernel_matrix(items.values, rows), items.labels[rows], items.C, note


def _of_vectors(path: str | os.PathLike, seed: int) -> tuple[str, np.ndarray, np.ndarray, float, str]:
    vectors = features.open(path)
    rows = _some(np.flatnonzero([bool(label) for label in vectors.labels]), seed)
    if not len(rows):
        raise DataError(f"{path} has no labels: encode a list with labels, or name the layout by --dataset.")
    _, labels = np.unique([vectors.labels[row] for row in rows], return_inverse=True)
    values = vectors[rows]
    return str(path), kernel_matrix(values, np.arange(len(rows)), block_columns=BLOCK_COLUMNS), labels, 100.0, ""


def _some(rows: np.ndarray, seed: int) -> np.ndarray:
    """The rows, or as many as can be taken, drawn by the seed."""
    if len(rows) <= MOST_ITEMS:
        return rows
    return np.sort(np.random.default_rng([seed, MOST_ITEMS]).choice(rows, MOST_ITEMS, replace=False))
