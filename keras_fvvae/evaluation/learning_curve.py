"""How accuracy grows with the training items, and what more of them would give, by a law that is fitted to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls
from sklearn.model_selection import StratifiedGroupKFold

from keras_fvvae.svm.kernels import fold_numbers, kernel_scores
from keras_fvvae.utils.labels import UNLABELLED

# Shares of the training items of a fold.
SHARES = (1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1)
FOLDS = 5
# How many times the training items is extrapolated to.
FACTOR = 2
RESAMPLES = 200
# Exponents of the law. Measured curves lie between 0.3 and 1 mostly; smaller ones cannot be told from a constant.
EXPONENTS = np.linspace(0.1, 1.5, 29)
# Of fewer items the smallest share is a handful.
MIN_ITEMS = 40
# Classes times the square of the items, to which the time of the solvers grows: at this some 20 s on one core.
MOST_WORK = 2e8


@dataclasses.dataclass(frozen=True)
class LearningCurve:
    """Accuracies by the number of training items.

    Attributes:
        counts: training items, in the mean over the folds.
        accuracies: of held-out items, as shares of one.
        law: `(a, b, c)`: `1 - accuracy = a + b * count ** -c`.
        count: that the law is extrapolated to.
        accuracy: that the law gives there, with `low` and `high`: 95 % of the resamples of the held-out items. What
            the law itself is wrong by is not in it.
    """

    counts: list[int]
    accuracies: list[float]
    law: tuple[float, float, float]
    count: int
    accuracy: float
    low: float
    high: float

    def at(self, count: float | np.ndarray) -> np.ndarray:
        """What the law gives for other numbers of training items."""
        a, b, c = self.law
        return 1 - np.clip(a + b * np.asarray(count, "float64") ** -c, 0, 1)


def is_affordable(labels: np.ndarray) -> bool:
    """Whether there are enough items for a curve and not too many for a report to wait for.

    Example:
        >>> is_affordable(np.arange(100) % 5), is_affordable(np.arange(20) % 5), is_affordable(np.arange(9500) % 101)
        (True, False, False)
    """
    labels = labels[labels != UNLABELLED]
    classes = len(np.unique(labels))
    return classes > 1 and len(labels) >= MIN_ITEMS and classes * len(labels) ** 2 <= MOST_WORK


def learning_curve(
    gram: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    C: float = 100.0,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> LearningCurve:
    """The learning curve of one-vs-all SVMs on given vectors, through their Gram matrix.

    The items are divided into five parts; each is classified by SVMs of 1/8, 1/4, 3/8, 1/2, 3/4 and all of the others,
    where each share contains the one before and every class has its share. To the errors the inverse power law
    `a + b n^-c`, `a, b >= 0`, is fitted by least squares. It is extrapolated to twice the items; the interval is of
    fits to resampled held-out items.

    The vectors themselves stay as they are: an encoder that was trained on all items is not a part of the curve.

    Args:
        gram: `(n, n)`, inner products of the items' vectors.
        labels: integers `(n,)`, of two classes at least.
        C: of the SVMs.
        groups: text per item; items of one group are in one part (clips of a scene).
        seed: of parts, shares and resamples.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = np.arange(120) % 3
        >>> vectors = rng.normal(size=(120, 200)) + 4 * np.eye(3, 200)[labels]
        >>> vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        >>> curve = learning_curve(vectors @ vectors.T, labels)
        >>> curve.counts, curve.count, curve.accuracies[-1] > curve.accuracies[0]
        ([12, 24, 36, 48, 72, 96], 240, True)

    Reference:
        Cortes, Jackel, Solla, Vapnik, Denker, "Learning Curves: Asymptotic Values and Rate of Convergence", NIPS 1994
        (the law); Viering, Loog, "The Shape of Learning Curves: a Review", TPAMI 2022 (how far it can be trusted).
    """
    labels = np.asarray(labels)
    classes = int(labels.max()) + 1
    parts = _parts(labels, groups, seed)
    right = np.zeros((len(SHARES), len(labels)))
    sizes = np.zeros((len(SHARES), FOLDS))
    for part in range(FOLDS):
        held = np.flatnonzero(parts == part)
        rest = _by_share(np.flatnonzero(parts != part), labels, seed)
        for row, share in enumerate(SHARES):
            chosen = rest[: max(2, round(share * len(rest)))]
            sizes[row, part] = len(chosen)
            if len(np.unique(labels[chosen])) < 2 or not len(held):
                continue
            scores = kernel_scores(gram[np.ix_(chosen, chosen)], labels[chosen], gram[np.ix_(held, chosen)], classes, C)
            right[row, held] = scores.argmax(axis=1) == labels[held]
    counts = sizes.mean(axis=1)
    count = FACTOR * len(labels)
    law = _fit(counts, 1 - right.mean(axis=1))
    rng = np.random.default_rng([seed, 1])
    drawn = rng.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), RESAMPLES) / len(labels)
    found = [_value(_fit(counts, 1 - right @ weights), count) for weights in drawn]
    low, high = np.percentile(found, [2.5, 97.5])
    return LearningCurve(
        [round(one) for one in counts],
        right.mean(axis=1).tolist(),
        law,
        count,
        _value(law, count),
        float(low),
        float(high),
    )


def _parts(labels: np.ndarray, groups: Sequence[str] | None, seed: int) -> np.ndarray:
    """The part of each item."""
    if groups is None or len(set(groups)) < FOLDS:
        return fold_numbers(labels, FOLDS, seed)
    parts = np.zeros(len(labels), int)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for part, (_, held) in enumerate(splitter.split(labels, labels, groups)):
        parts[held] = part
    return parts


def _by_share(items: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """The items in an order of which every beginning has all classes in their proportion, as far as it goes."""
    items = np.random.default_rng([seed, 0]).permutation(items)
    keys = np.zeros(len(items))
    for label in np.unique(labels[items]):
        members = np.flatnonzero(labels[items] == label)
        keys[members] = (np.arange(len(members)) + 0.5) / len(members)
    return items[np.argsort(keys, kind="stable")]


def _fit(counts: np.ndarray, errors: np.ndarray) -> tuple[float, float, float]:
    """`(a, b, c)` of the law with the least squares: for every exponent a linear problem."""
    fits = []
    for exponent in EXPONENTS:
        (a, b), residual = nnls(np.stack([np.ones(len(counts)), counts**-exponent], axis=1), errors)
        fits.append((residual, float(a), float(b), float(exponent)))
    return min(fits)[1:]


def _value(law: tuple[float, float, float], count: float) -> float:
    a, b, c = law
    return float(np.clip(1 - a - b * count**-c, 0, 1))
