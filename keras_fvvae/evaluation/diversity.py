"""Which of many candidates to take: uncertain ones that are not alike."""

from __future__ import annotations

import numpy as np


def spread_out(gram: np.ndarray, nearest: np.ndarray, count: int) -> list[int]:
    """Chooses candidates one after the other, each the farthest from all that are covered already (k-center greedy).

    Args:
        gram: `(n, n)`, inner products of the candidates, vectors of unit length.
        nearest: `(n,)`, of every candidate the largest inner product with what is labelled already; -inf: nothing is.
        count: how many to choose.

    Returns:
        Positions in the order of the choice.

    Example:
        >>> vectors = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
        >>> spread_out(vectors @ vectors.T, vectors @ vectors[0], 2)  # the first is labelled
        [2, 1]

    Reference:
        Sener, Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018.
    """
    nearest, chosen = np.array(nearest, "float64"), []
    for _ in range(min(count, len(gram))):
        best = int(np.argmin(nearest))
        chosen.append(best)
        nearest = np.maximum(nearest, gram[best])
        nearest[chosen] = np.inf
    return chosen


def determinantal(gram: np.ndarray, quality: np.ndarray, count: int) -> list[int]:
    """Chooses candidates one after the other so that `det` of `quality_i K_ij quality_j` grows most (greedy MAP of a
    determinantal point process).

    Args:
        gram: `(n, n)`, the kernel K.
        quality: `(n,)`, positive: how much each is wanted for itself.
        count: how many to choose.

    Returns:
        Positions in the order of the choice.

    Reference:
        Chen, Zhang, Zhou, "Fast Greedy MAP Inference for Determinantal Point Process", NeurIPS 2018.
    """
    rest = quality**2 * np.diag(gram)  # what is left of each candidate beside those that are chosen
    factors = np.zeros((count, len(gram)))
    chosen: list[int] = []
    for step in range(min(count, len(gram))):
        best = int(np.argmax(rest))
        chosen.append(best)
        row = quality[best] * gram[best] * quality - factors[:step, best] @ factors[:step]
        factors[step] = row / np.sqrt(max(rest[best], np.finfo(float).tiny))
        rest = rest - factors[step] ** 2
        rest[chosen] = -np.inf
    return chosen
