"""Probabilities from decision values: one sigmoid per class (Platt)."""

from __future__ import annotations

import numpy as np
from scipy.special import log_expit, softmax
from sklearn.linear_model import LogisticRegression


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
    positive = np.count_nonzero(target)
    certain = np.where(target, (positive + 1) / (positive + 2), 1 / (len(target) - positive + 2))
    # A sample of probability p is one of class 1 with weight p and one of class 0 with weight 1 - p.
    solver = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8)
    solver.fit(
        np.concatenate([scores, scores])[:, np.newaxis],
        np.repeat([1, 0], len(scores)),
        sample_weight=np.concatenate([certain, 1 - certain]),
    )
    return solver.coef_[0, 0], solver.intercept_[0]


def class_probabilities(scores: np.ndarray, sigmoids: np.ndarray) -> np.ndarray:
    """Probabilities `(n, n_classes)` of decision values `(n, n_problems)`, each row with a sum of one.

    With several classes the sigmoids' values are divided by their sum; with one problem they are of the second class.

    Args:
        scores: `(n, n_problems)`.
        sigmoids: `(n_problems, 2)`: slope and offset.
    """
    logits = scores * sigmoids[:, 0] + sigmoids[:, 1]
    if logits.shape[1] == 1:
        logits = np.concatenate([-logits, logits], axis=1)
    # softmax(log p) = p / sum p, also where every p is too small for a float.
    return softmax(log_expit(logits), axis=1)
