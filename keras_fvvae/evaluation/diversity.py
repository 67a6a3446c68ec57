"""Which of many candidates to take: those that stand for as much as possible of what is not covered yet."""

from __future__ import annotations

import numpy as np


def representative(similarities: np.ndarray, covered: np.ndarray, count: int) -> list[int]:
    """Chooses candidates one after the other, each the one that adds most to `sum_u max_s K(u, s)` over the items u and
    all that are chosen or known, s (greedy facility location).

    Args:
        similarities: `(items, candidates)`, inner products of the items' and the candidates' vectors.
        covered: `(items,)`, of every item the largest inner product with what is known already; 0: nothing is.
        count: how many to choose.

    Returns:
        Positions of candidates in the order of the choice.

    Example:
        >>> vectors = np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])
        >>> representative(vectors @ vectors.T, vectors @ vectors[0], 2)  # the first is known
        [2, 3]

    Reference:
        Wei, Iyer, Bilmes, "Submodularity in Data Subset Selection and Active Learning", ICML 2015.
    """
    covered = np.array(covered, "float64")
    chosen: list[int] = []
    for _ in range(min(count, similarities.shape[1])):
        gains = np.maximum(similarities - covered[:, np.newaxis], 0).sum(axis=0)
        gains[chosen] = -1
        best = int(np.argmax(gains))
        chosen.append(best)
        covered = np.maximum(covered, similarities[:, best])
    return chosen
