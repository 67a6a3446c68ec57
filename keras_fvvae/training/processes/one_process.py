"""A training by one process, on its default device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import keras

_Array = TypeVar("_Array")


class OneProcess:
    """A training by this process alone, on its default device."""

    is_chief, index, count, replicas = True, 0, 1, 1

    def require_divisible(self, batch_size: int) -> None:
        """Any batch goes on one device."""

    def require_same(self, texts: Mapping[str, str]) -> None:
        """There is nobody to differ from."""

    def share(self, array: _Array) -> _Array:
        return array

    def barrier(self) -> None:
        """There is nobody to wait for."""

    def replicate(self, model: keras.Model, batch_size: int) -> OneModel:
        return OneModel(model)


class OneModel:
    """A model that is trained itself; `ReplicatedModel` is for several devices.

    Args:
        model: a compiled Keras model.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        model.optimizer.build(model.trainable_variables)

    def synchronize(self) -> None:
        """There is no other copy."""

    def assign_per_replica(self, variable: Any, value_of: Callable[[int], Any]) -> None:
        variable.assign(value_of(0))

    def step(self, inputs: Any, labels: Any) -> Mapping[str, Any]:
        self.model.reset_metrics()
        return self.model.train_on_batch(inputs, labels, return_dict=True)

    def write_back(self) -> None:
        """The model itself is trained."""
