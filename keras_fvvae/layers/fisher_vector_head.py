"""The raw Fisher vector of a set of descriptors."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.layers.descriptor_inputs import require_built, wide_dtype
from keras_fvvae.layers.fvvae_layer import FVVAELayer
from keras_fvvae.ops import fisher
from keras_fvvae.ops.tensors import clear_masked

DECODER_LAYERS = ("last", "all")


@keras.saving.register_keras_serializable(package="keras_fvvae")
class FisherVectorHead(keras.layers.Layer):
    """Encodes an image's descriptors as the gradient of the reconstruction loss with respect to the decoder.

    Eq. 11 in closed form, summed over the descriptors:

        G = sum_t d_t [z_t; 1]',    d_t = (mu_t - x_t) / sigma_x^2 * (mu_t > 0),    z_t = mu_z(x_t)

    One forward pass through encoder and decoder and one batched matrix product: no gradient tape, in training graphs
    as well as in exported ones. The result is a SUM over descriptors and carries the sign of the gradient of the loss,
    as the authors' release does; normalise it with `FisherNormalization`.

    Of a decoder with hidden layers, `z_t` stands for what goes into its last layer, or, on demand, the gradients of all
    its layers follow one another, by the chain rule in closed form. With attention, every term is multiplied by its
    descriptor's weight.

    Args:
        fvvae: an `FVVAELayer`, shared with the model that trains it, not copied.
        decoder_layers: `"last"` (default) or `"all"` of a decoder with `decoder_units`.
        standardized: whether residuals are divided by `sigma_x^2`, as in Eq. 11. Default `True`. `False` leaves the
            plain residuals, `d_t = (mu_t - x_t) * (mu_t > 0)`: what `SpectralNormalization` takes. Under the diagonal
            Fisher information the division makes no difference.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: descriptors `(batch, T, C)`.
        mask: optional boolean `(batch, T)`; descriptors where it is false contribute nothing.

    Input shape:
        `(batch, T, C)`.

    Output shape:
        `(batch, C, n + 1)` with the `n` inputs of the decoder's last layer (`latent_dim` without hidden ones), the bias
        in the last column. With `"all"`, `(batch, output_dim)`: such matrices flattened, from the last layer to
        the first.

    Raises:
        TypeError: if `fvvae` is not an `FVVAELayer`.
        ValueError: for other `decoder_layers`.

    Example:
        >>> import numpy as np
        >>> descriptors = np.random.default_rng(0).random((2, 50, 16)).astype("float32")
        >>> FisherVectorHead(FVVAELayer(latent_dim=7))(descriptors).shape
        TensorShape([2, 16, 8])

    Reference:
        Qiu et al., CVPR 2017, Section 3.4 and Eq. 11.
    """

    def __init__(
        self, fvvae: FVVAELayer, decoder_layers: str = "last", standardized: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(fvvae, FVVAELayer):
            raise TypeError(f"`fvvae` must be an `FVVAELayer`. Received: {type(fvvae).__name__}")
        if decoder_layers not in DECODER_LAYERS:
            raise ValueError(f"`decoder_layers` must be one of {DECODER_LAYERS}. Received: {decoder_layers!r}")
        self.fvvae = fvvae
        self.decoder_layers = decoder_layers
        self.standardized = standardized
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        if not self.fvvae.built:
            self.fvvae.build(input_shape)
        self.built = True

    def factors(self, inputs: Any, mask: Any = None) -> list[tuple[Any, Any]]:
        """The factors of every descriptor's term: pairs of `d_t` `(batch, T, units)` and `[h_t; 1]`, last layer first.

        The representation is made of their outer products, summed over descriptors; both are zero where the mask is
        false. The split of a score over descriptors and random features start from them.
        """
        fvvae = self.fvvae
        *activations, reconstruction = fvvae.decoder_activations(fvvae.encode(inputs, training=False))
        log_variance = ops.convert_to_tensor(fvvae.x_log_variance)
        if not self.standardized:
            log_variance = ops.zeros_like(log_variance)
        gradient, extended = fisher.fisher_factors(inputs, reconstruction, activations[-1], log_variance, mask)
        if fvvae.attention:
            weights = fvvae.descriptor_weights(clear_masked(ops.convert_to_tensor(inputs), mask), mask)
            gradient = gradient * ops.expand_dims(ops.cast(weights, gradient.dtype), -1)
        pairs = [(gradient, extended)]
        if self.decoder_layers == "all":
            after_first = [*fvvae.decoder_hidden, fvvae.decoder][1:]
            kernels = [ops.convert_to_tensor(layer.kernel) for layer in after_first]
            pairs += fisher.earlier_factors(gradient, activations, kernels, mask)
        return pairs

    def call(self, inputs: Any, mask: Any = None) -> Any:
        products = [fisher.sum_of_terms(*pair) for pair in self.factors(inputs, mask)]
        if self.decoder_layers == "last":
            return products[0]
        return ops.concatenate([ops.reshape(p, (-1, p.shape[1] * p.shape[2])) for p in products], axis=1)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    @property
    def output_dim(self) -> int:
        """Entries of a raw vector; known once the layer is built."""
        require_built(self)
        return sum(units * (inputs + 1) for inputs, units in self._sides())

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        if self.decoder_layers == "all":
            return (input_shape[0], sum(units * (inputs + 1) for inputs, units in self._sides(input_shape[-1])))
        inputs, units = self._sides(input_shape[-1])[0]
        return (input_shape[0], units, inputs + 1)

    def compute_output_spec(self, inputs: Any, mask: Any = None) -> keras.KerasTensor:
        dtype = wide_dtype(self)
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype)

    def get_config(self) -> dict[str, Any]:
        fvvae = keras.saving.serialize_keras_object(self.fvvae)
        own = {"fvvae": fvvae, "decoder_layers": self.decoder_layers, "standardized": self.standardized}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FisherVectorHead:
        config = dict(config)
        config["fvvae"] = keras.saving.deserialize_keras_object(config["fvvae"])
        return cls(**config)

    def _sides(self, channels: int | None = None) -> list[tuple[int, int]]:
        """Pairs of inputs and units of the decoder's layers that are used, last layer first."""
        channels = self.fvvae.decoder.units if channels is None else channels
        widths = [self.fvvae.latent_dim, *self.fvvae.decoder_units, channels]
        sides = list(itertools.pairwise(widths))[::-1]
        return sides if self.decoder_layers == "all" else sides[:1]
