"""Residuals of descriptors from centroids under soft assignment: the aggregation of NetVLAD and ActionVLAD."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from keras_fvvae.ops.tensors import at_least_float32, clear_masked

# Floor of a squared norm, under the root: a residual shorter than 1e-6 is rounding noise of float32 sums of unit-length
# descriptors and is not blown up to unit length. The value of `tf.nn.l2_normalize`, which the ActionVLAD release uses.
SQUARED_NORM_FLOOR = 1e-12


def assignment_weights(centroids: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias whose softmax is `softmax_k(-alpha |x - c_k|^2)`, in which `|x|^2` cancels.

    In NumPy: starting values are needed as numbers even while a graph is being built.

    Args:
        centroids: NumPy array `(K, C)`.
        alpha: sharpness; the assignment becomes hard as it grows.

    Returns:
        Tuple of NumPy arrays `2 alpha C'`, `(C, K)`, and `-alpha |c_k|^2`, `(K,)`.
    """
    return 2.0 * alpha * centroids.T, -alpha * (centroids**2).sum(axis=1)


def soft_assignment(descriptors: Any, kernel: Any, bias: Any) -> Any:
    """`a_tk = softmax_k(w_k . x_t + b_k)`: a 1x1 convolution and a softmax.

    Args:
        descriptors: tensor `(batch, T, C)`.
        kernel: tensor `(C, K)`.
        bias: tensor `(K,)`.

    Returns:
        Tensor `(batch, T, K)` of shares that sum to one over `K`.
    """
    return ops.softmax(ops.matmul(descriptors, kernel) + bias, axis=-1)


def sum_residuals(descriptors: Any, kernel: Any, bias: Any, centroids: Any, mask: Any = None) -> Any:
    """`V_k = sum_t a_tk (x_t - c_k)`, as `sum_t a_tk x_t - (sum_t a_tk) c_k`: one matrix product.

    Args:
        descriptors: tensor `(batch, T, C)`.
        kernel: tensor `(C, K)` of the assignment.
        bias: tensor `(K,)` of the assignment.
        centroids: tensor `(K, C)`.
        mask: optional boolean `(batch, T)`; descriptors where it is false contribute nothing, whatever they hold.

    Returns:
        Tensor `(batch, K, C)`; float32 even from half-precision inputs.
    """
    descriptors = clear_masked(at_least_float32(descriptors), mask)
    kernel, bias, centroids = (ops.cast(weight, descriptors.dtype) for weight in (kernel, bias, centroids))
    # A cleared descriptor is a zero vector, which is still assigned somewhere: the shares are cleared, too.
    shares = clear_masked(soft_assignment(descriptors, kernel, bias), mask)  # (batch, T, K)
    mass = ops.expand_dims(ops.sum(shares, axis=1), -1)  # (batch, K, 1)
    return ops.matmul(ops.swapaxes(shares, 1, 2), descriptors) - mass * centroids


def normalize_residuals(residuals: Any) -> Any:
    """Intra-normalisation, each centroid's residual to unit length, then unit length of the whole.

    Args:
        residuals: tensor `(batch, K, C)`.

    Returns:
        Tensor `(batch, K * C)`, centroid by centroid; zero residuals stay zero.
    """
    each = _unit_length(residuals)
    return _unit_length(ops.reshape(each, (-1, residuals.shape[1] * residuals.shape[2])))


def _unit_length(x: Any) -> Any:
    squared_norm = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squared_norm, SQUARED_NORM_FLOOR))
