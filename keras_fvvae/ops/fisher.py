"""The Fisher vector of FV-VAE in closed form: the only place where Eq. 11 is written."""

from keras import ops

from keras_fvvae.ops.tensors import at_least_float32


def fisher_vector(descriptors, reconstruction, latent, log_variance, mask=None):
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
    descriptors, latent = at_least_float32(descriptors), at_least_float32(latent)
    reconstruction = at_least_float32(reconstruction)
    residual = (reconstruction - descriptors) * ops.exp(-log_variance)
    # (batch, T, C): a unit that the ReLU has switched off passes no gradient.
    gradient = ops.where(reconstruction > 0, residual, ops.zeros_like(residual))
    # (batch, T, D + 1)
    extended = ops.concatenate([latent, ops.ones_like(latent[..., :1])], axis=-1)
    if mask is not None:
        keep = ops.expand_dims(ops.cast(mask, "bool"), -1)
        # Both factors are cleared: 0 * NaN would be NaN.
        gradient = ops.where(keep, gradient, ops.zeros_like(gradient))
        extended = ops.where(keep, extended, ops.zeros_like(extended))
    return ops.matmul(ops.swapaxes(gradient, 1, 2), extended)
