"""Densities of diagonal Gaussians whose variances are shared by all descriptors (Eq. 6 and 7)."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_fvvae.ops.tensors import at_least_float32

LOG_TWO_PI = math.log(2.0 * math.pi)


def negative_log_likelihood(x: Any, mean: Any, log_variance: Any) -> Any:
    """Reconstruction loss of Eq. 8: `-log N(x; mean, diag(exp(log_variance)))`, summed over dimensions.

    Args:
        x: tensor `(..., C)`, the descriptors to be explained.
        mean: tensor `(..., C)`, the decoder's `mu_x`.
        log_variance: tensor `(C,)`, `log sigma_x^2`, shared by all descriptors.

    Returns:
        Tensor `(...)`, in nats.
    """
    x, mean = at_least_float32(x), at_least_float32(mean)
    log_variance = at_least_float32(log_variance)
    squared_error = ops.sum(ops.square(x - mean) * ops.exp(-log_variance), axis=-1)
    return 0.5 * (squared_error + ops.sum(LOG_TWO_PI + log_variance))


def kl_to_standard_normal(mean: Any, log_variance: Any) -> Any:
    """Regularisation loss of Eq. 8: `KL(N(mean, diag(exp(log_variance))) || N(0, I))`, summed over dimensions.

    Eq. 7 lacks the squares of its two norms; Algorithm 1, line 10, has them, and so has this.

    Args:
        mean: tensor `(..., D)`, the encoder's `mu_z`.
        log_variance: tensor `(D,)`, `log sigma_z^2`, shared by all descriptors.

    Returns:
        Tensor `(...)`, in nats, never negative.
    """
    mean, log_variance = at_least_float32(mean), at_least_float32(log_variance)
    return 0.5 * (ops.sum(ops.square(mean), axis=-1) + ops.sum(ops.exp(log_variance) - 1.0 - log_variance))


def sample(mean: Any, log_variance: Any, seed: Any) -> Any:
    """Draws `mean + epsilon * sigma` with `epsilon ~ N(0, I)`: one Monte-Carlo sample (Algorithm 1, line 7).

    Args:
        mean: tensor `(..., D)`.
        log_variance: tensor `(D,)`.
        seed: a `keras.random.SeedGenerator`, owned by the calling layer.

    Returns:
        Tensor of the shape and dtype of `mean`.
    """
    epsilon = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=seed)
    return mean + epsilon * ops.cast(ops.exp(0.5 * log_variance), mean.dtype)
