"""An encoder under a softmax: how representations with weights of their own, and backbones below them, are trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.models.fisher_encoder import FisherEncoder
from keras_fvvae.models.nested import require_parts
from keras_fvvae.models.objective import ObjectiveModel, mean_over_global_batch, xla_pays
from keras_fvvae.utils.labels import UNLABELLED

# ActionVLAD's release starts the dense layer with it.
KERNEL_DEVIATION = 0.01


@keras.saving.register_keras_serializable(package="keras_fvvae")
class SoftmaxClassifier(ObjectiveModel):
    """Trains an encoder end to end with a dense layer and the softmax cross-entropy.

    For NetVLAD and ActionVLAD, whose centroids and assignment are weights, and for any differentiable representation
    on a backbone with trainable layers, such as bilinear pooling. The classes are a means to an end: afterwards the
    encoder gives the representation, and a one-vs-all SVM classifies it, as for FV-VAE.

    Train with `fit` on batches `(inputs, labels)`; a label of -1 takes no part in the loss.

    Args:
        encoder: a `keras_fvvae.models.FisherEncoder`; `adapt` it on training data first, where its head needs that.
        num_classes: positive integer.
        dropout: share of the representation dropped while training. Default 0.
        seed: integer or `None`, for dropout and the dense layer's start.
        **kwargs: `keras.Model` arguments (`name`, `dtype`).

    Input shape:
        That of the encoder: images, videos of frames, or their activation maps where the encoder has no backbone.

    Output shape:
        `(batch, num_classes)`, scores before the softmax.

    Raises:
        TypeError: for another encoder.
        ValueError: for a number of classes that is not positive.

    Example:
        >>> import numpy as np
        >>> from keras_fvvae.layers import NetVLAD, VectorNormalization
        >>> from keras_fvvae.models import FisherEncoder
        >>> descriptors = keras.layers.Reshape((-1, 4))
        >>> head = NetVLAD(num_centroids=2, alpha=10.0, normalization=None)
        >>> model = SoftmaxClassifier(FisherEncoder(descriptors, head, VectorNormalization(("blocks", "l2"), 2)), 3)
        >>> model.compile()
        >>> maps = np.random.default_rng(0).random((8, 5, 5, 4)).astype("float32")
        >>> history = model.fit(maps, np.arange(8) % 3, verbose=0)
        >>> model.predict(maps, verbose=0).shape
        (8, 3)

    Reference:
        Girdhar et al., "ActionVLAD", CVPR 2017, Section 3.3; Lin et al., "Bilinear CNN models", ICCV 2015.
    """

    nested = ("encoder",)

    def __init__(
        self, encoder: FisherEncoder, num_classes: int, dropout: float = 0.0, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        require_parts(self, encoder=(encoder, FisherEncoder))
        if not isinstance(num_classes, int) or num_classes < 1:
            raise ValueError(f"`num_classes` must be a positive integer. Received: num_classes={num_classes!r}")
        self.encoder = encoder
        self.num_classes = num_classes
        self.dropout = keras.layers.Dropout(dropout, seed=seed)
        self.seed = seed
        start = keras.initializers.RandomNormal(stddev=KERNEL_DEVIATION, seed=seed)
        self.classes = keras.layers.Dense(num_classes, kernel_initializer=start, dtype="float32", name="classes")
        self.accuracy_tracker = keras.metrics.Mean(name="accuracy")
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        if not self.encoder.built:
            self.encoder.build(input_shape)
        self.classes.build((None, self.encoder.head.output_dim))
        self.built = True

    def compile(self, optimizer: Any = None, **kwargs: Any) -> None:
        """Configures training; see `keras.Model.compile`.

        Args:
            optimizer: default: Adam at 1e-3.
            **kwargs: passed on; `loss` is not accepted, the objective is the model's own. `jit_compile` is off by
                default on TensorFlow without a GPU.
        """
        if kwargs.pop("loss", None) is not None:
            raise ValueError("`SoftmaxClassifier` has its own objective, the softmax cross-entropy: leave out `loss`.")
        kwargs.setdefault("jit_compile", xla_pays())
        super().compile(optimizer=optimizer or keras.optimizers.Adam(1e-3), **kwargs)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Cross-entropy, a mean over the labelled examples of the global batch; updates the accuracy on them."""
        labels = ops.cast(ops.reshape(ops.convert_to_tensor(y), (-1,)), "int32")
        weights = ops.cast(ops.not_equal(labels, UNLABELLED), y_pred.dtype)
        correct = ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), labels)
        # Any class does for an example without one: its weight is zero.
        targets = ops.where(labels == UNLABELLED, ops.zeros_like(labels), labels)
        if sample_weight is not None:
            weights = weights * ops.reshape(ops.cast(sample_weight, weights.dtype), (-1,))
        self.accuracy_tracker.update_state(ops.cast(correct, weights.dtype), sample_weight=weights)
        cross_entropy = ops.sparse_categorical_crossentropy(targets, y_pred, from_logits=True)
        return mean_over_global_batch(cross_entropy, weights) + self.added_losses()

    def call(self, inputs: Any, mask: Any = None, training: bool = False) -> Any:
        # Before the compression, which is fitted to the trained vectors.
        raw = self.encoder.encode_raw(inputs, mask=mask, training=training)
        vectors = self.encoder.normalize_uncompressed(raw)
        return self.classes(self.dropout(vectors, training=training))

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, int]:
        return (input_shape[0], self.num_classes)

    def compute_output_spec(self, inputs: Any, mask: Any = None, training: bool = False) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), "float32")

    def get_config(self) -> dict[str, Any]:
        settings = {"num_classes": self.num_classes, "dropout": self.dropout.rate, "seed": self.seed}
        return {**super().get_config(), **settings}
