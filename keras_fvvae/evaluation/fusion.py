"""Late fusion: decision values of several streams become one; and the choice of its weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

NORMALIZATIONS = ("none", "l2")
# Steps between a weight of 0 and 1 at most, and weightings that are tried at most: the steps shrink with more streams.
FINEST_DIVISIONS = 20
MAX_WEIGHTINGS = 2000


def late_fusion(
    scores: Sequence[np.ndarray] | np.ndarray,
    weights: Sequence[float] | np.ndarray | None = None,
    normalize: str = "none",
) -> np.ndarray:
    """The weighted mean of the decision values of several streams, such as frames and optical flow.

    Args:
        scores: list of arrays `(n, classes)`, one a stream: the same items and classes in the same order.
        weights: one number a stream, none negative. Default: equal, since one-vs-all SVMs with one C on vectors of unit
            length have margins of one scale.
        normalize: `"l2"` scales every item's scores of a stream to unit length first, for streams of different
            scales: with `weights=[0.75, 0.25]` this is how ActionVLAD adds the scores of IDT to its own. An item whose
            scores are all 0 stays so.

    Returns:
        float64 array `(n, classes)`.

    Raises:
        ValueError: for scores of different shapes or that are not finite, or weights that do not go with them.

    Example:
        >>> late_fusion([np.array([[0.0, 1.0]]), np.array([[3.0, 0.0]])], weights=[2, 1]).tolist()
        [[1.0, 0.6666666666666666]]
        >>> late_fusion([[[0.0, 2.0]], [[30.0, 40.0]]], weights=[0.75, 0.25], normalize="l2").round(3).tolist()
        [[0.15, 0.95]]

    Reference:
        Simonyan and Zisserman, NIPS 2014; Qiu et al., CVPR 2017, Section 5.3. `"l2"`: Girdhar et al., ActionVLAD, CVPR
        2017.
    """
    scores = _checked(scores, normalize)
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, "float64")
    if weights.shape != (len(scores),) or (weights < 0).any() or not weights.sum() > 0:
        raise ValueError(f"`weights` must be {len(scores)} numbers, none negative, not all 0. Received: {weights}")
    return np.tensordot(weights / weights.sum(), scores, axes=1)


def weightings(streams: int, limit: int = MAX_WEIGHTINGS) -> list[tuple[float, ...]]:
    """Weights to try: equal ones first, then all multiples of 1/d that add up to 1, for the largest d that `limit` has.

    Args:
        streams: number of streams.
        limit: largest number of weightings; at least the one-sided ones are among them.

    Returns:
        List of tuples of floats.

    Example:
        >>> weightings(2, limit=3)
        [(0.5, 0.5), (0.0, 1.0), (1.0, 0.0)]
    """
    equal = (1 / streams,) * streams
    steps = range(FINEST_DIVISIONS, 1, -1)
    divisions = next((d for d in steps if math.comb(d + streams - 1, streams - 1) <= limit), 1)
    # "Stars and bars": the gaps between `streams` - 1 bars.
    places = divisions + streams - 1
    grid = []
    for bars in itertools.combinations(range(places), streams - 1):
        ends = (-1, *bars, places)
        grid.append(tuple((right - left - 1) / divisions for left, right in itertools.pairwise(ends)))
    return [equal, *(weights for weights in grid if weights != equal)]


def choose_weights(
    scores: Sequence[np.ndarray] | np.ndarray, labels: Sequence[int] | np.ndarray, normalize: str = "none"
) -> tuple[list[float], float]:
    """The weights of late fusion with the highest accuracy on items whose scores are cross-validated.

    Of equally good weights those nearest to equal ones are chosen. Never call it with test items: what was chosen on
    them is no result on them; nor with scores of training items by a classifier that has seen them, which are sure of
    everything.

    Args:
        scores: list of arrays `(n, classes)`, out-of-fold scores of training items, one a stream.
        labels: integers `(n,)`.
        normalize: as in `late_fusion`.

    Returns:
        Tuple of the weights, a list of floats that add up to 1, and their accuracy.

    Raises:
        ValueError: as `late_fusion`.

    Example:
        >>> good, bad = np.eye(2)[[0, 1, 0]], 5 * np.eye(2)[[1, 1, 0]]
        >>> choose_weights([good, bad], [0, 1, 0])
        ([0.85, 0.15], 1.0)
    """
    scores = _checked(scores, normalize)
    if len(labels) != scores.shape[1] or not len(labels):
        raise ValueError(f"`labels` must be {scores.shape[1]} integers, at least one. Received: {len(labels)}")

    def accuracy(weights):
        return float(np.mean(np.tensordot(weights, scores, axes=1).argmax(axis=1) == labels))

    return best_weights(accuracy, weightings(len(scores)))


def best_weights(
    accuracy: Callable[[np.ndarray], float], candidates: Sequence[Sequence[float]]
) -> tuple[list[float], float]:
    """The candidate of the highest accuracy, of several the one nearest to equal weights; and that accuracy."""
    values = [accuracy(np.array(weights)) for weights in candidates]
    best = max(values)
    spread = [np.sum(np.square(weights)) for weights in candidates]  # smallest where weights are equal
    _, chosen = min((spread[i], i) for i, value in enumerate(values) if value == best)
    return [float(weight) for weight in candidates[chosen]], best


def _checked(scores: Any, normalize: str) -> np.ndarray:
    """The scores of all streams as one float64 array, normalised."""
    if normalize not in NORMALIZATIONS:
        raise ValueError(f"`normalize` must be one of {NORMALIZATIONS}. Received: normalize={normalize!r}")
    scores = [np.asarray(one, "float64") for one in scores]
    if not scores or scores[0].ndim != 2 or any(one.shape != scores[0].shape for one in scores):
        raise ValueError(f"`scores` must be arrays of one shape (n, classes). Received: {[s.shape for s in scores]}")
    if not all(np.isfinite(one).all() for one in scores):
        raise ValueError("`scores` must be finite.")
    scores = np.stack(scores)
    if normalize == "l2":
        lengths = np.linalg.norm(scores, axis=2, keepdims=True)
        scores /= np.where(lengths > 0, lengths, 1.0)
    return scores
