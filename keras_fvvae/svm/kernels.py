"""Linear kernels of vectors that are longer than they are many, and one-vs-all SVMs on a kernel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_fvvae.svm.dual import solve_duals
from keras_fvvae.svm.gram import cross_gram, gram_matrix, normalize_gram
from keras_fvvae.svm.row_blocks import BLOCK_COLUMNS, ColumnReader, RowBlocks


def kernel_matrix(
    vectors: np.ndarray,
    rows: Sequence[int] | np.ndarray,
    others: Sequence[int] | np.ndarray | None = None,
    normalize: bool = False,
    block_columns: int = BLOCK_COLUMNS,
) -> np.ndarray:
    """Inner products of some rows with each other, or with other rows, of one array.

    Args:
        vectors: `(n, dimensions)`, an array or a memory map of floating point; it is read in blocks of columns and
            never copied.
        rows: positions of the rows of the result.
        others: positions of its columns. Default: those of the rows.
        normalize: whether the vectors are scaled to unit length (zero vectors stay zero).
        block_columns: columns in float64 at a time, at most.

    Returns:
        float64 array `(len(rows), len(others))`.

    Raises:
        ValueError: for NaN or infinite values.

    Example:
        >>> kernel_matrix(np.array([[3.0, 4.0], [1.0, 0.0]]), [0], [0, 1], normalize=True).round(6).tolist()
        [[1.0, 0.6]]
    """
    reader = ColumnReader(RowBlocks([vectors]), block_columns=block_columns)
    if others is not None:
        return cross_gram(reader, np.asarray(rows), np.asarray(others), unit_length=normalize)
    gram = gram_matrix(reader, np.asarray(rows))
    if normalize:
        normalize_gram(gram)
    return gram


def kernel_scores(gram: np.ndarray, labels: np.ndarray, cross: np.ndarray, class_count: int, C: float) -> np.ndarray:
    """Decision values of one-vs-all SVMs that are trained on a kernel, as `OneVsRestSVM` has them on the vectors.

    Args:
        gram: `(n, n)`, the kernel of the training items with each other.
        labels: integers `(n,)`, at least two different ones.
        cross: `(m, n)`, the kernel of the items to score with the training items.
        class_count: number of classes.
        C: inverse regularization strength.

    Returns:
        float64 array `(m, class_count)`. A class without training items gets the lowest score of each row, so that it
        is never preferred and does not dominate a fusion.

    Raises:
        ValueError: for fewer than two classes among the labels.

    Example:
        >>> vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> scores = kernel_scores(vectors @ vectors.T, [0, 0, 1], vectors @ vectors.T, 3, C=100.0)
        >>> scores.argmax(axis=1).tolist(), bool((scores[:, 2] == scores[:, :2].min(axis=1)).all())
        ([0, 0, 1], True)
    """
    labels = np.asarray(labels)
    trained = np.unique(labels)
    if len(trained) < 2:
        raise ValueError(f"A classifier needs items of at least two classes. Received: {trained.tolist()}")
    duals, intercepts = solve_duals(np.ascontiguousarray(gram), labels == trained[:, np.newaxis], C)
    scores = np.full((len(cross), class_count), np.nan)
    scores[:, trained] = cross @ duals.T + intercepts
    return lowest_where_unseen(scores, np.setdiff1d(np.arange(class_count), trained))


def lowest_where_unseen(scores: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """A copy of the scores in which the columns of the classes `unseen` hold the lowest other score of each row."""
    scores = np.array(scores, "float64")
    if len(unseen):
        scores[:, unseen] = np.delete(scores, unseen, axis=1).min(axis=1, keepdims=True)
    return scores


def out_of_fold_scores(
    gram: np.ndarray, labels: np.ndarray, class_count: int, C: float, folds: int = 5, seed: int = 0
) -> np.ndarray:
    """Scores of the training items by SVMs that have not seen them: cross-validation on a kernel.

    Args:
        gram, labels, class_count, C: as in `kernel_scores`.
        folds: number of parts; every part is scored by an SVM of the others.
        seed: of the parts; the same labels and seed give the same parts, so that streams are scored alike.

    Returns:
        float64 array `(n, class_count)`.

    Raises:
        ValueError: if `folds` is not between 2 and the number of items.

    Example:
        >>> vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.1, 0.9], [0.0, 1.0]])
        >>> out_of_fold_scores(vectors @ vectors.T, [0, 0, 1, 1], 2, C=100.0, folds=2).argmax(axis=1).tolist()
        [0, 0, 1, 1]
    """
    labels = np.asarray(labels)
    scores = np.zeros((len(labels), class_count))
    parts = fold_numbers(labels, folds, seed)
    for part in range(folds):
        rest, held = np.flatnonzero(parts != part), np.flatnonzero(parts == part)
        scores[held] = kernel_scores(gram[np.ix_(rest, rest)], labels[rest], gram[np.ix_(held, rest)], class_count, C)
    return scores


def fold_numbers(labels: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """The part of each item: every class is spread evenly over the parts, and items without order over a class.

    Unlike scikit-learn's `StratifiedKFold`, classes of fewer items than folds are common here and no warning.

    Example:
        >>> np.bincount(fold_numbers([0, 0, 0, 0, 1, 1], 2)).tolist()
        [3, 3]
    """
    labels = np.asarray(labels)
    if not 2 <= folds <= len(labels):
        raise ValueError(f"`folds` must be from 2 to {len(labels)}, the number of items. Received: folds={folds}")
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    parts = np.empty(len(labels), int)
    parts[order] = np.arange(len(labels)) % folds
    return parts
