"""What is evaluated and fused: the scores and vectors of finished runs, by item and class name."""

import dataclasses

import numpy as np

from keras_fvvae.data.collection import UNLABELLED
from keras_fvvae.errors import RunError
from keras_fvvae.evaluation.score_tables import ScoreTable
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.svm.kernels import kernel_matrix, kernel_scores, lowest_where_unseen, out_of_fold_scores
from keras_fvvae.training.representation_training import representation_title


@dataclasses.dataclass(eq=False)
class RunResults:
    """The test scores of a finished run, and where its vectors lie.

    Attributes:
        path: text, the run's folder.
        representation: its name, such as `"FV-VAE"`.
        class_names: in the order of the labels.
        train_names, train_labels: of the labelled training items, the first rows of the vectors.
        test: `ScoreTable` of the test items, named as in the data set.
        test_labels: integers.
        first_test_row: where the test items begin in the vectors; unlabelled training items lie before.
        C: of the run's SVM.
    """

    path: str
    representation: str
    class_names: list
    train_names: list
    train_labels: np.ndarray
    test: ScoreTable
    test_labels: np.ndarray
    first_test_row: int
    C: float

    @property
    def unseen(self):
        """Classes without training items, as integers."""
        return np.setdiff1d(np.arange(len(self.class_names)), self.train_labels)

    def vectors(self):
        """The Fisher vectors `(items, dimensions)` as a memory map, labelled training items first, test items last.

        Raises:
            RunError: if the file is missing or has other items than the run.
        """
        path = f"{self.path}/vectors.npy"
        try:
            vectors = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read, and the training vectors are needed: {error}.") from error
        if len(vectors) != self.first_test_row + len(self.test.ids):
            raise RunError(f"{path} holds {len(vectors)} vectors for {self.first_test_row + len(self.test.ids)} items.")
        return vectors.reshape(len(vectors), -1)


def read_run(path):
    """The results of a finished run.

    Raises:
        RunError: if there is no finished run, or nothing was held out for testing.
        DataError: if an item is there twice, or a score is NaN or infinite.
    """
    run = RunFolder.open(path)
    metrics, items = run.read_json("metrics.json"), run.read_json("vectors.json")
    names = [name for name in metrics if name == representation_title(run.recipe)]
    if not names:
        raise RunError(f"The run {run.path} has no test scores: nothing was held out for testing.")
    scores = np.asarray(metrics[names[0]]["scores"], "float64")
    labels = np.asarray(items["labels"])
    first_test_row = len(labels) - len(scores)
    labelled = np.count_nonzero(labels[:first_test_row] != UNLABELLED)  # they come first
    class_names = run.read_json("labels.json")["class_names"]
    return RunResults(
        str(path),
        names[0],
        class_names,
        items["names"][:labelled],
        labels[:labelled],
        ScoreTable(str(path), items["names"][first_test_row:], scores, class_names),
        labels[first_test_row:],
        first_test_row,
        run.recipe.svm_c,
    )


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

    def __init__(self, name, *, rows=None, vectors=None, scores=None, scored=None, C=100.0, normalize=False):
        self.name = name
        self._rows, self._vectors, self._C, self._normalize = rows, vectors, C, normalize
        self._scores, self._scored = scores, scored

    def has(self, item):
        """Whether it can say something about a test item."""
        return item in (self._rows if self._scores is None else self._scored)

    def has_training(self, item):
        """Whether it can be trained or cross-validated on an item."""
        return item in (self._scored if self._vectors is None else self._rows)

    @property
    def trains(self):
        """Whether training items are needed for its test scores."""
        return self._scores is None

    @property
    def has_vectors(self):
        return self._vectors is not None

    def gram(self, items, others=None):
        """Inner products of the vectors of items."""
        rows = [self._rows[item] for item in items]
        others = None if others is None else [self._rows[item] for item in others]
        return kernel_matrix(self._vectors(), rows, others, self._normalize)

    def test_scores(self, test, train, labels, class_count):
        """Scores `(n, classes)` of test items; training items and their labels are used where there are no scores."""
        if self._scores is not None:
            return self._scores[[self._scored[item] for item in test]]
        return kernel_scores(self.gram(train), labels, self.gram(test, train), class_count, self._C)

    def training_scores(self, train, labels, class_count, folds, seed):
        """Out-of-fold scores of training items; those of a score file are taken to be such."""
        if self._vectors is None:
            return self._scores[[self._scored[item] for item in train]]
        return out_of_fold_scores(self.gram(train), labels, class_count, self._C, folds, seed)


def run_stream(run, columns, train_keys, test_keys):
    """The stream of a run; `columns` are its classes in the common order."""
    rows = {key: row for row, key in enumerate(train_keys)}
    rows |= {key: run.first_test_row + row for row, key in enumerate(test_keys)}
    scores = lowest_where_unseen(run.test.values, run.unseen)[:, columns]
    scored = {key: row for row, key in enumerate(test_keys)}
    return Stream(run.path, rows=rows, vectors=run.vectors, scores=scores, scored=scored, C=run.C)
