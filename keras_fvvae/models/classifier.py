"""Images or videos in, decision values of the one-vs-all SVM out."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_fvvae.models.encoder import Encoder
from keras_fvvae.models.nested import NestedModel, require_parts, require_reader

if TYPE_CHECKING:
    from keras_fvvae.svm import OneVsRestSVM


@keras.saving.register_keras_serializable(package="keras_fvvae")
class Classifier(NestedModel):
    """An encoder with the one-vs-all linear SVM as a dense layer: the whole way from pixels to scores.

    Args:
        encoder: a `keras_fvvae.models.FisherEncoder` or `JoinedEncoder`.
        class_names: names of the classes, in the order of their scores; at least two, all different.
        **kwargs: `keras.Model` arguments (`name`, `dtype`).

    Input shape:
        Images `(batch, H, W, 3)` or videos `(batch, frames, H, W, 3)`.

    Output shape:
        `(batch, len(class_names))`: decision values (signed distances scaled by the weights' norms), not
        probabilities. The largest one names the class.

    Raises:
        TypeError: for another encoder, or names that are no list of texts.
        ValueError: for fewer than two classes, or names given twice.

    Example:
        >>> import numpy as np
        >>> from keras_fvvae.models import FisherEncoder
        >>> from keras_fvvae.layers import FisherNormalization, FisherVectorHead, FVVAELayer, SpatialPyramidPooling
        >>> encoder = FisherEncoder(
        ...     SpatialPyramidPooling(), FisherVectorHead(FVVAELayer(latent_dim=3)), FisherNormalization("none")
        ... )
        >>> classifier = Classifier(encoder, class_names=["cat", "dog"])
        >>> classifier(np.ones((2, 7, 7, 4), "float32")).shape
        TensorShape([2, 2])

    Reference:
        Qiu et al., CVPR 2017, Section 5.2, "Classifier training".
    """

    nested = ("encoder",)

    def __init__(self, encoder: Encoder, class_names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_parts(self, encoder=(encoder, Encoder))
        if not isinstance(class_names, list | tuple) or not all(isinstance(name, str) for name in class_names):
            raise TypeError(f"`class_names` must be a list of texts. Received: {reprlib.repr(class_names)}")
        class_names = list(class_names)
        if len(class_names) < 2 or len(set(class_names)) < len(class_names):
            raise ValueError(f"`class_names` must be at least two different names. Received: {class_names}")
        self.encoder = encoder
        self.class_names = class_names
        # Zeros until `set_svm`: random numbers for millions of weights would be drawn at every load, to be overwritten.
        self.svm = keras.layers.Dense(len(class_names), kernel_initializer="zeros", dtype="float32", name="svm")
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        if not self.encoder.built:
            self.encoder.build(input_shape)
        self.svm.build((None, self.encoder.output_dim))
        self.built = True

    def set_svm(self, svm: OneVsRestSVM) -> None:
        """Installs the weights of a fitted `keras_fvvae.svm.OneVsRestSVM`.

        Its labels must be integers 0 .. len(class_names) - 1; a class without training samples gets a score below any
        other, so that it is never predicted.
        """
        if not self.built:
            raise ValueError("The classifier must be built before `set_svm`: call it on a batch, or `build` it.")
        self.svm.set_weights(svm.dense_weights(len(self.class_names)))

    def call(self, inputs: Any, mask: Any = None) -> Any:
        return self.svm(self.encoder(inputs, mask=mask))

    def classify(self, items: Any) -> tuple[list[str], np.ndarray]:
        """The best class of images or videos as they come, and their scores.

        Args:
            items: as for `FisherEncoder.encode`.

        Returns:
            Pair of a list of n names of classes and a float32 array of scores `(n, len(class_names))`, decision values
            in the order of `class_names`.

        Raises:
            DataError, ValueError: as `FisherEncoder.encode`.
        """
        scores = require_reader(self.encoder).scores(self, items)
        return [self.class_names[best] for best in scores.argmax(axis=1)], scores

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, int]:
        return (input_shape[0], len(self.class_names))

    def compute_output_spec(self, inputs: Any, mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "class_names": self.class_names}
