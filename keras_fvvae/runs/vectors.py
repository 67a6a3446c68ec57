"""The items of a finished run: their names, labels and splits, their vectors, and the scores of the test items."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from keras_fvvae.data.collection import UNLABELLED
from keras_fvvae.errors import RunError
from keras_fvvae.evaluation.score_tables import ScoreTable

if TYPE_CHECKING:
    from keras_fvvae.svm.calibration import Calibration


@dataclasses.dataclass(eq=False)
class RunVectors:
    """The vectors of a run's items: labelled training items first, then training items without label, then test items.

    Attributes:
        path: text, the run's folder.
        representation: its name, such as `"FV-VAE"`.
        class_names: in the order of the labels.
        names: of the items, one a row.
        labels: integers, `UNLABELLED` where there is none.
        splits: `"train"` or `"test"`.
        scores: float64 `(test items, classes)`; `None` where nothing was held out for testing.
        C: of the run's SVM.
        calibration: how scores become probabilities; `None` where they do not.
        read: function that gives the checked memory map of the vectors, `(items, ...)`.
    """

    path: str
    representation: str
    class_names: list[str]
    names: list[str]
    labels: np.ndarray
    splits: np.ndarray
    scores: np.ndarray | None
    C: float
    read: Callable[[], np.ndarray]
    calibration: Calibration | None = None

    @functools.cached_property
    def values(self) -> np.ndarray:
        """The vectors `(items, dimensions)` as a memory map, checked against the manifest when they are first read.

        Raises:
            RunError: if the file is missing, was altered, or has other items than the run.
        """
        vectors = self.read()
        if len(vectors) != len(self.names):
            raise RunError(f"{self.path} holds {len(vectors)} vectors for {len(self.names)} items; train again.")
        return vectors.reshape(len(vectors), -1)

    @property
    def labelled(self) -> int:
        """How many training items have a label: they are the first rows."""
        return int(np.count_nonzero(self.labels[: self.first_test_row] != UNLABELLED))

    @property
    def first_test_row(self) -> int:
        """Where the test items begin."""
        return int(np.count_nonzero(self.splits == "train"))

    @property
    def train_names(self) -> list[str]:
        """Names of the labelled training items."""
        return self.names[: self.labelled]

    @property
    def train_labels(self) -> np.ndarray:
        """Labels of the labelled training items."""
        return self.labels[: self.labelled]

    @property
    def test_labels(self) -> np.ndarray:
        """Labels of the test items."""
        return self.labels[self.first_test_row :]

    @property
    def unseen(self) -> np.ndarray:
        """Classes without training items, as integers."""
        return np.setdiff1d(np.arange(len(self.class_names)), self.train_labels)

    @functools.cached_property
    def test(self) -> ScoreTable:
        """The scores of the test items by name, as the data set has them.

        Raises:
            RunError: if nothing was held out for testing.
            DataError: if an item is there twice, or a score is NaN or infinite.
        """
        if self.scores is None:
            raise RunError(f"The run {self.path} has no test scores: nothing was held out for testing.")
        return ScoreTable(self.path, self.names[self.first_test_row :], self.scores, self.class_names)
