"""How far a result on test items would vary with the items: the bootstrap, and McNemar's test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

# Enough for the ends of a 95 % interval: 25 resamples lie beyond each.
RESAMPLES = 1000
# Numbers of one block of weights: 8 MB of doubles, which a processor's cache holds.
BLOCK_NUMBERS = 1_000_000


def resampling_weights(
    count: int, resamples: int = RESAMPLES, seed: int = 0, strata: ArrayLike | None = None
) -> Iterator[np.ndarray]:
    """How often each item is drawn when as many items as there are are drawn with replacement, in blocks of resamples.

    Args:
        count: number of items.
        resamples: number of rows in all blocks together.
        seed: integer; the same seed gives the same resamples, so two systems on the same items can be paired.
        strata: `(count,)` labels; each stratum keeps its size. Default: none, items are drawn from all.

    Yields:
        float64 arrays `(rows, count)`; each row sums to `count`.

    Example:
        >>> [block.sum(axis=1).tolist() for block in resampling_weights(4, resamples=3)]
        [[4.0, 4.0, 4.0]]
    """
    generator = np.random.default_rng(seed)
    strata = np.zeros(count) if strata is None else np.asarray(strata)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    rows = max(1, BLOCK_NUMBERS // count)
    for start in range(0, resamples, rows):
        block = np.zeros((count, min(rows, resamples - start))).T  # an item's weights lie together: metrics sort items
        for items in members:
            block[:, items] = generator.multinomial(len(items), np.full(len(items), 1 / len(items)), size=len(block))
        yield block


def bootstrap_intervals(
    statistic: Callable[[np.ndarray], np.ndarray],
    count: int,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
    strata: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of statistics of weighted items, with percentile bootstrap intervals.

    Items are drawn independently of their class unless `strata` holds it: a test set is taken for a sample of what the
    system will meet, the shares of its classes included, and a class of one item would not vary within its stratum. A
    resample in which a statistic is undefined (NaN: a class that was not drawn) does not count for it. Average
    precision is biased upwards in resamples (repeated items rank beside each other), so its interval may lie mostly
    above the value where items are few.

    Args:
        statistic: function from weights `(resamples, count)` to an array `(resamples, statistics)`.
        count: number of items.
        resamples: number of resamples; 0 for no intervals.
        level: probability of the interval, between 0 and 1.
        seed, strata: as in `resampling_weights`.

    Returns:
        Tuple of float64 arrays `(statistics,)`: values on the items as they are, lower and upper ends. The ends are NaN
        for `resamples=0`.

    Raises:
        ValueError: for a level or a number of resamples that cannot be.

    Example:
        >>> right = np.array([1.0, 1.0, 1.0, 0.0])
        >>> value, low, high = bootstrap_intervals(lambda weights: (weights @ right / 4)[:, None], 4)
        >>> value.tolist(), low.tolist(), high.tolist()
        ([0.75], [0.25], [1.0])

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, Section 13.3.
    """
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1. Received: level={level}")
    if resamples < 0:
        raise ValueError(f"`resamples` must not be negative. Received: resamples={resamples}")
    value = statistic(np.ones((1, count)))[0]
    if not resamples:
        return value, np.full_like(value, np.nan), np.full_like(value, np.nan)
    drawn = np.concatenate([statistic(block) for block in resampling_weights(count, resamples, seed, strata)])
    low, high = np.full_like(value, np.nan), np.full_like(value, np.nan)
    known = ~np.isnan(drawn).all(axis=0)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low[known], high[known] = np.nanquantile(drawn[:, known], tails, axis=0)
    return value, low, high


def mcnemar(first: ArrayLike, second: ArrayLike) -> dict[str, Any]:
    """McNemar's exact test of two systems' right and wrong answers to the same items.

    Args:
        first, second: boolean `(n,)`, whether each answer is right.

    Returns:
        Dictionary: `only_first`, `only_second`: items that one of them alone has right; `p_value`: two-sided, of a
        difference as large as this if both were equally good.

    Example:
        >>> mcnemar([True] * 6 + [False], [False] * 6 + [True])
        {'only_first': 6, 'only_second': 1, 'p_value': 0.125}

    Reference:
        McNemar, Psychometrika 1947; the exact (binomial) form.
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    ones, others = int((first & ~second).sum()), int((~first & second).sum())
    p_value = float(binomtest(ones, ones + others).pvalue) if ones + others else 1.0
    return {"only_first": ones, "only_second": others, "p_value": p_value}
