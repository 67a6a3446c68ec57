"""Cross-layer pooling of fully-connected activations of dense regions, with a learnt guidance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.layers.descriptor_inputs import channels_of, check_descriptors, check_normalization, wide_dtype
from keras_fvvae.layers.old_names import with_new_names
from keras_fvvae.ops import cross_layer
from keras_fvvae.ops.tensors import clear_masked


@keras.saving.register_keras_serializable(package="keras_fvvae")
class LearntGuidancePooling(keras.layers.Layer):
    """Represents an image by its descriptors, pooled by each channel of a learnt 1x1 convolution (scheme 2).

        a_i = relu(W' x_i + b),    P_k = sum_i x_i a_ik

    then every P_k is brought to unit length, the signed square root is taken, and the whole is brought to unit length.
    The descriptors are the fully-connected activations of densely sampled regions of an image:
    `keras_fvvae.backbones.fully_convolutional` turns a network with a top into one that gives these as a map. The
    guidance is trained with a classifier, a softmax layer on top of this one.

    For scheme 1, two consecutive convolution layers, see `CrossLayerPooling`.

    Args:
        guidance_channels: positive integer, K. Default 64: with 4,096 activations, a vector of 262,144 numbers.
        normalization: `"improved"` (default): the normalisations follow; `None`: the sums.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: descriptors `(batch, T, C)`.
        mask: optional boolean `(batch, T)`; descriptors where it is false contribute nothing.

    Input shape:
        `(batch, T, C)`.

    Output shape:
        `(batch, guidance_channels * C)`, channel by channel.

    Raises:
        ValueError: for wrong arguments, and for inputs that are not descriptors.

    Example:
        >>> import numpy as np
        >>> descriptors = np.random.default_rng(0).random((2, 50, 16)).astype("float32")
        >>> LearntGuidancePooling(guidance_channels=4)(descriptors).shape
        TensorShape([2, 64])

    Reference:
        Liu, Shen, van den Hengel: "The treasure beneath convolutional layers: Cross-convolutional-layer pooling for
        image classification", CVPR 2015, the second scheme.
    """

    def __init__(self, guidance_channels: int = 64, normalization: str | None = "improved", **kwargs: Any) -> None:
        # Sums over descriptors: under mixed precision they must not be narrowed to float16 on the way in.
        super().__init__(autocast=False, **kwargs)
        if not isinstance(guidance_channels, int) or guidance_channels < 1:
            raise ValueError(
                f"`guidance_channels` must be a positive integer. Received: guidance_channels={guidance_channels!r}"
            )
        self.guidance_channels = guidance_channels
        check_normalization(normalization)
        self.normalization = normalization
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        check_descriptors(self, input_shape)
        self.guidance = keras.layers.Dense(self.guidance_channels, "relu", dtype=self.dtype_policy, name="guidance")
        self.guidance.build(input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: input_shape[-1]})
        self.built = True

    @property
    def output_dim(self) -> int:
        """Length of a representation; known once the layer is built."""
        return self.guidance_channels * channels_of(self)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        # Cleared first: a masked NaN would come back through the gradient of the guidance.
        descriptors = clear_masked(ops.cast(inputs, wide_dtype(self)), mask)
        blocks = cross_layer.guided_pool(descriptors, self.guidance(descriptors), mask)  # (batch, K, C)
        if self.normalization is not None:
            blocks = cross_layer.normalize_blocks(blocks)
        return ops.reshape(blocks, (-1, blocks.shape[1] * blocks.shape[2]))

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        check_descriptors(self, input_shape)
        return (input_shape[0], self.guidance_channels * input_shape[-1])

    def compute_output_spec(self, inputs: Any, mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide_dtype(self))

    def get_config(self) -> dict[str, Any]:
        settings = {"guidance_channels": self.guidance_channels, "normalization": self.normalization}
        return {**super().get_config(), **settings}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearntGuidancePooling:
        return super().from_config(with_new_names(config))
