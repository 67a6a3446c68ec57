"""The raw Fisher vector of a set of descriptors."""

import keras
from keras import ops

from keras_fvvae.layers.fvvae_layer import FVVAELayer
from keras_fvvae.ops import fisher


@keras.saving.register_keras_serializable(package="keras_fvvae")
class FisherVectorHead(keras.layers.Layer):
    """Encodes an image's descriptors as the gradient of the reconstruction loss with respect to the decoder.

    Eq. 11 in closed form, summed over the descriptors:

        G = sum_t d_t [z_t; 1]',    d_t = (mu_t - x_t) / sigma_x^2 * (mu_t > 0),    z_t = mu_z(x_t)

    One forward pass through encoder and decoder and one batched matrix product: no gradient tape, in training graphs
    as well as in exported ones. The result is a SUM over descriptors and carries the sign of the gradient of the loss,
    as the authors' release does; normalise it with `FisherNormalization`.

    Args:
        fvvae: an `FVVAELayer`, shared with the model that trains it, not copied.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: descriptors `(batch, T, C)`.
        mask: optional boolean `(batch, T)`; descriptors where it is false contribute nothing.

    Input shape:
        `(batch, T, C)`.

    Output shape:
        `(batch, C, latent_dim + 1)`, the bias in the last column.

    Raises:
        TypeError: if `fvvae` is not an `FVVAELayer`.

    Example:
        >>> import numpy as np
        >>> descriptors = np.random.default_rng(0).random((2, 50, 16)).astype("float32")
        >>> FisherVectorHead(FVVAELayer(latent_dim=7))(descriptors).shape
        TensorShape([2, 16, 8])

    Reference:
        Qiu et al., CVPR 2017, Section 3.4 and Eq. 11.
    """

    def __init__(self, fvvae, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(fvvae, FVVAELayer):
            raise TypeError(f"`fvvae` must be an `FVVAELayer`. Received: {type(fvvae).__name__}")
        self.fvvae = fvvae
        self.supports_masking = True

    def build(self, input_shape):
        if not self.fvvae.built:
            self.fvvae.build(input_shape)
        self.built = True

    def call(self, inputs, mask=None):
        latent = self.fvvae.encode(inputs, training=False)
        reconstruction = self.fvvae.decode(latent)
        log_variance = ops.convert_to_tensor(self.fvvae.x_log_variance)
        return fisher.fisher_vector(inputs, reconstruction, latent, log_variance, mask)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_spec(self, inputs, mask=None):
        batch, _, channels = inputs.shape
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        return keras.KerasTensor((batch, channels, self.fvvae.latent_dim + 1), dtype)

    def get_config(self):
        return {**super().get_config(), "fvvae": keras.saving.serialize_keras_object(self.fvvae)}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["fvvae"] = keras.saving.deserialize_keras_object(config["fvvae"])
        return cls(**config)
