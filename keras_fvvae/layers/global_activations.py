"""Activations of a layer that sees the whole image: the representation GA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.layers.descriptor_inputs import require_built


@keras.saving.register_keras_serializable(package="keras_fvvae")
class GlobalActivations(keras.layers.Layer):
    """Represents an image by one vector of the backbone: VGG19's `fc7` or ResNet's `pool5` (GA of the paper).

    Args:
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Input shape:
        `(batch, C)`, or a map of one position, `(batch, 1, 1, C)`.

    Output shape:
        `(batch, C)`.

    Raises:
        ValueError: for anything else, larger maps included.

    Example:
        >>> import numpy as np
        >>> maps = np.random.default_rng(0).random((2, 1, 1, 16)).astype("float32")
        >>> GlobalActivations()(maps).shape
        TensorShape([2, 16])

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
        return self.input_spec.shape[-1]

    def call(self, inputs: Any) -> Any:
        return ops.reshape(inputs, (-1, self.output_dim))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        self._check_shape(input_shape)
        return (input_shape[0], input_shape[-1])

    def _check_shape(self, input_shape: Sequence[int | None]) -> None:
        shape = tuple(input_shape)
        if len(shape) not in (2, 4) or shape[-1] is None or shape[1:-1] not in ((), (1, 1)):
            raise ValueError(
                f"`GlobalActivations` expects vectors (batch, C) or maps of one position (batch, 1, 1, C), as of fc7 "
                f"or pool5; for larger maps use `AveragePooling` or `Concatenation`. Received: shape={shape}"
            )
