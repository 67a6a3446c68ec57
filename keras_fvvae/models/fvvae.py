"""The trainable FV-VAE: backbone, descriptors and variational auto-encoder under the loss of Eq. 8."""

import keras
from keras import ops

from keras_fvvae.models.nested import NestedModel
from keras_fvvae.ops.tensors import at_least_float32
from keras_fvvae.optimizers import RELEASE_MULTIPLIERS, Adadelta
from keras_fvvae.utils.labels import UNLABELLED

# Eq. 8 with lambda1 = lambda2 = 1 (Section 3.3); lambda3 of the authors' release.
LOSS_WEIGHTS = (1.0, 1.0, 1e3)


@keras.saving.register_keras_serializable(package="keras_fvvae")
class FVVAE(NestedModel):
    """Learns the distribution of a CNN's local activations, end to end (Section 4, Figure 3).

        L = lambda1 * L_rec + lambda2 * L_reg + lambda3 * L_cls                                                 (Eq. 8)

    `L_rec` and `L_reg` are sums over dimensions, then means over an image's descriptors, then over the images of the
    (global) batch; `L_cls` is a mean over its labelled images. A label of -1 marks an image without one: it takes no
    part in `L_cls`. With all labels -1, without labels, or with `lambda3 = 0` this is the paper's FV-VAE minus.

    Train with `fit` on batches `(images, labels)`, `images` alone, or `(images, labels, sample_weights)`. Reported:
    `loss`, `reconstruction`, `regularization`, and with classes `classification` and `accuracy` (on labelled images).

    The objective is `compute_loss`, not an own `train_step`: Keras's own steps then bring mixed-precision loss scaling,
    `jit_compile`, `MirroredStrategy` and its other backends. Means are over the global batch of a `tf.distribute`
    strategy, however the labelled images fall on the replicas.

    Args:
        descriptors: layer or model from activation maps `(batch, H, W, C)` to descriptors `(batch, T, C)`.
        fvvae: a `keras_fvvae.layers.FVVAELayer`.
        backbone: model from images to activation maps. `None`: the inputs are activation maps, for example cached.
            Its layers' `trainable` flags decide what is trained end to end.
        loss_weights: `(lambda1, lambda2, lambda3)`, none negative.
        **kwargs: `keras.Model` arguments (`name`, `dtype`).

    Input shape:
        `(batch, H, W, 3)`; without a backbone `(batch, H, W, C)`.

    Output shape:
        A dictionary: `reconstruction_loss`, `regularization_loss` `(batch,)`, and with classes `class_scores`
        `(batch, num_classes)`.

    Raises:
        ValueError: for loss weights that are not three numbers, none negative and not all zero.

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

    def __init__(self, descriptors, fvvae, backbone=None, loss_weights=LOSS_WEIGHTS, **kwargs):
        super().__init__(**kwargs)
        loss_weights = tuple(float(weight) for weight in loss_weights)
        if len(loss_weights) != 3 or not all(weight >= 0 for weight in loss_weights) or not any(loss_weights):
            raise ValueError(
                f"`loss_weights` must be three numbers, none negative and not all zero. Received: {loss_weights}"
            )
        self.descriptors = descriptors
        self.fvvae = fvvae
        self.backbone = backbone
        self.loss_weights = loss_weights
        names = ["reconstruction", "regularization"]
        if fvvae.num_classes is not None:
            names += ["classification", "accuracy"]
        self.loss_trackers = {name: keras.metrics.Mean(name=name) for name in names}

    def build(self, input_shape):
        shape = self.descriptor_shape(input_shape)
        if not self.fvvae.built:
            self.fvvae.build(shape)
        self.built = True

    def compile(self, optimizer=None, **kwargs):
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

    def compile_from_config(self, config):
        # Keras leaves models that override `compile` uncompiled when they are loaded.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def call(self, inputs, training=False):
        outputs = self.fvvae(self.compute_descriptors(inputs, training=training), training=training)
        return {name: outputs[name] for name in outputs if name.endswith(("_loss", "class_scores"))}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
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
            total += weight * mean_over_global_batch(values, counts)
        for extra in self.losses:  # the backbone's own, for example weight decay
            total += ops.sum(extra) / replicas()
        return total

    def get_config(self):
        return {**super().get_config(), "loss_weights": list(self.loss_weights)}


def mean_over_global_batch(values, weights):
    """Weighted mean whose replicas' parts add up to the mean over the global batch; 0 where all weights are 0."""
    total = ops.sum(weights)
    context = _replica_context()
    if context is not None:
        total = context.all_reduce("SUM", total)
    return ops.sum(values * weights) / ops.where(total > 0, total, ops.ones_like(total))


def _replica_context():
    """TensorFlow's replica context where several replicas train in step, else `None`."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None


def xla_pays():
    """Keras's default for `jit_compile`, except on TensorFlow without a GPU."""
    if keras.backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if tf.config.list_physical_devices("GPU") else False


def replicas():
    context = _replica_context()
    return 1 if context is None else context.num_replicas_in_sync
