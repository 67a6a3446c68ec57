"""Few-shot classification: N ways, K shots, many episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.svm.kernels import kernel_scores

# Of the normal distribution, for intervals of 95 % of a mean over episodes, as papers give them.
NORMAL_QUANTILE = 1.96
CLASSIFIERS = ("nearest mean", "SVM")


def few_shot_accuracies(
    gram: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    episodes: int = 600,
    C: float = 100.0,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Accuracies of the N-way K-shot protocol on given vectors.

    An episode draws `ways` classes, and of each `shots` items to learn from and `queries` others to classify. Two
    classifiers learn from them: the class whose mean vector is nearest, and one-vs-all SVMs.

    Args:
        gram: `(n, n)`, inner products of the items' vectors, best of unit length.
        labels: integers `(n,)`; classes of fewer items than `shots + queries` are not drawn.
        ways, shots, queries: classes of an episode; items of each to learn from, and to classify.
        episodes: how many.
        C: of the SVMs.
        seed: of the draws: the same episodes for both, and for other vectors of the same items.

    Returns:
        For `"nearest mean"` and `"SVM"` a dictionary: `value`, the mean over the episodes, and the ends `low` and
        `high` of its interval of 95 %, mean -+ 1.96 standard errors.

    Raises:
        DataError: if fewer than `ways` classes have enough items.

    Example:
        >>> vectors = np.repeat(np.eye(5), 20, axis=0)
        >>> found = few_shot_accuracies(vectors @ vectors.T, np.repeat(np.arange(5), 20), episodes=10)
        >>> found["SVM"]["value"], found["nearest mean"]["low"]
        (1.0, 1.0)

    Reference:
        Vinyals, Blundell, Lillicrap, Kavukcuoglu, Wierstra, "Matching Networks for One Shot Learning", NIPS 2016 (the
        protocol); Snell, Swersky, Zemel, "Prototypical Networks for Few-shot Learning", NIPS 2017 (nearest mean).
    """
    labels = np.asarray(labels)
    members = {label: np.flatnonzero(labels == label) for label in np.unique(labels).tolist()}
    large = [label for label, rows in members.items() if len(rows) >= shots + queries]
    if ways < 2 or len(large) < ways:
        raise DataError(
            f"{len(large)} classes have {shots + queries} items or more ({shots} to learn from, {queries} to "
            f"classify), and an episode needs {max(ways, 2)}: take fewer ways, shots or queries."
        )
    right = np.zeros((len(CLASSIFIERS), episodes))
    target = np.repeat(np.arange(ways), queries)
    for episode in range(episodes):
        rng = np.random.default_rng([seed, episode])
        drawn = [rng.permutation(members[label])[: shots + queries] for label in rng.permutation(large)[:ways]]
        support = np.concatenate([rows[:shots] for rows in drawn])
        query = np.concatenate([rows[shots:] for rows in drawn])
        own, cross = gram[np.ix_(support, support)], gram[np.ix_(query, support)]
        scores = kernel_scores(own, np.repeat(np.arange(ways), shots), cross, ways, C)
        for row, values in enumerate((_mean_scores(own, cross, ways, shots), scores)):
            right[row, episode] = np.mean(values.argmax(axis=1) == target)
    return {name: _interval(values) for name, values in zip(CLASSIFIERS, right, strict=True)}


def _mean_scores(own: np.ndarray, cross: np.ndarray, ways: int, shots: int) -> np.ndarray:
    """Half the negative squared distance to the class means, up to what all classes have: `x'm - m'm / 2`."""
    blocks = own.reshape(ways, shots, ways, shots)
    squares = np.einsum("isit->i", blocks) / shots**2
    return cross.reshape(len(cross), ways, shots).mean(axis=2) - squares / 2


def _interval(values: np.ndarray) -> dict[str, Any]:
    mean = float(values.mean())
    error = NORMAL_QUANTILE * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return {"value": mean, "low": mean - error, "high": mean + error}
