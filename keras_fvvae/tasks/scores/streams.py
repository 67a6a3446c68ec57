"""What is evaluated and fused: the scores and vectors of finished runs, by item and class name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np

from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.vectors import RunVectors
from keras_fvvae.svm.kernels import kernel_matrix, kernel_scores, lowest_where_unseen, out_of_fold_scores


def read_run(path: str | os.PathLike) -> RunVectors:
    """The items of a finished run with their test scores.

    Raises:
        RunError: if there is no finished run, or nothing was held out for testing.
        DataError: if an item is there twice, or a score is NaN or infinite.
    """
    vectors = RunFolder.open(path).vectors()
    _ = vectors.test  # raises
    return vectors


class Stream:
    """One of what is fused, on items that all have: scores of test items, and a kernel where it has vectors.

    Args:
        name: of the stream in the result.
        rows: dictionary from item to row of the vectors, or of the scores where there are none.
        vectors: function that gives the array or memory map `(n, dimensions)` when it is needed, or `None`.
        scores: `(n, classes)` in the common order of classes; `None` where an SVM is trained for them.
        scored: dictionary from item to row of the scores.
        C: of the SVMs trained here.
        normalize: whether vectors are scaled to unit length (a run's are).
    """

    def __init__(
        self,
        name: str,
        *,
        rows: dict[str, int] | None = None,
        vectors: Callable[[], np.ndarray] | None = None,
        scores: np.ndarray | None = None,
        scored: dict[str, int] | None = None,
        C: float = 100.0,
        normalize: bool = False,
    ):
        self.name = name
        self._rows, self._vectors, self._C, self._normalize = rows or {}, vectors, C, normalize
        self._scores, self._scored = scores, scored or {}

    def has(self, item: str) -> bool:
        """Whether it can say something about a test item."""
        return item in (self._rows if self._scores is None else self._scored)

    def has_training(self, item: str) -> bool:
        """Whether it can be trained or cross-validated on an item."""
        return item in (self._scored if self._vectors is None else self._rows)

    @property
    def trains(self) -> bool:
        """Whether training items are needed for its test scores."""
        return self._scores is None

    @property
    def has_vectors(self) -> bool:
        """Whether it has a kernel."""
        return self._vectors is not None

    def gram(self, items: Sequence[str], others: Sequence[str] | None = None) -> np.ndarray:
        """Inner products of the vectors of items."""
        if self._vectors is None:
            raise ValueError(f"{self.name} has scores and no vectors.")
        rows = [self._rows[item] for item in items]
        columns = None if others is None else [self._rows[item] for item in others]
        return kernel_matrix(self._vectors(), rows, columns, self._normalize)

    def test_scores(
        self, test: Sequence[str], train: Sequence[str], labels: np.ndarray, class_count: int
    ) -> np.ndarray:
        """Scores `(n, classes)` of test items; training items and their labels are used where there are no scores."""
        if self._scores is not None:
            return self._scores[[self._scored[item] for item in test]]
        return kernel_scores(self.gram(train), labels, self.gram(test, train), class_count, self._C)

    def training_scores(
        self, train: Sequence[str], labels: np.ndarray, class_count: int, folds: int, seed: int
    ) -> np.ndarray:
        """Out-of-fold scores of training items; those of a score file are taken to be such."""
        if self._vectors is None and self._scores is not None:
            return self._scores[[self._scored[item] for item in train]]
        return out_of_fold_scores(self.gram(train), labels, class_count, self._C, folds, seed)


def run_stream(run: RunVectors, columns: Sequence[int], train_keys: Sequence[str], test_keys: Sequence[str]) -> Stream:
    """The stream of a run; `columns` are its classes in the common order."""
    rows = {key: row for row, key in enumerate(train_keys)}
    rows |= {key: run.first_test_row + row for row, key in enumerate(test_keys)}
    scores = lowest_where_unseen(run.test.values, run.unseen)[:, columns]
    scored = {key: row for row, key in enumerate(test_keys)}
    return Stream(run.path, rows=rows, vectors=lambda: run.values, scores=scores, scored=scored, C=run.C)
