"""Small helpers about shapes and dtypes of tensors."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


def at_least_float32(x: Any) -> Any:
    """Casts half-precision tensors to float32; float32 and float64 pass unchanged.

    Sums of squares over a map overflow float16 and lose bfloat16's eight bits, so losses, norms and Fisher vectors
    are computed on what this returns.
    """
    return ops.cast(x, at_least_float32_dtype(x.dtype))


def at_least_float32_dtype(dtype: Any) -> str:
    """Name of the dtype that `at_least_float32` casts to.

    Example:
        >>> [at_least_float32_dtype(dtype) for dtype in ("float16", "float32", "float64", "int32")]
        ['float32', 'float32', 'float64', 'float32']
    """
    name = keras.backend.standardize_dtype(dtype)
    # On JAX and PyTorch, Keras's `result_type` would make float32 of float64.
    return name if name == "float64" else keras.backend.result_type(name, "float32")


def holds_values(x: Any) -> bool:
    """Whether a tensor's values are at hand; they are not where a graph is traced or shapes alone are computed."""
    backend = keras.backend.backend()
    if backend == "jax":
        from jax.core import Tracer

        return not isinstance(x, Tracer)
    if backend == "torch":
        return ops.convert_to_tensor(x).device.type != "meta"
    import tensorflow as tf

    return tf.executing_eagerly()


def example_axes(x: Any) -> tuple[int, ...]:
    """All axes of `x` but the first, as a tuple."""
    return tuple(range(1, len(x.shape)))


def example_size(x: Any) -> Any:
    """Number of entries per example of `x`: an integer where the shape is static, else a scalar tensor."""
    sides = x.shape[1:]
    if None not in sides:
        return math.prod(sides)
    return ops.prod(ops.stack([ops.convert_to_tensor(side, "int32") for side in ops.shape(x)[1:]]))


def clear_masked(descriptors: Any, mask: Any) -> Any:
    """Sets descriptors to zero where the mask is false, whatever they hold (NaN included).

    Args:
        descriptors: tensor `(batch, T, C)`.
        mask: boolean `(batch, T)`, or `None` to keep all.

    Returns:
        Tensor of the shape of `descriptors`.

    Raises:
        ValueError: for a mask that is not `(batch, T)`.
    """
    if mask is None:
        return descriptors
    mask = ops.convert_to_tensor(mask)
    if len(mask.shape) != 2:
        raise ValueError(f"`mask` must be boolean (batch, T), one per descriptor. Received: shape={tuple(mask.shape)}")
    keep = ops.expand_dims(ops.cast(mask, "bool"), -1)
    # Not a product: 0 * NaN would be NaN.
    return ops.where(keep, descriptors, ops.zeros_like(descriptors))
