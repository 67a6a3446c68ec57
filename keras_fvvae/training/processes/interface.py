"""Who trains: what one process, and several that share every step, both offer."""

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
