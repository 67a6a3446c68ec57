"""The variational auto-encoder of FV-VAE over local descriptors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.layers.descriptor_inputs import wide_dtype
from keras_fvvae.ops import gaussian

# A channel that is zero in every descriptor, and reconstructed as zero, would lower its variance for ever, until its
# inverse overflows. Normalised descriptors have mean squares between 1e-3 (unit length) and 1 (whole map).
MIN_LOG_VARIANCE = math.log(1e-6)
# What needs no scaling of the losses, as float16 would.
PRODUCT_DTYPES = (None, "bfloat16")
# Far below the scores of a trained layer, and within float16.
MASKED_SCORE = -1e4


@keras.saving.register_keras_serializable(package="keras_fvvae")
class FVVAELayer(keras.layers.Layer):
    """Variational auto-encoder that learns the distribution of local descriptors (Section 3, Algorithm 1).

    Encoder `mu_z = f(x)`, a stack of dense layers; sampling `z = mu_z + eps * sigma_z`; decoder
    `mu_x = relu(W' z + b)`. Both variances are vectors shared by all descriptors and learnt by gradient descent. With
    `num_classes`, every descriptor's sampled `z` gives class scores through one dense layer, and an image's score is
    the maximum over its descriptors. The three terms of Eq. 8, each summed over dimensions:

        L_rec = -log N(x; mu_x, sigma_x^2)                                  per descriptor
        L_reg = KL(N(mu_z, sigma_z^2) || N(0, I))                           per descriptor
        L_cls = softmax cross-entropy of max_t (scores of z_t)              per image

    Dropout acts on the encoder's input only; the clean descriptor is the target, so the auto-encoder learns to repair.
    When not training there is neither dropout nor sampling: `z = mu_z`.

    Args:
        latent_dim: latent variables D. Default 255: with the bias, Fisher vectors of 256 * C as in the paper.
        hidden_units: widths of the encoder's hidden layers. Default `None`: one layer as wide as the descriptors, the
            paper's C -> C -> 255. `()` gives one linear layer, as in the authors' release.
        hidden_activation: activation of the hidden layers. Default `"relu"`; the mean itself is always linear.
        dropout: share of the encoder's input dropped while training. Default 0.5 (Section 5.2).
        num_classes: classes of the classification loss; `None` for an auto-encoder without one (FV-VAE minus).
        decoder_units: widths of hidden layers of the decoder, with ReLU. Default `()`: the paper's single layer; its
            conclusion names deeper ones as the first thing to try.
        attention: whether every descriptor gets a learnt weight, `w_t = T softmax_t(a . x_t + b)`, which multiplies its
            term in Eq. 11 and, over T, its class scores, whose weighted mean then takes the place of the maximum. The
            weights start at one. Default `False`; the second idea of the paper's conclusion. Needs `num_classes`.
        stop_target_gradient: whether the reconstruction's target is a constant to the layers below. Default `False`:
            Eq. 8 as it is written. It matters only for a backbone trained end to end, which can lower `L_rec` by giving
            up detail; `True` takes that way from it and keeps the gradient that reaches it through the encoder.
        seed: integer or `None`, for dropout and sampling.
        add_losses: whether the layer adds `lambda1 * L_rec + lambda2 * L_reg`, means over the batch, to the losses of
            the model it is part of: any functional Keras model then trains it without labels, beside whatever else it
            learns. Default `False`: `keras_fvvae.models.FVVAE` has all three terms itself.
        lambda1: weight of the reconstruction with `add_losses`. Default 1 (Section 3.3).
        lambda2: weight of the regularisation with `add_losses`. Default 1 (Section 3.3).
        product_dtype: in which the matrix products of a training step are computed: `"bfloat16"` takes two thirds of
            a step's time on a processor that has it. Weights, sums, losses and everything that is not training, Fisher
            vectors among it, stay as they are. Default `None`: products are like the rest.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: descriptors `(batch, T, C)`.
        mask: optional boolean `(batch, T)`; false descriptors enter no loss and no score.
        training: whether to drop out and to sample.

    Input shape:
        `(batch, T, C)`.

    Output shape:
        A dictionary: `z_mean`, `z` `(batch, T, D)`; `reconstruction` `(batch, T, C)`; `reconstruction_loss`,
        `regularization_loss` `(batch,)`, means over the image's descriptors in nats; with `num_classes` also
        `class_scores` `(batch, num_classes)`.

    Raises:
        ValueError: for sizes that are not positive integers, a dropout outside [0, 1), attention without classes,
            negative weights of losses, another `product_dtype`, or inputs of another rank.

    Example:
        >>> import numpy as np
        >>> descriptors = np.random.default_rng(0).random((2, 50, 16)).astype("float32")
        >>> layer = FVVAELayer(latent_dim=7, num_classes=3)
        >>> outputs = layer(descriptors)
        >>> outputs["z_mean"].shape, outputs["class_scores"].shape, outputs["reconstruction_loss"].shape
        (TensorShape([2, 50, 7]), TensorShape([2, 3]), TensorShape([2]))

        Inside a functional model, trained without labels:

        >>> inputs = keras.Input((50, 16))
        >>> model = keras.Model(inputs, FVVAELayer(latent_dim=7, add_losses=True)(inputs)["z_mean"])
        >>> model.compile("adam")
        >>> history = model.fit(descriptors, verbose=0)

    Reference:
        Qiu et al., CVPR 2017, Section 3.3, Algorithm 1, Eq. 10; classification on the sampled z: the authors' release.
    """

    def __init__(
        self,
        latent_dim: int = 255,
        hidden_units: Sequence[int] | None = None,
        hidden_activation: str | Callable = "relu",
        dropout: float = 0.5,
        num_classes: int | None = None,
        stop_target_gradient: bool = False,
        seed: int | None = None,
        decoder_units: Sequence[int] = (),
        attention: bool = False,
        add_losses: bool = False,
        lambda1: float = 1.0,
        lambda2: float = 1.0,
        product_dtype: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_positive("latent_dim", latent_dim)
        for units in hidden_units or ():
            _check_positive("hidden_units", units)
        for units in decoder_units:
            _check_positive("decoder_units", units)
        if attention and num_classes is None:
            raise ValueError("`attention=True` is learnt from the classification loss: give `num_classes`.")
        if num_classes is not None:
            _check_positive("num_classes", num_classes)
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}")
        if not (lambda1 >= 0 and lambda2 >= 0):
            raise ValueError(f"`lambda1` and `lambda2` must not be negative. Received: {lambda1} and {lambda2}")
        if product_dtype not in PRODUCT_DTYPES:
            raise ValueError(f"`product_dtype` must be one of {PRODUCT_DTYPES}. Received: {product_dtype!r}")
        self.latent_dim = latent_dim
        self.hidden_units = None if hidden_units is None else tuple(hidden_units)
        self.hidden_activation = keras.activations.get(hidden_activation)
        self.dropout = dropout
        self.num_classes = num_classes
        self.stop_target_gradient = stop_target_gradient
        self.seed = seed
        self.decoder_units = tuple(decoder_units)
        self.attention = attention
        self.add_losses = add_losses
        self.lambda1 = lambda1
        self.lambda2 = lambda2
        self.product_dtype = product_dtype
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        if len(input_shape) != 3 or input_shape[-1] is None:
            raise ValueError(
                f"`FVVAELayer` expects descriptors (batch, descriptors, channels) with known channels. "
                f"Received: shape={tuple(input_shape)}"
            )
        channels = input_shape[-1]
        widths = (channels,) if self.hidden_units is None else self.hidden_units
        self.encoder = [
            keras.layers.Dense(units, self.hidden_activation, dtype=self.dtype_policy, name=f"encoder_{i}")
            for i, units in enumerate(widths)
        ]
        self.encoder.append(keras.layers.Dense(self.latent_dim, dtype=self.dtype_policy, name="z_mean"))
        width = channels
        for dense in self.encoder:
            dense.build((*input_shape[:-1], width))
            width = dense.units
        width = self.latent_dim
        self.decoder_hidden = []
        for i, units in enumerate(self.decoder_units):
            self.decoder_hidden.append(keras.layers.Dense(units, "relu", dtype=self.dtype_policy, name=f"decoder_{i}"))
            self.decoder_hidden[-1].build((*input_shape[:-1], width))
            width = units
        self.decoder = keras.layers.Dense(channels, "relu", dtype=self.dtype_policy, name="decoder")
        self.decoder.build((*input_shape[:-1], width))
        # Logarithms start at 0: both standard deviations start at 1 and stay positive without a constraint. They keep
        # full precision under mixed precision.
        self.x_log_variance = self.add_weight(
            name="x_log_variance",
            shape=(channels,),
            initializer="zeros",
            constraint=lambda value: ops.maximum(value, MIN_LOG_VARIANCE),
            autocast=False,
        )
        self.z_log_variance = self.add_weight(
            name="z_log_variance", shape=(self.latent_dim,), initializer="zeros", autocast=False
        )
        self.classifier = None
        if self.num_classes is not None:
            self.classifier = keras.layers.Dense(self.num_classes, dtype=self.dtype_policy, name="classifier")
            self.classifier.build((*input_shape[:-1], self.latent_dim))
        self.attention_score = None
        if self.attention:
            self.attention_score = keras.layers.Dense(
                1, kernel_initializer="zeros", dtype=self.dtype_policy, name="attention_score"
            )
            self.attention_score.build(input_shape)
        self.built = True

    @property
    def coder_layers(self) -> list[keras.layers.Layer]:
        """The dense layers of encoder and decoder, and that of the attention: all but the classifier; once built."""
        attention = [] if self.attention_score is None else [self.attention_score]
        return [*self.encoder, *self.decoder_hidden, self.decoder, *attention]

    def copy_weights(self, source: FVVAELayer, classes: bool = False) -> None:
        """Takes over the weights of another built layer: encoder, decoder, variances and attention.

        Args:
            source: an `FVVAELayer` of the same architecture.
            classes: whether the class scores are taken over, too.

        Raises:
            ValueError: for another architecture; nothing is changed then.
        """
        mine, others = (layer._shared_weights(classes) for layer in (self, source))
        if [tuple(weight.shape) for weight in mine] != [tuple(weight.shape) for weight in others]:
            raise ValueError("The weights of one `FVVAELayer` fit another one of the same architecture only.")
        for weight, other in zip(mine, others, strict=True):
            weight.assign(other)

    def _shared_weights(self, classes: bool) -> list:
        layers = [*self.coder_layers, *([self.classifier] if classes and self.classifier is not None else [])]
        return [weight for layer in layers for weight in layer.weights] + [self.x_log_variance, self.z_log_variance]

    def encode(self, descriptors: Any, training: bool = False) -> Any:
        """The encoder's mean `mu_z` `(batch, T, D)` of descriptors `(batch, T, C)`; with dropout when training."""
        hidden = descriptors
        if training and self.dropout > 0:
            hidden = keras.random.dropout(hidden, self.dropout, seed=self.seed_generator)
        for dense in self.encoder:
            hidden = self._dense(dense, hidden, training)
        return hidden

    def decode(self, latent: Any, training: bool = False) -> Any:
        """The decoder's mean `mu_x` `(batch, T, C)` of latent variables `(batch, T, D)`."""
        return self.decoder_activations(latent, training)[-1]

    def decoder_activations(self, latent: Any, training: bool = False) -> list:
        """What goes into each of the decoder's layers, `latent` first, and what comes out of the last, `mu_x`."""
        activations = [latent]
        for dense in [*self.decoder_hidden, self.decoder]:
            activations.append(self._dense(dense, activations[-1], training))
        return activations

    def _dense(self, dense: keras.layers.Dense, inputs: Any, training: bool) -> Any:
        """`dense(inputs)`, when training with its product in `product_dtype`."""
        if self.product_dtype is None or not training:
            return dense(inputs)
        product = ops.matmul(ops.cast(inputs, self.product_dtype), ops.cast(dense.kernel, self.product_dtype))
        return dense.activation(ops.cast(product, self.compute_dtype) + dense.bias)

    def descriptor_weights(self, descriptors: Any, mask: Any = None) -> Any:
        """Weights `w_t` `(batch, T)` of descriptors, float32, with a mean of one; `None` without attention."""
        if self.attention_score is None:
            return None
        scores = ops.cast(self.attention_score(descriptors)[..., 0], "float32")
        if mask is None:
            return ops.softmax(scores, axis=-1) * ops.cast(ops.shape(scores)[1], scores.dtype)
        mask = ops.cast(mask, "bool")
        shares = ops.softmax(ops.where(mask, scores, ops.full_like(scores, MASKED_SCORE)), axis=-1)
        count = ops.sum(ops.cast(mask, scores.dtype), axis=-1, keepdims=True)
        return ops.where(mask, shares, ops.zeros_like(shares)) * count

    def call(self, inputs: Any, mask: Any = None, training: bool = False) -> dict[str, Any]:
        if mask is not None:
            mask = ops.cast(mask, "bool")
            # Not only kept out of the sums: a masked NaN would come back through the gradient.
            inputs = ops.where(ops.expand_dims(mask, -1), inputs, ops.zeros_like(inputs))
        z_mean = self.encode(inputs, training=training)
        z = gaussian.sample(z_mean, self.z_log_variance, self.seed_generator) if training else z_mean
        reconstruction = self.decode(z, training)
        target = ops.stop_gradient(inputs) if self.stop_target_gradient else inputs
        outputs = {
            "z_mean": z_mean,
            "z": z,
            "reconstruction": reconstruction,
            "reconstruction_loss": _mean_over_descriptors(
                gaussian.negative_log_likelihood(target, reconstruction, ops.convert_to_tensor(self.x_log_variance)),
                mask,
            ),
            "regularization_loss": _mean_over_descriptors(
                gaussian.kl_to_standard_normal(z_mean, ops.convert_to_tensor(self.z_log_variance)), mask
            ),
        }
        if self.add_losses:
            self.add_loss(self.lambda1 * ops.mean(outputs["reconstruction_loss"]))
            self.add_loss(self.lambda2 * ops.mean(outputs["regularization_loss"]))
        if self.classifier is not None:
            scores = self._dense(self.classifier, z, training)  # (batch, T, num_classes)
            if self.attention:
                weights = ops.expand_dims(self.descriptor_weights(inputs, mask), -1)
                total = ops.maximum(ops.sum(weights, axis=1), 1e-6)  # zero where no descriptor is left
                scores = ops.sum(weights * ops.cast(scores, weights.dtype), axis=1) / total
                outputs["class_scores"] = ops.cast(scores, z.dtype)
            else:
                if mask is not None:
                    lowest = ops.full_like(scores, MASKED_SCORE)
                    scores = ops.where(ops.expand_dims(mask, -1), scores, lowest)
                outputs["class_scores"] = ops.max(scores, axis=1)
        return outputs

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_spec(
        self, inputs: Any, mask: Any = None, training: bool = False
    ) -> dict[str, keras.KerasTensor]:
        batch, count, channels = inputs.shape
        loss_dtype = wide_dtype(self)
        spec = {
            "z_mean": keras.KerasTensor((batch, count, self.latent_dim), self.compute_dtype),
            "z": keras.KerasTensor((batch, count, self.latent_dim), self.compute_dtype),
            "reconstruction": keras.KerasTensor((batch, count, channels), self.compute_dtype),
            "reconstruction_loss": keras.KerasTensor((batch,), loss_dtype),
            "regularization_loss": keras.KerasTensor((batch,), loss_dtype),
        }
        if self.num_classes is not None:
            spec["class_scores"] = keras.KerasTensor((batch, self.num_classes), self.compute_dtype)
        return spec

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim,
            "hidden_units": None if self.hidden_units is None else list(self.hidden_units),
            "hidden_activation": keras.activations.serialize(self.hidden_activation),
            "dropout": self.dropout,
            "num_classes": self.num_classes,
            "stop_target_gradient": self.stop_target_gradient,
            "seed": self.seed,
            "decoder_units": list(self.decoder_units),
            "attention": self.attention,
            "add_losses": self.add_losses,
            "lambda1": self.lambda1,
            "lambda2": self.lambda2,
            "product_dtype": self.product_dtype,
        }


def _check_positive(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")


def _mean_over_descriptors(values: Any, mask: Any) -> Any:
    """Mean of `(batch, T)` over the descriptors that count; 0 for an image without any."""
    if mask is None:
        return ops.mean(values, axis=1)
    total = ops.sum(ops.where(mask, values, ops.zeros_like(values)), axis=1)
    count = ops.sum(ops.cast(mask, values.dtype), axis=1)
    return total / ops.maximum(count, 1)
