"""The Fisher vector of FV-VAE in closed form: the only place where Eq. 11 is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_fvvae.ops.tensors import at_least_float32, clear_masked


def fisher_vector(descriptors: Any, reconstruction: Any, latent: Any, log_variance: Any, mask: Any = None) -> Any:
    """Gradient of the reconstruction loss with respect to the decoder, summed over descriptors (Eq. 11).

    With the decoder `mu_x = relu(W' z + b)` and `d_t = (mu_t - x_t) / sigma_x^2 * (mu_t > 0)`, the gradient of
    `sum_t L_rec(x_t)` is the matrix `G = sum_t d_t [z_t; 1]'`: its columns are `dL/dW` (transposed), the last one is
    `dL/db`. It is one batched matrix product; no tape is recorded. The sign is that of the gradient of the loss, as
    in the authors' release (the minus of Eq. 13 is a constant, and every later step is odd).

    Args:
        descriptors: tensor `(batch, T, C)`, `x_t`.
        reconstruction: tensor `(batch, T, C)`, `mu_t`, the decoder's output after its ReLU.
        latent: tensor `(batch, T, D)`, `z_t`; the encoder's mean when encoding (Section 3.4).
        log_variance: tensor `(C,)`, `log sigma_x^2`.
        mask: optional boolean tensor `(batch, T)`; descriptors where it is false contribute nothing, whatever they
            hold (NaN included).

    Returns:
        Tensor `(batch, C, D + 1)`, the bias in the last column; float32 even from half-precision inputs.
    """
    return sum_of_terms(*fisher_factors(descriptors, reconstruction, latent, log_variance, mask))


def sum_of_terms(gradient: Any, extended: Any) -> Any:
    """`G = sum_t d_t [z_t; 1]'`, `(batch, C, D + 1)`, from the factors of its terms: one batched matrix product."""
    return ops.matmul(ops.swapaxes(gradient, 1, 2), extended)


def fisher_factors(
    descriptors: Any, reconstruction: Any, latent: Any, log_variance: Any, mask: Any = None
) -> tuple[Any, Any]:
    """The two factors of every descriptor's term in Eq. 11, `d_t` and `[z_t; 1]`, whose outer products add up to `G`.

    Arguments as for `fisher_vector`.

    Returns:
        Tuple of tensors `(batch, T, C)` and `(batch, T, D + 1)`, both zero where the mask is false; float32 even from
        half-precision inputs.
    """
    descriptors, latent = at_least_float32(descriptors), at_least_float32(latent)
    reconstruction = at_least_float32(reconstruction)
    # The variances may be a half-precision weight, whose inverse would overflow float16.
    residual = (reconstruction - descriptors) * ops.exp(-at_least_float32(log_variance))
    # (batch, T, C): a unit that the ReLU has switched off passes no gradient.
    gradient = ops.where(reconstruction > 0, residual, ops.zeros_like(residual))
    # (batch, T, D + 1)
    extended = ops.concatenate([latent, ops.ones_like(latent[..., :1])], axis=-1)
    if mask is not None:
        keep = ops.expand_dims(ops.cast(mask, "bool"), -1)
        # Both factors are cleared: 0 * NaN would be NaN.
        gradient = ops.where(keep, gradient, ops.zeros_like(gradient))
        extended = ops.where(keep, extended, ops.zeros_like(extended))
    return gradient, extended


def earlier_factors(gradient: Any, activations: Sequence, kernels: Sequence, mask: Any = None) -> list[tuple[Any, Any]]:
    """The factors of the layers before the last of a deeper decoder, by the chain rule in closed form.

    With hidden layers `h_l = relu(W_l' h_(l-1) + b_l)` and `d_L = d_t`: `d_(l-1) = (W_l d_l) * (h_(l-1) > 0)`, and the
    gradient with respect to `W_l` and `b_l` is `sum_t d_l [h_(l-1); 1]'`.

    Args:
        gradient: tensor `(batch, T, C)`, `d_t` of the last layer, from `fisher_factors`.
        activations: list of tensors, what goes into each layer: the latent variables, then the hidden layers' outputs.
        kernels: list of tensors `(inputs, units)`, the weights of the layers after the first.
        mask: optional boolean tensor `(batch, T)`.

    Returns:
        List of pairs as from `fisher_factors`, from the layer before the last to the first.
    """
    pairs = []
    for index in range(len(kernels) - 1, -1, -1):
        hidden, below = (at_least_float32(activations[i]) for i in (index + 1, index))
        passed = ops.matmul(gradient, ops.transpose(ops.cast(kernels[index], gradient.dtype)))
        gradient = ops.where(hidden > 0, passed, ops.zeros_like(passed))
        extended = clear_masked(ops.concatenate([below, ops.ones_like(below[..., :1])], axis=-1), mask)
        pairs.append((gradient, extended))
    return pairs
