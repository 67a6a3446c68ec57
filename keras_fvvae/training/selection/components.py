"""How few principal components a run's vectors can be compressed to, by held-out items of its training part."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import scipy.linalg
from sklearn.model_selection import StratifiedKFold

from keras_fvvae.data import Collection
from keras_fvvae.data.validation import validation_items
from keras_fvvae.errors import DataError, RunError
from keras_fvvae.fitting.principal_components import gram_components
from keras_fvvae.runs import files
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.svm.gram import gram_matrix
from keras_fvvae.svm.row_blocks import ColumnReader, RowBlocks
from keras_fvvae.training.calibration import FOLDS

# Share of the held-out items that compression may cost.
MOST_LOST = 0.01
# The smallest number of components that is tried; then twice as many, again and again.
FEWEST = 4
# Directions of a Gram matrix with less of the largest variance are rounding noise.
NULL_SHARE = 1e-10

Split = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Judged:
    """Numbers of principal components, and what they cost of held-out items.

    Attributes:
        before: accuracy on the held-out items of an SVM on whole vectors.
        after: dictionary from the numbers that were tried to the accuracy on so many components.
        items: how many were held out, over all splits.
        how: which they are, for a card.
    """

    before: float
    after: dict[int, float]
    items: int
    how: str

    @property
    def enough(self) -> list[int]:
        """The numbers that cost at most `MOST_LOST`, as all larger ones do, rising: a smaller one would be luck."""
        cheap = itertools.takewhile(
            lambda number: self.before - self.after[number] <= MOST_LOST, sorted(self.after)[::-1]
        )
        return list(cheap)[::-1]

    @property
    def text(self) -> str:
        """A part of a sentence."""
        after = ", ".join(f"{accuracy:.1%} with {number}" for number, accuracy in self.after.items())
        return f"of {self.items} {self.how} {self.before:.1%} are right by whole vectors, {after}"


def judge_components(
    vectors: np.ndarray, labels: np.ndarray, splits: Sequence[Split], C: float, how: str = "held-out items"
) -> Judged:
    """What 4, 8, 16, ... principal components cost, and the most that every split has.

    Everything is computed from the Gram matrix: with its root Z, `Z Z' = X X'`, of N numbers a row, directions and SVMs
    are those of X, which is read once. Components are those of a split's training part, brought to unit length, as in
    `keras_fvvae.layers.GramPCA`.

    Args:
        vectors: array or memory map `(N, D)`.
        labels: integers `(N,)`.
        splits: pairs of positions: what components and SVM are fitted to, and what they are judged by.
        C: of the SVM.
        how: for the result.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> labels = np.repeat(np.arange(3), 10)
        >>> vectors = 9 * np.eye(3)[labels] @ generator.normal(size=(3, 200)) + generator.normal(size=(30, 200))
        >>> split = (np.arange(0, 30, 2), np.arange(1, 30, 2))
        >>> judge_components(vectors, labels, [split], C=100).after
        {4: 1.0, 8: 1.0, 14: 1.0}
    """
    gram = gram_matrix(ColumnReader(RowBlocks([vectors])))
    values, directions = scipy.linalg.eigh(gram)
    kept = values > NULL_SHARE * values[-1]
    roots = directions[:, kept] * np.sqrt(values[kept])
    most = min(min(len(train) - 1 for train, _ in splits), roots.shape[1] - 1)
    tried = [FEWEST << power for power in range(32) if FEWEST << power < most]
    if most >= FEWEST:
        tried.append(most)
    right = dict.fromkeys([0, *tried], 0)
    for train, test in splits:
        right[0] += _right(roots, labels, train, test, C)
        if tried:
            found = gram_components(roots[train], tried[-1])
            projected = (roots - found.mean) @ found.directions
        for number in tried:
            part = projected[:, :number]
            part = part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), np.finfo("float32").tiny)
            right[number] += _right(part, labels, train, test, C)
    items = sum(len(test) for _, test in splits)
    return Judged(right[0] / items, {number: right[number] / items for number in tried}, items, how)


def components_of_run(run: RunFolder, kind: str) -> tuple[int, list[Judged]]:
    """The fewest components that cost a run at most `MOST_LOST`, and what they were judged by.

    They are judged by training items that are left out of components and SVM in turn, which the representation has
    seen, and, of a run with a validation part, by that part, which it has not learnt from. The latter tells of new
    items, and is small; so a number has to pass both.

    Args:
        run: a finished run with labelled training items.
        kind: `"image"` or `"video"`.

    Raises:
        RunError: if its training items are too few, or no number of components is enough.
    """
    vectors, recipe = run.vectors(), run.recipe
    labels, values = vectors.train_labels, vectors.values[: vectors.labelled]
    folds = min(FOLDS, int(np.unique(labels, return_counts=True)[1].min()))
    if folds < 2:
        raise RunError(f"{run.path}: a class has one training {kind}: give --pca a number instead of auto.")
    splits = run.calibration_splits() or list(
        StratifiedKFold(folds, shuffle=True, random_state=recipe.seed).split(labels, labels)
    )
    how = f"training {kind}s, left out in {len(splits)} folds, though the representation has seen them,"
    judged = [judge_components(values, labels, splits, recipe.svm_c, how)]
    held_out = validation_rows(run, kind)
    if len(held_out):
        splits = [(np.setdiff1d(np.arange(len(labels)), held_out), held_out)]
        how = f"validation {kind}s, which the representation has not learnt from,"
        judged.append(judge_components(values, labels, splits, recipe.svm_c, how))
    enough = set.intersection(*(set(one.enough) for one in judged))
    if not enough:
        raise RunError(
            f"{run.path}: no number of principal components costs at most {MOST_LOST:.0%}: "
            f"{'; '.join(one.text for one in judged)}. Export it without --pca auto."
        )
    return min(enough), judged


def validation_rows(run: RunFolder, kind: str) -> np.ndarray:
    """Rows of the vectors of a run's validation part; none where it had none, or its groups are not known here.

    Args:
        run: a finished run.
        kind: `"image"` or `"video"`, whose groups a run does not keep.
    """
    none = np.zeros(0, "int64")
    if run.recipe.validation is None or kind != "image":
        return none
    labels = run.vectors().train_labels
    count, classes = len(labels), [str(label) for label in range(labels.max() + 1)]
    names = [str(row) for row in range(count)]
    collection = Collection(names, names, labels, ["train"] * count, classes)
    try:
        held_out = validation_items(collection, round(1 / run.recipe.validation), run.recipe.seed)
    except DataError:
        return none
    # Joined branches have a record each.
    branches = [run.open(path.parent) for path in (run.path / files.BRANCHES).glob(f"*/{files.VALIDATION}")]
    if len(held_out) not in [one.validation.get("held_out") for one in (run, *branches)]:
        return none
    return held_out


def _right(rows: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray, C: float) -> int:
    svm = OneVsRestSVM(C).fit(rows[train], labels[train])
    return int(np.sum(svm.predict(rows[test]) == labels[test]))
