"""Late fusion: decision values of several streams become one."""

import numpy as np


def late_fusion(scores, weights=None):
    """The weighted mean of the decision values of several streams, such as frames and optical flow.

    Args:
        scores: list of arrays `(n, classes)`, one a stream: the same items and classes in the same order.
        weights: one number a stream, none negative. Default: equal, since one-vs-all SVMs with one C on vectors of unit
            length have margins of one scale.

    Returns:
        float64 array `(n, classes)`.

    Raises:
        ValueError: for scores of different shapes, or weights that do not go with them.

    Example:
        >>> late_fusion([np.array([[0.0, 1.0]]), np.array([[3.0, 0.0]])], weights=[2, 1]).tolist()
        [[1.0, 0.6666666666666666]]

    Reference:
        Simonyan and Zisserman, NIPS 2014; Qiu et al., CVPR 2017, Section 5.3.
    """
    scores = [np.asarray(one, "float64") for one in scores]
    if not scores or scores[0].ndim != 2 or any(one.shape != scores[0].shape for one in scores):
        raise ValueError(f"`scores` must be arrays of one shape (n, classes). Received: {[s.shape for s in scores]}")
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, "float64")
    if weights.shape != (len(scores),) or (weights < 0).any() or not weights.sum() > 0:
        raise ValueError(f"`weights` must be {len(scores)} numbers, none negative, not all 0. Received: {weights}")
    return np.tensordot(weights / weights.sum(), scores, axes=1)
