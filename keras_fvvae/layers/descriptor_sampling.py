"""A random subset of an image's descriptors, for training on dense maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.layers.old_names import with_new_names


@keras.saving.register_keras_serializable(package="keras_fvvae")
class DescriptorSampling(keras.layers.Layer):
    """Keeps a random subset of every image's descriptors while training, and all of them otherwise.

    A 448x448 image gives 784 descriptors at VGG19's `conv5_4`, and neighbours are alike: a fresh subset at every step
    spares most of the work. Drawn without replacement, for every image anew.

    Args:
        num_descriptors: descriptors to keep, a positive integer; with `T <= num_descriptors` all are kept.
        seed: integer or `None`.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Input shape:
        `(batch, T, C)`.

    Output shape:
        `(batch, min(num_descriptors, T), C)` when training, the input's otherwise (the static shape is that of the
        latter).

    Raises:
        ValueError: for a `num_descriptors` that is not a positive integer.

    Example:
        >>> import numpy as np
        >>> descriptors = np.zeros((2, 784, 16), "float32")
        >>> DescriptorSampling(50, seed=1)(descriptors, training=True).shape
        TensorShape([2, 50, 16])
        >>> DescriptorSampling(50, seed=1)(descriptors).shape
        TensorShape([2, 784, 16])
    """

    def __init__(self, num_descriptors: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(num_descriptors, int) or num_descriptors < 1:
            raise ValueError(
                f"`num_descriptors` must be a positive integer. Received: num_descriptors={num_descriptors!r}"
            )
        self.num_descriptors = num_descriptors
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        total = inputs.shape[1]
        if not training or (total is not None and total <= self.num_descriptors):
            return inputs
        batch, length, channels = ops.shape(inputs)
        count = self.num_descriptors if total is not None else ops.minimum(self.num_descriptors, length)
        indices = self.draw(batch, length, count)
        # Rows of the whole batch: `take_along_axis` would transpose all of it first, 14 times the work.
        rows = ops.expand_dims(ops.arange(batch, dtype=indices.dtype) * length, -1) + indices
        return ops.take(ops.reshape(inputs, (-1, channels)), rows, axis=0)

    def draw(self, batch: Any, length: Any, count: Any) -> Any:
        """Positions `(batch, count)` among `length`, for every image a uniform subset without replacement."""
        noise = keras.random.uniform((batch, length), dtype="float32", seed=self.seed_generator)
        # Those of the largest of independent uniforms are such a subset.
        return ops.top_k(noise, count, sorted=False)[1]

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Sequence[int | None]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_descriptors": self.num_descriptors, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DescriptorSampling:
        return super().from_config(with_new_names(config))
