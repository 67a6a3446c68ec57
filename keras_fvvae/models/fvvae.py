"""The trainable FV-VAE: backbone, descriptors and variational auto-encoder under the loss of Eq. 8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.layers.fvvae_layer import FVVAELayer
from keras_fvvae.models.nested import require_parts
from keras_fvvae.models.objective import ObjectiveModel, mean_over_global_batch, xla_pays
from keras_fvvae.ops.tensors import at_least_float32
from keras_fvvae.optimizers import RELEASE_MULTIPLIERS, Adadelta
from keras_fvvae.utils.labels import UNLABELLED

# Eq. 8 with lambda1 = lambda2 = 1 (Section 3.3); lambda3 of the authors' release.
LOSS_WEIGHTS = (1.0, 1.0, 1e3)
LOSS_REDUCTIONS = ("sum", "mean")


@keras.saving.register_keras_serializable(package="keras_fvvae")
class FVVAE(ObjectiveModel):
    """Learns the distribution of a CNN's local activations, end to end (Section 4, Figure 3).

        L = lambda1 * L_rec + lambda2 * L_reg + lambda3 * L_cls                                                 (Eq. 8)

    `L_rec` and `L_reg` are sums over dimensions and over an image's T descriptors, as in the authors' release; `L_cls`
    is one term an image. What is minimised is `L / T`, a mean over descriptors with `lambda3 / T` before `L_cls`: it
    has the same minimum, and gradients and reported values that do not grow with T. All are means over the images of
    the (global) batch, `L_cls` over its labelled ones. A label of -1 marks an image without one: it takes no part in
    `L_cls`. With all labels -1, without labels, or with `lambda3 = 0` this is the paper's FV-VAE minus.

    Train with `fit` on batches `(images, labels)`, `images` alone, or `(images, labels, sample_weights)`. Reported:
    `loss`, `reconstruction`, `regularization`, and with classes `classification` and `accuracy` (on labelled images).

    The objective is `compute_loss`, not a `train_step` of its own: what is particular here is the loss, and Keras's
    step around it brings mixed-precision loss scaling, `jit_compile`, `MirroredStrategy`, `class_weight` and the other
    backends, in `fit`, `evaluate` and `train_step((x, y))` alike. Means are over the global batch of a `tf.distribute`
    strategy, however the labelled images fall on the replicas.

    The directions of all metrics are known to callbacks (`EarlyStopping(monitor="val_accuracy")`).

    Args:
        descriptors: layer or model from activation maps `(batch, H, W, C)` to descriptors `(batch, T, C)`.
        fvvae: a `keras_fvvae.layers.FVVAELayer`.
        backbone: model from images to activation maps. `None`: the inputs are activation maps, for example cached.
            Its layers' `trainable` flags decide what is trained end to end.
        loss_weights: `(lambda1, lambda2, lambda3)`, none negative.
        loss_reduction: over an image's descriptors. `"sum"` (default): as above. `"mean"`: `lambda3` is not divided by
            T, which makes the classification T times as heavy; version 0.1 did so, and models saved by it still do.
        **kwargs: `keras.Model` arguments (`name`, `dtype`).

    Input shape:
        `(batch, H, W, 3)`; without a backbone `(batch, H, W, C)`.

    Output shape:
        A dictionary: `reconstruction_loss`, `regularization_loss` `(batch,)`, means over descriptors; `num_descriptors`
        `(batch,)`; and with classes `class_scores` `(batch, num_classes)`.

    Raises:
        TypeError: for descriptors that are no layer, and another `fvvae`.
        ValueError: for loss weights that are not three numbers, none negative and not all zero; for an `FVVAELayer`
            that adds losses itself.

    Example:
        >>> import numpy as np
        >>> from keras_fvvae.layers import FVVAELayer, SpatialPyramidPooling
        >>> model = FVVAE(SpatialPyramidPooling(), FVVAELayer(latent_dim=3, num_classes=2))
        >>> model.compile()
        >>> maps = np.random.default_rng(0).random((8, 7, 7, 4)).astype("float32")
        >>> labels = np.array([0, 1, 0, 1, -1, -1, -1, -1])
        >>> history = model.fit(maps, labels, verbose=0)
        >>> sorted(history.history)
        ['accuracy', 'classification', 'loss', 'reconstruction', 'regularization']

    Reference:
        Qiu et al., CVPR 2017, Eq. 8 and Algorithm 1; unlabelled data: Kingma et al., NIPS 2014 [15].
    """

    nested = ("descriptors", "fvvae", "backbone")

    def __init__(
        self,
        descriptors: keras.layers.Layer,
        fvvae: FVVAELayer,
        backbone: keras.Model | None = None,
        loss_weights: Sequence[float] = LOSS_WEIGHTS,
        loss_reduction: str = "sum",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_parts(self, descriptors=(descriptors, keras.layers.Layer), fvvae=(fvvae, FVVAELayer))
        if fvvae.add_losses:
            raise ValueError("`FVVAE` has the losses of Eq. 8 itself: give it an `FVVAELayer` with `add_losses=False`.")
        loss_weights = tuple(float(weight) for weight in loss_weights)
        if len(loss_weights) != 3 or not all(weight >= 0 for weight in loss_weights) or not any(loss_weights):
            raise ValueError(
                f"`loss_weights` must be three numbers, none negative and not all zero. Received: {loss_weights}"
            )
        self.descriptors = descriptors
        self.fvvae = fvvae
        self.backbone = backbone
        if loss_reduction not in LOSS_REDUCTIONS:
            raise ValueError(f"`loss_reduction` must be one of {LOSS_REDUCTIONS}. Received: {loss_reduction!r}")
        self.loss_weights = loss_weights
        self.loss_reduction = loss_reduction
        names = ["reconstruction", "regularization"]
        if fvvae.num_classes is not None:
            names += ["classification", "accuracy"]
        self.loss_trackers = {name: keras.metrics.Mean(name=name) for name in names}

    def build(self, input_shape: Sequence[int | None]) -> None:
        shape = self.descriptor_shape(input_shape)
        if not self.fvvae.built:
            self.fvvae.build(shape)
        self.built = True

    def compile(self, optimizer: Any = None, **kwargs: Any) -> None:
        """Configures training; see `keras.Model.compile`.

        Args:
            optimizer: default: Adadelta with the paper's base rate 1.0 and the release's multipliers (variances 10,
                biases 2). Keras's string "adadelta" would learn at 0.001.
            **kwargs: passed on; `loss` is not accepted, the objective is the model's own. `jit_compile` is off by
                default on TensorFlow without a GPU, where XLA makes the step several times slower.
        """
        if kwargs.pop("loss", None) is not None:
            raise ValueError("`FVVAE` has its own objective (Eq. 8); change `loss_weights` instead of `loss`.")
        if optimizer is None:
            optimizer = Adadelta(1.0, learning_rate_multipliers=RELEASE_MULTIPLIERS)
        kwargs.setdefault("jit_compile", xla_pays())
        super().compile(optimizer=optimizer, **kwargs)

    def call(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        descriptors = self.compute_descriptors(inputs, training=training)
        outputs = self.fvvae(descriptors, training=training)
        losses = {name: outputs[name] for name in outputs if name.endswith(("_loss", "class_scores"))}
        # While training it can be smaller: descriptors are sampled.
        count = ops.cast(ops.shape(descriptors)[1], outputs["reconstruction_loss"].dtype)
        return {**losses, "num_descriptors": ops.ones_like(outputs["reconstruction_loss"]) * count}

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The three-term loss of Eq. 8 as a scalar; updates the per-term metrics."""
        per_image = at_least_float32(y_pred["reconstruction_loss"])
        weights = ops.ones_like(per_image)
        if sample_weight is not None:
            weights = ops.reshape(ops.cast(sample_weight, weights.dtype), (-1,))
        terms = {
            "reconstruction": (per_image, weights),
            "regularization": (at_least_float32(y_pred["regularization_loss"]), weights),
        }
        if self.fvvae.num_classes is not None:
            labels = ops.full_like(weights, UNLABELLED) if y is None else ops.convert_to_tensor(y)
            if len(labels.shape) > 1 and labels.shape[-1] != 1:
                raise ValueError(
                    f"`FVVAE` expects one integer label per image, -1 for none. Received: shape={labels.shape}"
                )
            labels = ops.cast(ops.reshape(labels, (-1,)), "int32")
            scores = at_least_float32(y_pred["class_scores"])
            labelled = ops.where(labels == UNLABELLED, ops.zeros_like(weights), weights)
            # Any class does for an unlabelled image: its weight is zero.
            targets = ops.where(labels == UNLABELLED, ops.zeros_like(labels), labels)
            cross_entropy = ops.sparse_categorical_crossentropy(targets, scores, from_logits=True)
            correct = ops.cast(ops.equal(ops.cast(ops.argmax(scores, axis=-1), "int32"), labels), weights.dtype)
            terms["classification"] = (cross_entropy, labelled)
            self.loss_trackers["accuracy"].update_state(correct, sample_weight=labelled)

        total = 0.0
        for weight, (name, (values, counts)) in zip(self.loss_weights, terms.items(), strict=False):
            self.loss_trackers[name].update_state(values, sample_weight=counts)
            if name == "classification" and self.loss_reduction == "sum":
                values = values / at_least_float32(y_pred["num_descriptors"])
            total += weight * mean_over_global_batch(values, counts)
        return total + self.added_losses()

    def get_config(self) -> dict[str, Any]:
        own = {"loss_weights": list(self.loss_weights), "loss_reduction": self.loss_reduction}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> FVVAE:
        # Models that version 0.1 saved do not tell: they were trained with means.
        return super().from_config({"loss_reduction": "mean", **config}, custom_objects)
