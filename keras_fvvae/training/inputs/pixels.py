"""Images or videos as they are, where the backbone is trained too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data.batch_sizes import items_per_batch
from keras_fvvae.data.collection import Collection, Positions
from keras_fvvae.data.pipeline import training_batches, unreadable_items, view_batches
from keras_fvvae.errors import DataError
from keras_fvvae.recipes import Recipe
from keras_fvvae.utils.progress import progress_bar


class PixelInputs:
    """Images or videos, decoded anew whenever they are needed.

    Args:
        collection: a `Collection`.
        recipe: a `Recipe`: what is taken from them.
    """

    def __init__(self, collection: Collection, recipe: Recipe):
        self.collection = collection
        self.recipe = recipe
        self.views = recipe_views(recipe, collection.kind)

    def on(self, collection: Collection) -> PixelInputs:
        """The same inputs of another collection."""
        return PixelInputs(collection, self.recipe)

    def prepare(self, verbose: int = 1) -> dict[int, str]:
        """Checks that every item can be read; returns a dictionary from position to reason of those that cannot."""
        with progress_bar("Reading", len(self.collection), enabled=bool(verbose)) as update:
            return unreadable_items(self.collection, self.views, update)

    def damage(self) -> dict[int, str]:
        """Dictionary from position to what is wrong with items that are used as far as they can be read."""
        return dict(self.collection.damage)

    def batches(self, indices: Positions) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields pairs in the order of `indices`: the views of some items one after the other, how many are whose.

        Raises:
            DataError: for an item that cannot be read any more.
        """
        items = items_per_batch(self.views, self.collection.kind)
        for batch in view_batches(self.collection, indices, self.views, items):
            for index, reason in zip(batch["index"].numpy(), batch["reason"].numpy(), strict=True):
                if reason:
                    name = self.collection.names[index]
                    raise DataError(f"{name} changed while it was used: {reason.decode()}. Repeat the call.")
            yield batch["views"].numpy(), batch["count"].numpy()

    def training_batches(self, stream: Iterator[int], batch_size: int, start: int = 0) -> tf.data.Dataset:
        """`tf.data.Dataset` of `(views, labels)` for an endless iterator of positions.

        One random view an item, or the recipe's `views_per_step` of it on an axis of their own.

        Args:
            stream: the iterator.
            batch_size: views per batch.
            start: how many positions of the whole training were drawn before; every view is seeded with its number.
        """
        recipe = self.recipe
        return training_batches(
            self.collection,
            stream,
            self.views,
            batch_size,
            recipe.seed,
            start,
            recipe.random_shift,
            recipe.random_mirror,
            recipe.views_per_step,
        )
