"""What layers share that are fitted to data by `adapt`: constant weights, the count of what was seen, guards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_fvvae.ops.tensors import holds_values


class AdaptedLayer(keras.layers.Layer):
    """A layer of constants that `adapt(data, verbose=0)` fits to a training set.

    `build` of the layers calls `add_counter`; `adapt` sets `seen` when the constants are there, and `call` begins with
    `require_adapted`. What `data` may be is said once, in `keras_fvvae.utils.batches`.

    Class attributes:
        counted: what `adapt` counts; names the weight, `<counted>_seen`.
        fitted: what the layer lacks before `adapt`, for the message.
        adapted_to: what `adapt` takes, for the message.
    """

    counted: str = "descriptors"
    fitted: str = "codebook"
    adapted_to: str = "descriptors of the training set"

    def add_counter(self) -> None:
        """Adds the weight that tells whether the layer was adapted: saved, unlike a Python attribute."""
        self.seen = add_constant(self, f"{self.counted}_seen", (), dtype="int64")

    @property
    def needs_adapt(self) -> bool:
        """Whether the layer's settings ask for data at all."""
        return True

    @property
    def is_adapted(self) -> bool:
        """Whether the layer holds what `adapt` fits, or needs no data."""
        return not self.needs_adapt or (self.built and int(self.seen) > 0)

    def require_adapted(self, inputs: Any) -> None:
        """Refuses a call with values at hand before `adapt` or a load; tracing a graph is allowed."""
        if holds_values(inputs) and not self.is_adapted:
            raise ValueError(self.not_adapted_message)

    @property
    def not_adapted_message(self) -> str:
        """What a call before `adapt` is told."""
        return f"This `{type(self).__name__}` has no {self.fitted} yet: call `adapt` on {self.adapted_to} first."


def add_constant(
    layer: keras.layers.Layer,
    name: str,
    shape: Sequence[int],
    initializer: str | Callable = "zeros",
    dtype: str | None = None,
) -> Any:
    """A weight that is not trained, not narrowed under mixed precision, and saved with the layer."""
    return layer.add_weight(
        name=name, shape=tuple(shape), initializer=initializer, dtype=dtype, trainable=False, autocast=False
    )


def fixed(values: np.ndarray) -> Callable:
    """An initializer that gives the values of an array."""
    return lambda shape, dtype=None: keras.ops.convert_to_tensor(values, dtype)
