"""Normalisations of activations and of encoded vectors. Zeros stay zeros."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_fvvae.ops.tensors import at_least_float32, example_axes, example_size

# A squared norm below this is a zero vector: far below any float32 activation, far above float32's smallest normal.
ZERO_SQUARED_NORM = 1e-30


def l2_normalize(x: Any, axis: int | tuple[int, ...]) -> Any:
    """Scales `x` to unit L2 norm along `axis`; all-zero slices stay zero.

    Args:
        x: floating-point tensor.
        axis: integer or tuple of integers.

    Returns:
        Tensor of the shape of `x`.
    """
    squared_norm = ops.sum(ops.square(at_least_float32(x)), axis=axis, keepdims=True)
    # Without the inner `where`, the gradient of rsqrt at zero would be infinite, and 0 * inf is NaN.
    is_zero = squared_norm < ZERO_SQUARED_NORM
    inverse_norm = ops.rsqrt(ops.where(is_zero, ops.ones_like(squared_norm), squared_norm))
    inverse_norm = ops.where(is_zero, ops.zeros_like(inverse_norm), inverse_norm)
    return _narrow_like(at_least_float32(x) * inverse_norm, x)


def normalize_example(x: Any, norm: Any = None) -> Any:
    """Scales every example, a whole activation map, to one L2 norm.

    With the default norm `sqrt(H * W * C)` the entries of every example have a mean square of one. Relative magnitudes
    of the descriptors within a map survive.

    Args:
        x: tensor `(batch, ...)`.
        norm: the L2 norm to give; `None` for the square root of the number of entries per example.

    Returns:
        Tensor of the shape of `x`; all-zero examples stay zero.
    """
    wide = at_least_float32(x)
    if norm is None:
        norm = ops.sqrt(ops.cast(example_size(x), wide.dtype))
    # Scaled before narrowing: the entries of a unit-norm map are small enough to lose bits in float16.
    return _narrow_like(l2_normalize(wide, example_axes(x)) * norm, x)


def _narrow_like(wide: Any, x: Any) -> Any:
    """Back to the dtype of `x`, unless that is an integer."""
    return ops.cast(wide, x.dtype) if keras.backend.is_float_dtype(x.dtype) else wide


def signed_sqrt(x: Any) -> Any:
    """`sign(x) * sqrt(|x|)` (Section 5.2, "Classifier training"); zeros stay zeros and pass no gradient."""
    magnitude = ops.abs(x)
    # The slope of the root at zero is infinite, and 0 * inf is NaN: TensorFlow catches this case, JAX and PyTorch do
    # not. A constant under the root would move the zeros.
    return ops.sign(x) * ops.sqrt(ops.where(magnitude == 0, ops.ones_like(magnitude), magnitude))
