"""Activation maps of a frozen backbone at several taps, all from one forward pass."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence

import keras

from keras_fvvae.backbones.several_taps import up_to_tap
from keras_fvvae.data.collection import Collection
from keras_fvvae.recipes import Recipe
from keras_fvvae.training.inputs.activations import ActivationInputs, prepare_together


class TappedInputs:
    """The `ActivationInputs` of branches, computed together. Each tap's are those of a recipe with this tap alone.

    Args:
        collection: a `Collection`.
        recipes: the `Recipe` of each branch.
        backbone: model from `keras_fvvae.backbones.several_taps`, of the same taps.
        directory: of the `FeatureStore`s.
    """

    def __init__(
        self, collection: Collection, recipes: Sequence[Recipe], backbone: keras.Model, directory: str | os.PathLike
    ):
        # Branches at one tap share its activations.
        numbers = {recipe.tap: number for number, recipe in enumerate(recipes)}
        self.streams = [
            ActivationInputs(collection, recipes[number], up_to_tap(backbone, number), directory)
            for number in numbers.values()
        ]
        outputs = [backbone.outputs[number] for number in numbers.values()]
        self.network = keras.Model(backbone.inputs, outputs, name=backbone.name)

    def on(self, collection: Collection) -> TappedInputs:
        """The same inputs of another collection."""
        other = copy.copy(self)
        other.streams = [stream.on(collection) for stream in self.streams]
        return other

    def prepare(self, verbose: int = 1) -> dict[int, str]:
        """Computes what is not on disk yet; returns a dictionary from position to reason of what cannot be used."""
        return prepare_together(self.streams, verbose, self.network)

    def damage(self) -> dict[int, str]:
        """Dictionary from position to what is wrong with items that are used as far as they can be read."""
        return {index: what for stream in self.streams for index, what in stream.damage().items()}
