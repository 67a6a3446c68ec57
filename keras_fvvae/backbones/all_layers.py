"""The layers of a model and of the models in it."""

from __future__ import annotations

from collections.abc import Iterator

import keras


def all_layers(model: keras.Model) -> Iterator[keras.Layer]:
    """Every layer of a model, those of nested models after the model that has them.

    Example:
        >>> inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="a")], name="inner")
        >>> [layer.name for layer in all_layers(keras.Sequential([inner, keras.layers.ReLU(name="b")]))]
        ['inner', 'a', 'b']
    """
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)
