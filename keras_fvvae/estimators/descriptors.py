"""Descriptors that a caller already has, as what a training of this library reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import islice

import keras
import numpy as np
import tensorflow as tf

from keras_fvvae.data.collection import Collection, Positions
from keras_fvvae.data.pipeline import without_autotuning
from keras_fvvae.models import FisherEncoder
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.representation_training import RepresentationTraining
from keras_fvvae.training.vectors import encode_vectors

# Items encoded at a time.
BLOCK_ROWS = 64


@dataclasses.dataclass
class DescriptorInputs:
    """Descriptors in memory, one item a row, with the interface of `keras_fvvae.training.inputs`.

    Attributes:
        maps: float32 `(items, T, 1, C)`: the descriptors of an item as an activation map.
        collection: the items' names, labels and splits; its sources are not read.
    """

    maps: np.ndarray
    collection: Collection

    def batches(self, indices: Positions) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields pairs in the order of `indices`: the maps of some items, and that there is one of each."""
        for start in range(0, len(indices), BLOCK_ROWS):
            part = self.maps[indices[start : start + BLOCK_ROWS]]
            yield part, np.ones(len(part), int)

    def training_batches(self, stream: Iterator[int], batch_size: int, start: int = 0) -> tf.data.Dataset:
        """Endless batches of maps and labels for an endless iterator of positions."""

        def generate():
            while True:
                indices = list(islice(stream, batch_size))
                yield self.maps[indices], self.collection.labels[indices]

        signature = (
            tf.TensorSpec((batch_size, *self.maps.shape[1:]), tf.float32),
            tf.TensorSpec((batch_size,), tf.int64),
        )
        return without_autotuning(tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(2))


def train_on_descriptors(
    recipe: Recipe, descriptors: np.ndarray, labels: np.ndarray | None, run: RunFolder, verbose: int = 0
) -> FisherEncoder:
    """Trains a recipe's representation on descriptors as they are; its backbone and `descriptors` are not used.

    Args:
        recipe: a `Recipe`.
        descriptors: float32 `(items, T, C)`.
        labels: integer per item from 0; `None`: without labels, as FV-VAE minus.
        run: folder for checkpoints and vectors.
        verbose: 1 for progress bars.

    Returns:
        An adapted `FisherEncoder` of maps `(items, T, 1, C)`.

    Raises:
        DataError: for a representation that learns from labels, and none.
        RecipeError, RunError: as `keras_fvvae.training.train.train`.
    """
    recipe = recipe.replace(descriptors="dense", validation=None, **({} if labels is not None else {"lambda3": 0.0}))
    keras.utils.set_random_seed(recipe.seed)
    maps = np.ascontiguousarray(descriptors[:, :, np.newaxis])
    items = [str(number) for number in range(len(maps))]
    known = np.full(len(maps), -1) if labels is None else labels
    names = [] if labels is None else [str(number) for number in range(labels.max() + 1)]
    inputs = DescriptorInputs(maps, Collection(items, items, known, ["train"] * len(items), names))
    whole = keras.Input(maps.shape[1:])
    training = RepresentationTraining(
        recipe, keras.Model(whole, keras.layers.Identity()(whole)), True, len(names) or None
    )
    positions = np.arange(len(maps))
    training.run(inputs, positions, run, verbose=verbose)  # type: ignore[arg-type]  # has what is used of others
    encode_vectors(training.encoder, inputs, len(maps), run.path / "vectors.npy", verbose)  # type: ignore[arg-type]
    return training.encoder


def encode_descriptors(encoder: FisherEncoder, descriptors: np.ndarray) -> np.ndarray:
    """Normalised vectors `(items, output_dim)` of descriptors `(items, T, C)`."""
    maps = descriptors[:, :, np.newaxis]
    parts = (maps[start : start + BLOCK_ROWS] for start in range(0, len(maps), BLOCK_ROWS))
    return np.concatenate([encoder.normalize_on_batch(encoder.predict_raw_on_batch(part)) for part in parts])
