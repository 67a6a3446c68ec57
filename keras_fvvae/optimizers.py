"""Keras optimizers with per-variable learning-rate multipliers, as Caffe's `lr_mult`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import keras

# The authors' release: variances learn at ten times the base rate, biases at twice.
RELEASE_MULTIPLIERS = {r"log_variance$": 10.0, r"bias$": 2.0}

# The class that is mixed in precedes an optimizer of Keras, whose methods it calls.
_Mixin: Any = object


class _LearningRateMultipliers(_Mixin):
    """Adds the argument `learning_rate_multipliers` to a Keras optimizer class.

    The multiplier scales the step, not the gradient: Adadelta and Adam divide a scaled gradient out again.

    Args of the mixed-in class:
        learning_rate_multipliers: dictionary from a regular expression, searched in `variable.path`, to a factor. The
            first match counts; variables without a match learn at the base rate.
    """

    def __init__(self, *args: Any, learning_rate_multipliers: Mapping[str, float] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.learning_rate_multipliers = dict(learning_rate_multipliers or {})
        for pattern, factor in self.learning_rate_multipliers.items():
            if not factor >= 0:
                raise ValueError(f"`learning_rate_multipliers` must not be negative. Received: {pattern!r}: {factor}")

    def build(self, variables: list) -> None:
        super().build(variables)
        # By position: inside the update, TensorFlow hands over its own variables, which have no path.
        self._factors = [self.multiplier(variable.path) for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        factor = self._factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def multiplier(self, path: str) -> float:
        """The factor for the variable at `path`."""
        for pattern, factor in self.learning_rate_multipliers.items():
            if re.search(pattern, path):
                return factor
        return 1.0

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "learning_rate_multipliers": self.learning_rate_multipliers}


@keras.saving.register_keras_serializable(package="keras_fvvae")
class Adadelta(_LearningRateMultipliers, keras.optimizers.Adadelta):
    """`keras.optimizers.Adadelta` with `learning_rate_multipliers`.

    Example:
        >>> optimizer = Adadelta(1.0, learning_rate_multipliers=RELEASE_MULTIPLIERS)
        >>> optimizer.multiplier("fvvae_layer/x_log_variance"), optimizer.multiplier("fvvae_layer/decoder/kernel")
        (10.0, 1.0)
    """


@keras.saving.register_keras_serializable(package="keras_fvvae")
class Adam(_LearningRateMultipliers, keras.optimizers.Adam):
    """`keras.optimizers.Adam` with `learning_rate_multipliers`."""


@keras.saving.register_keras_serializable(package="keras_fvvae")
class SGD(_LearningRateMultipliers, keras.optimizers.SGD):
    """`keras.optimizers.SGD` with `learning_rate_multipliers`."""


OPTIMIZERS = {"adadelta": Adadelta, "adam": Adam, "sgd": SGD}
