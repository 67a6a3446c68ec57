"""Interpolated average precision and hits among the first k, as ActivityNet's official evaluation defines them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def rank_order(scores: ArrayLike) -> np.ndarray:
    """Positions from the highest score to the lowest; of equal scores the LAST one comes first.

    The official evaluation sorts ascending and reverses, so this is its order wherever that sort is stable.

    Example:
        >>> rank_order([0.5, 2.0, 0.5]).tolist()
        [1, 2, 0]
    """
    return np.argsort(np.asarray(scores), kind="stable")[::-1]


def average_precision(
    scores: ArrayLike,
    relevant: ArrayLike,
    positives: ArrayLike | None = None,
    weights: np.ndarray | None = None,
) -> float | np.ndarray:
    """Area under the interpolated precision-recall curve of one class (PASCAL VOC from 2010 on).

    The precision at a recall is the highest one at this or any larger recall, so
    `AP = sum over relevant predictions of max(precision from there on) / positives`.

    Args:
        scores: `(n,)` predictions' scores; the order of equal ones is that of `rank_order`.
        relevant: boolean `(n,)`: which predictions are right.
        positives: number of right answers that exist, also those that nobody predicted; one number a row of `weights`.
            Default: the relevant predictions.
        weights: `(resamples, n)`, how often each prediction counts: a bootstrap. Default: once.

    Returns:
        A float, or with `weights` an array `(resamples,)`; NaN where there are no positives.

    Example:
        >>> average_precision([0.9, 0.8, 0.7], [True, False, True])
        0.8333333333333333

    Reference:
        Heilbron et al., ActivityNet, CVPR 2015. Everingham et al., The PASCAL VOC challenge, IJCV 2015.
    """
    order = rank_order(scores)
    ranks = np.flatnonzero(np.asarray(relevant, bool)[order])  # of the relevant predictions; only they matter
    counts = np.ones((1, len(order))) if weights is None else np.asarray(weights, "float64")
    # (predictions, resamples): whole rows are gathered and added up, from one relevant prediction to the next.
    ranked = counts.T[order[: ranks[-1] + 1 if len(ranks) else 0]]
    right = ranked[ranks].T
    positives = right.sum(axis=1) if positives is None else np.broadcast_to(positives, len(counts))
    starts = np.concatenate([[0], ranks[:-1] + 1]) if len(ranks) else ranks
    seen = np.cumsum(np.add.reduceat(ranked, starts, axis=0).T, axis=1) if len(ranks) else right
    precision = np.divide(np.cumsum(right, axis=1), seen, out=np.zeros(right.shape), where=seen > 0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    areas = np.full(len(counts), np.nan)
    np.divide((right * best).sum(axis=1), positives, out=areas, where=positives > 0)
    return float(areas[0]) if weights is None else areas


def hits_at_k(scores: ArrayLike, truth: ArrayLike, k: int, average: bool = False) -> np.ndarray:
    """Whether an item's labels are among its `k` highest scores.

    Args:
        scores: `(n, classes)`; of equal scores the first class comes first, as in `argmax`.
        truth: boolean `(n, classes)`: the labels of each item, at least one.
        k: positive integer; from the number of classes on every item is hit.
        average: `True` for the share of an item's labels, `False` for its ceiling: one of them is enough.

    Returns:
        float64 array `(n,)`.

    Raises:
        ValueError: if `k` is not positive.

    Example:
        >>> truth = np.array([[True, True, False]])
        >>> hits_at_k([[3, 1, 2]], truth, k=2).tolist(), hits_at_k([[3, 1, 2]], truth, k=2, average=True).tolist()
        ([1.0], [0.5])
    """
    if k < 1:
        raise ValueError(f"`k` must be positive. Received: k={k}")
    top = np.argsort(-np.asarray(scores, "float64"), axis=1, kind="stable")[:, :k]
    truth = np.asarray(truth, bool)
    shares = np.take_along_axis(truth, top, axis=1).sum(axis=1) / truth.sum(axis=1)
    return shares if average else np.ceil(shares)
