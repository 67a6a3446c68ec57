"""What the models share: they are made of layers and models, and save them by value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np


class Reader(Protocol):
    """Reads files and pictures for a model as its training did: `keras_fvvae.zoo.reader.ItemReader`."""

    @property
    def views(self) -> Any: ...

    @property
    def kind(self) -> str: ...

    def vectors(self, encoder: Any, items: Any) -> np.ndarray: ...

    def scores(self, classifier: Any, items: Any) -> np.ndarray: ...

    def vector_batches(self, encoder: Any, collection: Any) -> Iterator[tuple[np.ndarray, list[tuple[int, str]]]]: ...


def require_parts(model: keras.Model, **parts: tuple[Any, type]) -> None:
    """Refuses parts of a model of another type, such as the nothing that a damaged file holds.

    Args:
        model: whose constructor was called.
        **parts: by argument pairs of its value and the class that it must be of.

    Raises:
        TypeError: naming the first of them.
    """
    for name, (part, kind) in parts.items():
        if not isinstance(part, kind):
            article = "an" if kind.__name__[0] in "AEIOU" else "a"
            raise TypeError(
                f"`{name}` of `{type(model).__name__}` must be {article} {kind.__name__}. Received: {part!r:.100}"
            )


def require_reader(encoder: Any) -> Reader:
    """The `reader` that a loader gave an encoder.

    Raises:
        ValueError: if it was built or loaded without one.
    """
    if encoder.reader is None:
        raise ValueError(
            "This model does not know how its training read files: load its run, pack or entry by "
            "`keras_fvvae.zoo.load_encoder` or `load_classifier`, or call `predict` with arrays of its input size."
        )
    return encoder.reader


class NestedModel(keras.Model):
    """A model whose constructor takes other layers or models, named in the class attribute `nested`.

    It serialises them by value, so that a `.keras` file rebuilds the whole. Models with the attributes `backbone` and
    `descriptors` also share the way from an image to its descriptors.
    """

    nested: tuple[str, ...] = ()

    def compute_descriptors(self, inputs: Any, training: bool = False) -> Any:
        """Local descriptors `(batch, T, C)` of images, or of activation maps where there is no backbone."""
        if self.backbone is not None:
            # A frozen backbone always runs in inference mode: its batch statistics and dropout are part of it.
            inputs = self.backbone(inputs, training=training and bool(self.backbone.trainable_variables))
        return self.descriptors(inputs, training=training)

    def descriptor_shape(self, input_shape: Sequence[int | None]) -> Any:
        """Shape of the descriptors, `(None, T, C)`, of inputs of `input_shape`; builds the layers on the way."""
        shape = input_shape
        if self.backbone is not None:
            shape = self.backbone.compute_output_shape(shape)
        if not self.descriptors.built:
            self.descriptors.build(shape)
        return self.descriptors.compute_output_shape(shape)

    def get_config(self) -> dict[str, Any]:
        # Not `super().get_config()`: for subclassed models Keras refuses or guesses constructor arguments.
        dtype = keras.dtype_policies.serialize(self.dtype_policy)
        config = {"name": self.name, "trainable": self.trainable, "dtype": dtype}
        for name in self.nested:
            config[name] = keras.saving.serialize_keras_object(getattr(self, name))
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> NestedModel:
        config = dict(config)
        for name in cls.nested:
            part = config.get(name)  # what files of older versions lack is `None`
            config[name] = keras.saving.deserialize_keras_object(part, custom_objects=custom_objects)
        return cls(**config)
