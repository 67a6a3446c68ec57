"""Linear kernels of vectors that are longer than they are many, and one-vs-all SVMs on a kernel."""

import numpy as np
from sklearn.svm import SVC

# Columns held in float64 at a time: 2,000 x 4,096 doubles are 64 MB.
BLOCK_COLUMNS = 4096


def gram_matrix(vectors, rows, others=None, normalize=False):
    """Inner products of some rows with each other, or with other rows, of one array.

    Args:
        vectors: `(n, dimensions)`, an array or a memory map; it is read in blocks of columns and never copied.
        rows: positions of the rows of the result.
        others: positions of its columns. Default: those of the rows.
        normalize: whether the vectors are scaled to unit length (zero vectors stay zero).

    Returns:
        float64 array `(len(rows), len(others))`.

    Example:
        >>> gram_matrix(np.array([[3.0, 4.0], [1.0, 0.0]]), [0], [0, 1], normalize=True).tolist()
        [[1.0, 0.6]]
    """
    rows = np.asarray(rows)
    others = rows if others is None else np.asarray(others)
    gram, squares = np.zeros((len(rows), len(others))), np.zeros(len(vectors))
    for start in range(0, vectors.shape[1], BLOCK_COLUMNS):
        block = np.asarray(vectors[:, start : start + BLOCK_COLUMNS], "float64")
        gram += block[rows] @ block[others].T
        squares += np.einsum("ij,ij->i", block, block)
    if normalize:
        lengths = np.sqrt(np.where(squares > 0, squares, 1.0))
        gram /= lengths[rows][:, None] * lengths[others]
    return gram


def kernel_scores(gram, labels, cross, class_count, C):
    """Decision values of one-vs-all SVMs that are trained on a kernel, as `OneVsRestSVM` has them on the vectors.

    Args:
        gram: `(n, n)`, the kernel of the training items with each other.
        labels: integers `(n,)`, at least two different ones.
        cross: `(m, n)`, the kernel of the items to score with the training items.
        class_count: number of classes.
        C: inverse regularisation strength.

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
    scores = np.full((len(cross), class_count), np.nan)
    for label in trained:
        solver = SVC(C=C, kernel="precomputed").fit(gram, labels == label)
        scores[:, label] = solver.decision_function(cross)
    return lowest_where_unseen(scores, np.setdiff1d(np.arange(class_count), trained))


def lowest_where_unseen(scores, unseen):
    """A copy of the scores in which the columns of the classes `unseen` hold the lowest other score of each row."""
    scores = np.array(scores, "float64")
    if len(unseen):
        scores[:, unseen] = np.delete(scores, unseen, axis=1).min(axis=1, keepdims=True)
    return scores


def out_of_fold_scores(gram, labels, class_count, C, folds=5, seed=0):
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


def fold_numbers(labels, folds, seed=0):
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
