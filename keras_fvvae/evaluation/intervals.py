"""Wilson's interval of a share of right answers, also where all or none are right."""

from __future__ import annotations

import math
from typing import Any

from scipy.special import ndtri


def wilson_interval(share: float, count: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a binomial share.

    Its center lies between the share and 1/2, so that it says something where all answers are right: the usual
    `share +- standard error` then pretends that nothing could ever be wrong. Without a resampling it also is the same
    every time.

    Args:
        share: of `count` answers that are right, from 0 to 1.
        count: positive number of independent answers.
        level: probability of the interval, between 0 and 1.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: for no answers, or a level that cannot be.

    Example:
        >>> [round(end, 3) for end in wilson_interval(1.0, 8)]
        [0.676, 1.0]

    Reference:
        Wilson, Journal of the American Statistical Association 22, 1927; Brown, Cai and DasGupta, Statistical Science
        16, 2001 (why not the usual one).
    """
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1. Received: level={level}")
    if count < 1:
        raise ValueError(f"`count` must be positive. Received: count={count}")
    z = float(ndtri((1 + level) / 2))
    center = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    # At the ends rounding would leave 1 - 1e-16.
    return (0.0 if share == 0 else center - half), (1.0 if share == 1 else center + half)


def accuracy_interval(metrics: dict[str, Any]) -> tuple[float, float]:
    """The 95 % interval of the accuracy of a result of `plain_metrics`; means over splits have one standard deviation.

    Example:
        >>> accuracy_interval({"accuracy": 0.75, "standard_error": 0.25})
        (0.5, 1.0)
    """
    if "examples" in metrics:
        return wilson_interval(metrics["accuracy"], metrics["examples"])
    return metrics["accuracy"] - metrics["standard_error"], metrics["accuracy"] + metrics["standard_error"]


def accuracy_text(metrics: dict[str, Any]) -> str:
    """The accuracy of a result of `plain_metrics` and its 95 % interval, in percent, without the sign.

    Means over splits, which have no number of examples, keep their `+-` standard deviation.

    Example:
        >>> accuracy_text({"accuracy": 1.0, "examples": 8, "standard_error": 0.0})
        '100.0 (67.6 to 100.0)'
    """
    accuracy = f"{100 * metrics['accuracy']:.1f}"
    if "examples" not in metrics:
        return f"{accuracy} +- {100 * metrics['standard_error']:.1f}"
    low, high = accuracy_interval(metrics)
    return f"{accuracy} ({100 * low:.1f} to {100 * high:.1f})"
