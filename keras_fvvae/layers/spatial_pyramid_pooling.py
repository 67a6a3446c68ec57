"""Spatial pyramid pooling of an activation map into local descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_fvvae.ops import aggregation


@keras.saving.register_keras_serializable(package="keras_fvvae")
class SpatialPyramidPooling(keras.layers.Layer):
    """Turns an activation map into scale-invariant descriptors by pooling over a pyramid of windows.

    A level `n` pools the map over `n * n` overlapping windows that always cover it: on a side of `m` positions,
    `stride = m // n` and `window = m - stride * (n - 1)`. On VGG19's 7x7 `pool5` the default levels give the 50
    descriptors of the authors' release. Works on any map at least as large as its finest level, with static or
    dynamic sides.

    Args:
        levels: positive integers, the windows along each side. The default (6, 3, 2, 1) is the authors' release for
            video frames.
        pooling: `"max"` (default, the release) or `"average"`.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Input shape:
        `(batch, H, W, C)`.

    Output shape:
        `(batch, sum(n * n for n in levels), C)`, level by level as given, each level row by row.

    Raises:
        ValueError: for an input that is not a map, or a static map smaller than the finest level.
        tf.errors.InvalidArgumentError: for a dynamic map that turns out smaller at run time (TensorFlow backend).

    Example:
        >>> import numpy as np
        >>> maps = np.random.default_rng(0).normal(size=(2, 7, 7, 16)).astype("float32")
        >>> SpatialPyramidPooling()(maps).shape
        TensorShape([2, 50, 16])

    Reference:
        Qiu et al., CVPR 2017, Section 4; He et al., "Spatial pyramid pooling in deep convolutional networks", ECCV
        2014.
    """

    def __init__(self, levels: Sequence[int] = (6, 3, 2, 1), pooling: str = "max", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        levels = tuple(levels)
        if not levels or any(not isinstance(n, int) or n < 1 for n in levels):
            raise ValueError(f"`levels` must be a non-empty sequence of positive integers. Received: levels={levels}")
        if pooling not in aggregation.POOLINGS:
            raise ValueError(f"`pooling` must be one of {aggregation.POOLINGS}. Received: pooling={pooling!r}")
        self.levels = levels
        self.pooling = pooling

    def build(self, input_shape: Sequence[int | None]) -> None:
        self._check_shape(input_shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        if None in inputs.shape[1:3]:
            inputs = self._assert_large_enough(inputs)
        return aggregation.spatial_pyramid_pool(inputs, self.levels, self.pooling)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        self._check_shape(input_shape)
        return (input_shape[0], sum(n * n for n in self.levels), input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": list(self.levels), "pooling": self.pooling}

    def _check_shape(self, input_shape: Sequence[int | None]) -> None:
        if len(input_shape) != 4:
            raise ValueError(
                f"`SpatialPyramidPooling` expects activation maps (batch, height, width, channels). "
                f"Received: shape={tuple(input_shape)}"
            )
        for name, side in zip(("height", "width"), input_shape[1:3], strict=True):
            if side is not None and side < max(self.levels):
                raise ValueError(self._too_small(f"{name} {side}"))

    def _too_small(self, what: str) -> str:
        return (
            f"The activation map is smaller than the finest level {max(self.levels)} of `levels={self.levels}`: "
            f"{what}. Use coarser levels, a larger input image or an earlier tap of the backbone."
        )

    def _assert_large_enough(self, inputs: Any) -> Any:
        """A run-time check, where the sides are only known then; only TensorFlow has such shapes."""
        if keras.backend.backend() != "tensorflow":
            return inputs
        import tensorflow as tf

        sides = tf.shape(inputs)[1:3]
        message = self._too_small("see the sides below")
        check = tf.debugging.assert_greater_equal(sides, max(self.levels), message=message, summarize=2)
        with tf.control_dependencies([] if check is None else [check]):
            return tf.identity(inputs)
