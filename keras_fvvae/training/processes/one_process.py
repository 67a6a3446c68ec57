"""Who trains: one process, or several that share every step. What both offer, and the simple one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

import keras

_Array = TypeVar("_Array")


@runtime_checkable
class Trained(Protocol):
    """A compiled model that is trained step by step, on one device or a copy on each of several.

    Attributes:
        model: what is trained; of several devices a copy of the model that was given.
    """

    model: keras.Model

    def synchronize(self) -> None:
        """Takes weights and optimizer state of the chief's model to all devices."""

    def assign_per_replica(self, variable: Any, value_of: Callable[[int], Any]) -> None:
        """Assigns `value_of(number of the replica)` to a variable of `model` on each device."""

    def step(self, inputs: Any, labels: Any) -> Mapping[str, Any]:
        """One training step on a global batch; returns the model's metrics over the whole of it."""

    def write_back(self) -> None:
        """Gives weights and optimizer state to the model that was given."""


@runtime_checkable
class Processes(Protocol):
    """The processes that train one model together, this one among them.

    Attributes:
        is_chief: whether this process writes files.
        index: which of them it is.
        count: how many there are.
        replicas: devices of all of them.
    """

    is_chief: bool
    index: int
    count: int
    replicas: int

    def require_divisible(self, batch_size: int) -> None:
        """Raises a `RunError` unless a global batch splits evenly over the devices."""

    def require_same(self, texts: Mapping[str, str]) -> None:
        """Raises a `RunError` unless all processes give the same texts, by what they are."""

    def share(self, array: _Array) -> _Array:
        """The chief's array, on every process."""

    def barrier(self) -> None:
        """Waits for all processes."""

    def replicate(self, model: keras.Model, batch_size: int) -> Trained:
        """A compiled model, ready to be trained in steps of this global batch."""


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
