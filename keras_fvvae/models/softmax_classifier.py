"""An encoder under a softmax: how representations with weights of their own, and backbones below them, are trained."""

import keras
from keras import ops

from keras_fvvae.models.fvvae import UNLABELLED, xla_pays
from keras_fvvae.models.nested import NestedModel

# ActionVLAD's release starts the dense layer with it.
KERNEL_DEVIATION = 0.01


@keras.saving.register_keras_serializable(package="keras_fvvae")
class LabelledAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """Accuracy on the examples that have a label, any but -1."""

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        labelled = ops.cast(ops.not_equal(ops.reshape(y_true, (-1,)), UNLABELLED), "float32")
        weights = labelled if sample_weight is None else labelled * ops.reshape(sample_weight, (-1,))
        return super().update_state(y_true, y_pred, weights)


@keras.saving.register_keras_serializable(package="keras_fvvae")
class SoftmaxClassifier(NestedModel):
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
        ValueError: for a number of classes that is not positive.

    Example:
        >>> import numpy as np
        >>> from keras_fvvae.layers import NetVLAD, VectorNormalization
        >>> from keras_fvvae.models import FisherEncoder
        >>> descriptors = keras.layers.Reshape((-1, 4))
        >>> head = NetVLAD(num_centroids=2, alpha=10.0, normalize=False)
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

    def __init__(self, encoder, num_classes, dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(num_classes, int) or num_classes < 1:
            raise ValueError(f"`num_classes` must be a positive integer. Received: num_classes={num_classes!r}")
        self.encoder = encoder
        self.num_classes = num_classes
        self.dropout = keras.layers.Dropout(dropout, seed=seed)
        self.seed = seed
        start = keras.initializers.RandomNormal(stddev=KERNEL_DEVIATION, seed=seed)
        self.classes = keras.layers.Dense(num_classes, kernel_initializer=start, dtype="float32", name="classes")
        self.supports_masking = True

    def build(self, input_shape):
        if not self.encoder.built:
            self.encoder.build(input_shape)
        self.classes.build((None, self.encoder.head.output_dimension))
        self.built = True

    def compile(self, optimizer=None, **kwargs):
        """Configures training; see `keras.Model.compile`.

        Args:
            optimizer: default: Adam at 1e-3.
            **kwargs: passed on. `loss` and `metrics` are by default the cross-entropy and the accuracy on labelled
                examples; `jit_compile` is off by default on TensorFlow without a GPU.
        """
        cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=UNLABELLED)
        kwargs.setdefault("loss", cross_entropy)
        kwargs.setdefault("metrics", [LabelledAccuracy()])
        kwargs.setdefault("jit_compile", xla_pays())
        super().compile(optimizer=optimizer or keras.optimizers.Adam(1e-3), **kwargs)

    def compile_from_config(self, config):
        # Keras leaves models that override `compile` uncompiled when they are loaded.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def call(self, inputs, mask=None, training=False):
        # Before the compression, which is fitted to the trained vectors.
        raw = self.encoder.encode_raw(inputs, mask=mask, training=training)
        vectors = self.encoder.normalize_uncompressed(raw)
        return self.classes(self.dropout(vectors, training=training))

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_classes)

    def compute_output_spec(self, inputs, mask=None, training=False):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), "float32")

    def get_config(self):
        settings = {"num_classes": self.num_classes, "dropout": self.dropout.rate, "seed": self.seed}
        return {**super().get_config(), **settings}
