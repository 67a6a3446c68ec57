"""Calibrations fitted to decision values of items that the classifier was not fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from keras_fvvae.svm.calibration import MAX_CONFIDENCES, METHODS, Calibration

# Ends of the search for a temperature, as logarithms to the base e, in units of the scores' root mean square.
LOG_TEMPERATURES = (-8.0, 8.0)
# Half the width of the knots of a constant function, which has no two different ones.
HALF_WIDTH = 0.5


def fit_calibration(
    method: str, scores: np.ndarray, labels: np.ndarray, folds: np.ndarray
) -> tuple[Calibration, np.ndarray]:
    """Fits a calibration, and says what it gives on items that it was not fitted to.

    Args:
        method: one of `keras_fvvae.svm.calibration.METHODS`.
        scores: `(n, classes)` decision values of items by classifiers that have not seen them; of two classes one's are
            the other's negative.
        labels: integers `(n,)` from 0 to classes - 1, each of them there.
        folds: integers `(n,)`: items of one fold are calibrated together by what was fitted to the others.

    Returns:
        Pair: the `Calibration` fitted to all of them, with its held-out confidences; and probabilities `(n, classes)`
        of calibrations that have not seen the item either. Where the items without a fold lack a class, that fold's are
        by the calibration of all.

    Raises:
        ValueError: for an unknown method.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = np.arange(60) % 3
        >>> scores = 0.1 * (np.eye(3)[labels] + 0.5 * rng.normal(size=(60, 3)))
        >>> calibration, held_out = fit_calibration("temperature", scores, labels, np.arange(60) // 12)
        >>> 0 < calibration.parameters["temperature"] < 0.1, held_out.shape, len(calibration.confidences)
        (True, (60, 3), 60)
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {', '.join(METHODS)}. Received: method={method!r}")
    fit = {"temperature": _temperature, "sigmoid": _sigmoids, "isotonic": _curves}[method]
    whole = Calibration(method, fit(scores, labels))
    held_out = whole.probabilities(scores)
    for fold in np.unique(folds):
        own = folds == fold
        if len(np.unique(labels[~own])) == scores.shape[1]:
            held_out[own] = Calibration(method, fit(scores[~own], labels[~own])).probabilities(scores[own])
    best = held_out[np.arange(len(labels)), scores.argmax(axis=1)]
    return Calibration(method, whole.parameters, _order_statistics(best)), held_out


def fit_sigmoid(scores: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Slope and offset of `p = 1 / (1 + exp(-(slope * score + offset)))`, by maximum likelihood with Platt's targets.

    Platt's targets `(N+ + 1) / (N+ + 2)` and `1 / (N- + 2)` instead of 1 and 0 keep the slope finite where the classes
    separate.

    Args:
        scores: `(n,)` decision values of samples that the SVM was not fitted to.
        target: `(n,)` booleans of both kinds.

    Example:
        >>> slope, offset = fit_sigmoid(np.array([-1.0, 1.0, -1.0, 1.0]), np.array([False, True, False, True]))
        >>> round(float(slope), 3), abs(round(float(offset), 3))  # p(1) = 3 / 4
        (1.099, 0.0)

    Reference:
        Platt, "Probabilistic outputs for support vector machines", 1999; Lin, Lin, Weng, Machine Learning 68, 2007.
    """
    certain = platt_targets(target)
    # A sample of probability p is one of class 1 with weight p and one of class 0 with weight 1 - p.
    solver = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8)
    solver.fit(
        np.concatenate([scores, scores])[:, np.newaxis],
        np.repeat([1, 0], len(scores)),
        sample_weight=np.concatenate([certain, 1 - certain]),
    )
    return solver.coef_[0, 0], solver.intercept_[0]


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The `T` of `softmax(scores / T)` by maximum likelihood.

    Of n items the right class counts `(n + 1) / (n + 2)`, and the others share the rest: with 1 and 0, items that are
    all classified rightly would have `T = 0` and be certain.

    Args:
        scores: `(n, classes)`.
        labels: integers `(n,)`.

    Example:
        >>> scores = np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]])
        >>> round(fit_temperature(scores, np.array([0, 1, 0, 1])), 3)  # 2 / T = log(5): p = 5 / 6
        1.243
    """
    count, classes = scores.shape
    targets = np.full(scores.shape, 1 / (count + 2) / (classes - 1))
    targets[np.arange(count), labels] = (count + 1) / (count + 2)
    scale = float(np.sqrt(np.mean(np.square(scores)))) or 1.0

    def loss(logarithm: float) -> float:
        return -float(np.sum(targets * log_softmax(scores / (scale * np.exp(logarithm)), axis=1)))

    found = minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded", options={"xatol": 1e-6})
    return float(scale * np.exp(found.x))


def platt_targets(target: np.ndarray) -> np.ndarray:
    """Platt's targets of booleans: nearly 1 and nearly 0.

    Example:
        >>> platt_targets(np.array([True, False])).round(3).tolist()
        [0.667, 0.333]
    """
    positive = np.count_nonzero(target)
    return np.where(target, (positive + 1) / (positive + 2), 1 / (len(target) - positive + 2))


def _temperature(scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    return {"temperature": fit_temperature(scores, labels)}


def _sigmoids(scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    fitted = [fit_sigmoid(scores[:, column], labels == column) for column in range(scores.shape[1])]
    return {"slopes": [float(slope) for slope, _ in fitted], "offsets": [float(offset) for _, offset in fitted]}


def _curves(scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """With Platt's targets no probability is 0 or 1, of whichever few items."""
    knots, values = [], []
    for column in range(scores.shape[1]):
        fitted = IsotonicRegression().fit(scores[:, column], platt_targets(labels == column))
        x, y = fitted.X_thresholds_, fitted.y_thresholds_
        if len(x) == 1:
            x, y = np.array([x[0] - HALF_WIDTH, x[0] + HALF_WIDTH]), np.repeat(y, 2)
        knots.append(x.tolist())
        values.append(y.tolist())
    return {"knots": knots, "values": values}


def _order_statistics(confidences: np.ndarray) -> list[float]:
    """Sorted; of many those at evenly spaced ranks, rounded down, so that a threshold refuses none too many."""
    ordered, count = np.sort(confidences), len(confidences)
    if count > MAX_CONFIDENCES:
        ranks = np.arange(1, MAX_CONFIDENCES + 1) * (count + 1) // (MAX_CONFIDENCES + 1)
        ordered = ordered[ranks - 1]
    return np.clip(ordered, 0.0, 1.0).tolist()
