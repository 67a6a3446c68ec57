"""All activations of a map, one after another: the representation "concatenation"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.layers.descriptor_inputs import require_built


@keras.saving.register_keras_serializable(package="keras_fvvae")
class Concatenation(keras.layers.Layer):
    """Represents an image by its flattened activation map: 25,088 values for VGG19's `pool5`.

    The only representation here that keeps where an activation was, and therefore the only one that needs maps of one
    fixed size: resize or crop images to it.

    Args:
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Input shape:
        `(batch, H, W, C)`, all sides known.

    Output shape:
        `(batch, H * W * C)`, row by row, the channels of a position side by side.

    Raises:
        ValueError: for an input that is not a map of fixed size.

    Example:
        >>> import numpy as np
        >>> maps = np.random.default_rng(0).random((2, 7, 7, 16)).astype("float32")
        >>> Concatenation()(maps).shape
        TensorShape([2, 784])

    Reference:
        Qiu et al., CVPR 2017, Section 5.2 ("Compared approaches").
    """

    def build(self, input_shape: Sequence[int | None]) -> None:
        self._check_shape(input_shape)
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))
        self.built = True

    @property
    def output_dim(self) -> int:
        """Length of a representation; known once the layer is built."""
        require_built(self)
        return self.compute_output_shape(self.input_spec.shape)[1]

    def call(self, inputs: Any) -> Any:
        return ops.reshape(inputs, (-1, self.output_dim))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        self._check_shape(input_shape)
        _, height, width, channels = input_shape
        return (input_shape[0], height * width * channels)

    def _check_shape(self, input_shape: Sequence[int | None]) -> None:
        if len(input_shape) != 4 or None in input_shape[1:]:
            raise ValueError(
                f"`Concatenation` expects activation maps (batch, height, width, channels) of one fixed size: give the "
                f"backbone an input size. Received: shape={tuple(input_shape)}"
            )
