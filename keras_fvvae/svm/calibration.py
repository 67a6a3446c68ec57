"""Probabilities of decision values: what cross-validation says of a classifier's scores, and "none of these"."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

METHODS = ("sigmoid", "temperature", "isotonic")
# Held-out confidences that are kept: order statistics of more, so that thresholds are exact to a thousandth.
MAX_CONFIDENCES = 1000
# Of what is read from a file: as many as one class could have items of training.
MAX_KNOTS = 1_000_000


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A fitted map from the decision values of all classes to their probabilities, which sum to one.

    With `s_k` the decision value of class k:

        temperature   p = softmax(s / T): one number for all classes; the best class stays the best
        sigmoid       p_k = q_k / sum q,  q_k = 1 / (1 + exp(-(slope_k s_k + offset_k)))
        isotonic      p_k = q_k / sum q,  q_k a rising, piecewise linear function of s_k

    Args:
        method: one of `METHODS`.
        parameters: plain lists and numbers by name: `temperature`; or `slopes` and `offsets`, one a class; or `knots`
            and `values`, a list a class.
        confidences: rising: the probabilities of the best classes of held-out items, at most `MAX_CONFIDENCES`.

    Raises:
        ValueError: for what cannot be such a map, as of a damaged file.

    Example:
        >>> calibration = Calibration("temperature", {"temperature": 0.5}, [0.4, 0.6, 0.8, 0.9])
        >>> calibration.probabilities(np.array([[0.0, 0.5]])).round(3).tolist()
        [[0.269, 0.731]]
        >>> calibration.threshold(0.75), calibration.threshold(1.0)
        (0.4, 0.0)

    Reference:
        Platt, "Probabilistic outputs for support vector machines", 1999; Zadrozny and Elkan, "Transforming classifier
        scores into accurate multiclass probability estimates", KDD 2002; Guo et al., "On calibration of modern neural
        networks", ICML 2017.
    """

    method: str
    parameters: dict[str, Any]
    confidences: Sequence[float] = ()

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ValueError(f"This is no calibration of scores: {problem}.")

    @classmethod
    def from_config(cls, config: Any) -> Calibration:
        """The calibration that `get_config` gave.

        Raises:
            ValueError: if it is something else.
        """
        if not isinstance(config, dict) or config.keys() != {"method", "parameters", "confidences"}:
            raise ValueError("This is no calibration of scores: `method`, `parameters` and `confidences` are expected.")
        return cls(**config)

    def get_config(self) -> dict[str, Any]:
        """Plain data, as JSON holds it."""
        return {
            "method": self.method,
            "parameters": dict(self.parameters),
            "confidences": list(self.confidences),
        }

    @property
    def num_classes(self) -> int | None:
        """How many classes it is for; `None` where it is for any number."""
        return None if self.method == "temperature" else len(next(iter(self.parameters.values())))

    def probabilities(self, scores: Any, xp: ModuleType = np) -> Any:
        """Probabilities `(n, classes)` of decision values `(n, classes)`; of two classes, one's the other's negative.

        Args:
            scores: array, or a tensor with `xp=keras.ops`.
            xp: module of the operations: `numpy` (default), or `keras.ops`, by which exports compute the same.
        """
        dtype = scores.dtype if xp is np and np.issubdtype(scores.dtype, np.floating) else "float32"
        if self.method == "isotonic":
            shares = self._isotonic(scores, dtype, xp)
        else:
            if self.method == "temperature":
                logs = scores / np.asarray(self.parameters["temperature"], dtype)
            else:
                slopes, offsets = (np.asarray(self.parameters[name], dtype) for name in ("slopes", "offsets"))
                logits = scores * slopes + offsets
                # The logarithm of the sigmoid, also where that is too small for a float.
                logs = xp.minimum(logits, 0.0) - xp.log(1.0 + xp.exp(-xp.abs(logits)))
            shares = xp.exp(logs - xp.max(logs, axis=-1, keepdims=True))
        return shares / xp.sum(shares, axis=-1, keepdims=True)

    def threshold(self, coverage: float) -> float:
        """The confidence below which an item is answered with "none of these".

        The k-th smallest of n held-out confidences, `k = floor((1 - coverage) (n + 1))`: a new item of the known
        classes falls below it with a probability of at most `1 - coverage`, whatever the distribution, as long as it is
        drawn as the n were (split conformal prediction). How many items of other classes do, nobody knows without such
        items.

        Args:
            coverage: wanted share of items of the known classes that get an answer, above 0, at most 1.

        Raises:
            ValueError: for another coverage, or where no held-out confidences are known.

        Reference:
            Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005.
        """
        if not 0 < coverage <= 1:
            raise ValueError(f"`coverage` must be above 0 and at most 1. Received: coverage={coverage}")
        if not len(self.confidences):
            raise ValueError("No confidences of held-out items are known: a threshold cannot be chosen.")
        # Rounding: (1 - 0.9) * 10 is 0.9999999999999998.
        rank = math.floor((1 - coverage) * (len(self.confidences) + 1) + 1e-9)
        return float(self.confidences[rank - 1]) if rank else 0.0

    def expanded(self, classes: np.ndarray, class_count: int) -> Calibration:
        """The same for more classes, of which some were not seen in training: their probability is 0.

        Args:
            classes: integers, the classes that it was fitted to; the others' scores are `svm.UNSEEN_SCORE`.
            class_count: number of all classes.
        """
        if self.method == "temperature" or len(classes) == class_count:
            return self
        unseen: dict[str, Any] = {"slopes": 1.0, "offsets": 0.0, "knots": [0.0, 1.0], "values": [0.0, 0.0]}
        parameters = {}
        for name, known in self.parameters.items():
            parameters[name] = [unseen[name]] * class_count
            for place, value in zip(classes.tolist(), known, strict=True):
                parameters[name][place] = value
        return dataclasses.replace(self, parameters=parameters)

    def _isotonic(self, scores: Any, dtype: Any, xp: ModuleType) -> Any:
        """A sum of clipped ramps, one a piece: values that it does not clip telescope."""
        knots, values = self.parameters["knots"], self.parameters["values"]
        pieces = max(map(len, knots)) - 1
        starts, widths, rises = np.zeros((3, len(knots), pieces))
        widths[:] = 1.0
        for row, (x, y) in enumerate(zip(knots, values, strict=True)):
            count = len(x) - 1
            starts[row, :count], widths[row, :count], rises[row, :count] = x[:-1], np.diff(x), np.diff(y)
        starts, widths, rises = (one.astype(dtype) for one in (starts, widths, rises))
        first = np.asarray([y[0] for y in values], dtype)
        ramps = xp.minimum(xp.maximum((scores[..., None] - starts) / widths, 0.0), 1.0)
        return first + xp.sum(ramps * rises, axis=-1)

    def _problem(self) -> str:
        """What is wrong, in words; empty where nothing is."""
        names = {"temperature": {"temperature"}, "sigmoid": {"slopes", "offsets"}, "isotonic": {"knots", "values"}}
        if self.method not in names:
            return f"`method` must be one of {', '.join(METHODS)}"
        if not isinstance(self.parameters, dict) or self.parameters.keys() != names[self.method]:
            return f"`parameters` must be {' and '.join(sorted(names[self.method]))}"
        if not _are_numbers(self.confidences) or list(self.confidences) != sorted(self.confidences):
            return "`confidences` must be rising numbers"
        if len(self.confidences) > MAX_CONFIDENCES or not all(0 <= one <= 1 for one in self.confidences):
            return f"`confidences` must be at most {MAX_CONFIDENCES} numbers from 0 to 1"
        if self.method == "temperature":
            value = self.parameters["temperature"]
            return "" if _are_numbers([value]) and value > 0 else "`temperature` must be a positive number"
        first, second = (self.parameters[name] for name in sorted(names[self.method]))
        if not isinstance(first, list | tuple) or not isinstance(second, list | tuple) or len(first) != len(second):
            return "both parameters must have one entry a class"
        if len(first) < 2:
            return "at least two classes are needed"
        if self.method == "sigmoid":
            return "" if _are_numbers(first) and _are_numbers(second) else "its parameters must be numbers"
        return next((problem for x, y in zip(first, second, strict=True) if (problem := _curve_problem(x, y))), "")


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(
        isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in values
    )


def _curve_problem(knots: Any, values: Any) -> str:
    if not _are_numbers(knots) or not _are_numbers(values) or len(knots) != len(values):
        return "`knots` and `values` must be as many numbers"
    if not 2 <= len(knots) <= MAX_KNOTS or not (np.diff(knots) > 0).all():
        return "`knots` must be at least two rising numbers"
    rising = (np.diff(values) >= 0).all() and values[0] >= 0 and values[-1] <= 1
    return "" if rising else "`values` must rise from 0 to 1 at most"
