"""Images or videos in, decision values of the one-vs-all SVM out."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_fvvae.errors import WeightsError
from keras_fvvae.models.encoder import Encoder
from keras_fvvae.models.nested import NestedModel, require_parts, require_reader
from keras_fvvae.svm.calibration import Calibration

if TYPE_CHECKING:
    from keras_fvvae.svm import OneVsRestSVM


@keras.saving.register_keras_serializable(package="keras_fvvae")
class Classifier(NestedModel):
    """An encoder with the one-vs-all linear SVM as a dense layer: the whole way from pixels to scores.

    Args:
        encoder: a `keras_fvvae.models.FisherEncoder` or `JoinedEncoder`.
        class_names: names of the classes, in the order of their scores; at least two, all different.
        calibration: how scores become probabilities: a `keras_fvvae.svm.calibration.Calibration` or its config.
            Default `None`: they do not, as in files of 0.1.
        **kwargs: `keras.Model` arguments (`name`, `dtype`).

    Input shape:
        Images `(batch, H, W, 3)` or videos `(batch, frames, H, W, 3)`.

    Output shape:
        `(batch, len(class_names))`: decision values (signed distances scaled by the weights' norms), not
        probabilities. The largest one names the class.

    Raises:
        TypeError: for another encoder, or names that are no list of texts.
        ValueError: for fewer than two classes, names given twice, or a calibration that is none of these classes.

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

    def __init__(self, encoder: Encoder, class_names: Sequence[str], calibration: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_parts(self, encoder=(encoder, Encoder))
        if not isinstance(class_names, list | tuple) or not all(isinstance(name, str) for name in class_names):
            raise TypeError(f"`class_names` must be a list of texts. Received: {reprlib.repr(class_names)}")
        class_names = list(class_names)
        if len(class_names) < 2 or len(set(class_names)) < len(class_names):
            raise ValueError(f"`class_names` must be at least two different names. Received: {class_names}")
        self.encoder = encoder
        self.class_names = class_names
        self._calibration = _checked(calibration, len(class_names))
        # Zeros until `set_svm`: random numbers for millions of weights would be drawn at every load, to be overwritten.
        self.svm = keras.layers.Dense(len(class_names), kernel_initializer="zeros", dtype="float32", name="svm")
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        if not self.encoder.built:
            self.encoder.build(input_shape)
        self.svm.build((None, self.encoder.output_dim))
        self.built = True

    def set_svm(self, svm: OneVsRestSVM) -> None:
        """Installs the weights of a fitted `keras_fvvae.svm.OneVsRestSVM`, and its calibration, where it has one.

        Its labels must be integers 0 .. len(class_names) - 1; a class without training samples gets a score below any
        other, so that it is never predicted.
        """
        if not self.built:
            raise ValueError("The classifier must be built before `set_svm`: call it on a batch, or `build` it.")
        self.svm.set_weights(svm.dense_weights(len(self.class_names)))
        self._calibration = _checked(svm.dense_calibration(len(self.class_names)), len(self.class_names))

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

    @property
    def calibration(self) -> Calibration | None:
        """How scores become probabilities; `None` where they do not."""
        return self._calibration

    def probabilities(self, scores: Any) -> Any:
        """Probabilities `(n, len(class_names))` of scores, rows with a sum of one: of an array one, of a tensor one.

        Args:
            scores: decision values, as `classify`, `predict` and calling the model give them.

        Raises:
            WeightsError: if the model has no calibration.
        """
        calibration = self.require_calibration()
        return calibration.probabilities(scores, np if isinstance(scores, np.ndarray) else keras.ops)

    def require_calibration(self) -> Calibration:
        """The calibration.

        Raises:
            WeightsError: if the model has none.
        """
        if self._calibration is None:
            raise WeightsError(
                "This classifier has scores and no probabilities: its training was of an older version, had fewer than "
                "five items of a class, or `calibration: none`; train again with `--set calibration=temperature`."
            )
        return self._calibration

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, int]:
        return (input_shape[0], len(self.class_names))

    def compute_output_spec(self, inputs: Any, mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), "float32")

    def get_config(self) -> dict[str, Any]:
        calibration = None if self._calibration is None else self._calibration.get_config()
        return {**super().get_config(), "class_names": self.class_names, "calibration": calibration}


def _checked(calibration: Any, classes: int) -> Calibration | None:
    """A calibration that goes with so many classes."""
    if isinstance(calibration, dict):
        calibration = Calibration.from_config(calibration)
    if not isinstance(calibration, Calibration | None):
        raise TypeError(f"`calibration` must be a Calibration, its config or None. Received: {calibration!r:.100}")
    if calibration is not None and calibration.num_classes not in (None, classes):
        raise ValueError(f"`calibration` is of {calibration.num_classes} classes, and the classifier of {classes}.")
    return calibration
