"""The mean of an image's descriptors: the representation AVE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.layers.descriptor_inputs import channels_of, check_descriptors, wide_dtype
from keras_fvvae.ops.tensors import clear_masked


@keras.saving.register_keras_serializable(package="keras_fvvae")
class AveragePooling(keras.layers.Layer):
    """Represents an image by the mean of its descriptors (AVE of the paper).

        v = 1 / T sum_t x_t

    Not normalised: the paper follows it with the L2 norm of the classifier. Under mixed precision the mean is taken and
    returned in float32.

    Args:
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: descriptors `(batch, T, C)`.
        mask: optional boolean `(batch, T)`; the mean is over descriptors where it is true, zero if there are none.

    Input shape:
        `(batch, T, C)`.

    Output shape:
        `(batch, C)`.

    Raises:
        ValueError: for inputs that are not descriptors.

    Example:
        >>> import numpy as np
        >>> descriptors = np.random.default_rng(0).random((2, 50, 16)).astype("float32")
        >>> AveragePooling()(descriptors).shape
        TensorShape([2, 16])

    Reference:
        Qiu et al., CVPR 2017, Section 5.2 ("Compared approaches").
    """

    def __init__(self, **kwargs: Any) -> None:
        # Cast in `call`, to float32: float16 ends at 65504, which activations before any normalisation can reach.
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        check_descriptors(self, input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: input_shape[-1]})
        self.built = True

    @property
    def output_dim(self) -> int:
        """Length of a representation; known once the layer is built."""
        return channels_of(self)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        descriptors = ops.cast(inputs, wide_dtype(self))
        if mask is None:
            return ops.mean(descriptors, axis=1)
        total = ops.sum(clear_masked(descriptors, mask), axis=1)
        count = ops.sum(ops.cast(ops.cast(mask, "bool"), descriptors.dtype), axis=1, keepdims=True)
        return total / ops.maximum(count, 1.0)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        check_descriptors(self, input_shape)
        return (input_shape[0], input_shape[-1])

    def compute_output_spec(self, inputs: Any, mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide_dtype(self))
