"""Activation maps of a frozen backbone, computed once and kept on disk."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from keras_fvvae.backbones.all_layers import all_layers
from keras_fvvae.backbones.table import BACKBONES
from keras_fvvae.backbones.taps import BEFORE_ACTIVATION, JOIN
from keras_fvvae.backbones.weights import require_finite
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data.batch_sizes import backbone_batch_size, items_per_batch
from keras_fvvae.data.collection import Collection, Positions
from keras_fvvae.data.pipeline import view_batches, without_autotuning
from keras_fvvae.features import SHARD_BYTES, FeatureStore
from keras_fvvae.recipes import Recipe
from keras_fvvae.utils.model_digests import architecture_digest, weights_digest
from keras_fvvae.utils.progress import progress_bar

# Activations read from disk at once, in float16; and maps, whose Fisher vectors are larger than they are.
READ_BYTES = 32 * 2**20
MAX_READ = 64
# Options of which the number of weights tells: stores of networks that have no others keep their keys.
_WIDTHS = ("alpha", "filters")


class ActivationInputs:
    """Activation maps of a frozen backbone, computed once and kept on disk, one for each view of an item.

    Args:
        collection: a `Collection`.
        recipe: a `Recipe`.
        backbone: model from images to activation maps.
        directory: of the `FeatureStore`s.
        shard_bytes: size of their shards.
        is_given: whether the backbone is a model of the caller's, of which the recipe need not tell all.
    """

    def __init__(
        self,
        collection: Collection,
        recipe: Recipe,
        backbone: keras.Model,
        directory: str | os.PathLike,
        shard_bytes: int = SHARD_BYTES,
        is_given: bool = False,
    ):
        self.collection = collection
        self.recipe = recipe
        self.backbone = backbone
        self.views = recipe_views(recipe, collection.kind)
        self.shape = tuple(backbone.output.shape[1:])
        require_finite(backbone, "The backbone's weights")
        settings = {
            "backbone": recipe.backbone,
            "tap": recipe.tap,
            "weights": weights_digest(backbone),
            **_architecture(recipe, backbone, is_given),
            **_precision(backbone),
            **self.views.settings(collection.kind),
        }
        self.store = FeatureStore(directory, settings, shard_bytes=shard_bytes)
        self.keys = [collection.key(index) for index in range(len(collection))]

    def on(self, collection: Collection) -> ActivationInputs:
        """The same inputs of another collection: weights digested and shards checked for these serve those."""
        other = copy.copy(self)
        other.collection = collection
        other.keys = [collection.key(index) for index in range(len(collection))]
        return other

    def prepare(self, verbose: int = 1) -> dict[int, str]:
        """Computes what is not on disk yet; returns a dictionary from position to reason of what cannot be used.

        Stopped at any moment, it keeps what it has.
        """
        return prepare_together([self], verbose)

    def missing(self) -> list[int]:
        """Positions of the items whose activations are not on disk."""
        return [index for index, key in enumerate(self.keys) if key not in self.store]

    def compute(self, views: np.ndarray) -> np.ndarray:
        """Activation maps of views `(n, *size, channels)`, in the store's dtype."""
        return _maps([self], self.backbone, views)[0]

    def keep(self, index: int, maps: np.ndarray) -> str:
        """Stores the maps of one item; returns why they cannot be used, or ""."""
        if not np.isfinite(maps).all():
            return "its activations are NaN, infinite or beyond float16"
        self.store.add(self.keys[index], maps, self.collection.damage.get(index, ""))
        return ""

    def damage(self) -> dict[int, str]:
        """Dictionary from position to what is wrong with items that are used as far as they can be read."""
        notes = {index: self.store.note(key) for index, key in enumerate(self.keys)}
        return {index: note for index, note in notes.items() if note}

    def batches(self, indices: Positions) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields pairs in the order of `indices`: the maps of some items one after the other, how many are whose."""
        limit = max(1, min(MAX_READ, READ_BYTES // (math.prod(self.shape) * self.store.dtype.itemsize)))
        maps: list[np.ndarray] = []
        total = 0
        for index in indices:
            item = self.store[self.keys[index]]
            if maps and total + len(item) > limit:
                yield np.concatenate(maps), np.array([len(m) for m in maps])
                maps, total = [], 0
            maps.append(item)
            total += len(item)
        if maps:
            yield np.concatenate(maps), np.array([len(m) for m in maps])
        self.store.release()

    def training_batches(self, stream: Iterator[int], batch_size: int, start: int = 0) -> tf.data.Dataset:
        """`tf.data.Dataset` of `(activation maps, labels)`; see `PixelInputs`."""
        count = self.recipe.views_per_step
        shape = (batch_size, *self.shape) if count == 1 else (batch_size, count, *self.shape)

        def generate():
            number = start
            while True:
                indices = [next(stream) for _ in range(batch_size)]
                maps = [self._random_views(index, number + i) for i, index in enumerate(indices)]
                yield np.stack(maps), self.collection.labels[indices]
                number += batch_size

        signature = (
            tf.TensorSpec(shape, self.store.dtype),
            tf.TensorSpec((batch_size,), tf.int64),
        )
        return without_autotuning(tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(2))

    def random_view(self, index: int, number: int) -> tuple[np.ndarray, int]:
        """An item's maps, and which of them the training takes at this number of its positions, by the seed."""
        maps = np.asarray(self.store[self.keys[index]])
        if len(maps) == 1:
            return maps, 0
        return maps, int(np.random.default_rng([self.recipe.seed, number]).integers(len(maps)))

    def _random_views(self, index, number):
        """One or several of an item's maps."""
        count = self.recipe.views_per_step
        if count == 1:
            maps, view = self.random_view(index, number)
            return maps[view]
        maps = self.store[self.keys[index]]
        rng = np.random.default_rng([self.recipe.seed, number])
        # One from each of so many equal parts.
        return maps[((np.arange(count) + rng.random()) / count * len(maps)).astype(int)]


def prepare_together(
    streams: list[ActivationInputs], verbose: int = 1, network: keras.Model | None = None
) -> dict[int, str]:
    """Computes the activations of several streams (RGB, optical flow; taps) that are not on disk, decoding items once.

    Args:
        streams: list of `ActivationInputs` of one collection.
        verbose: 1 for a progress bar.
        network: of streams of the same views a model that gives the maps of all, in their order: it is passed once.
            Default: each stream's own backbone.

    Returns:
        Dictionary from position to reason, of items that cannot be used by every stream.
    """
    collection = streams[0].collection
    for stream in streams:
        stream.store.discard_damaged()
    missing = [set(stream.missing()) for stream in streams]
    # What only some streams lack (another run was stopped, or shares one of them) is decoded for those alone.
    skipped: dict[int, str] = {}
    for wanted in sorted({tuple(i in part for part in missing) for i in set().union(*missing)}, reverse=True):
        indices = [i for i in range(len(collection)) if tuple(i in part for part in missing) == wanted]
        _compute(collection, indices, streams, wanted, network, skipped, verbose)
    return skipped


def _compute(collection, indices, streams, wanted, network, skipped, verbose):
    chosen = [stream for stream, take in zip(streams, wanted, strict=True) if take]
    views = [stream.views for stream in (chosen if network is None else streams[:1])]
    items = min(items_per_batch(one, collection.kind) for one in views)
    names = " and ".join(f"{s.backbone.name}{f' ({s.views.modality})' * s.views.is_flow}" for s in chosen)
    done = 0
    title = f"Activations of {names if network is None else network.name}"
    with progress_bar(title, len(indices), enabled=bool(verbose)) as update:
        try:
            for batch in view_batches(collection, indices, views, items):
                rows = list(zip(batch["index"].numpy().tolist(), batch["reason"].numpy(), strict=True))
                skipped.update({index: reason.decode() for index, reason in rows if reason})
                if network is None:
                    maps = [stream.compute(pixels) for stream, pixels in zip(chosen, batch["views"], strict=True)]
                    counts = list(batch["count"])
                else:
                    every = _maps(streams, network, batch["views"][0])
                    maps = [one for one, take in zip(every, wanted, strict=True) if take]
                    counts = [batch["count"][0]] * len(chosen)
                for stream, values, count in zip(chosen, maps, counts, strict=True):
                    for (index, reason), item in zip(rows, np.split(values, np.cumsum(count)[:-1]), strict=True):
                        problem = "" if reason else stream.keep(index, item)
                        if problem:
                            skipped[index] = problem
                done += len(rows)
                update(done)
        finally:
            for stream in chosen:
                stream.store.flush()


def _maps(streams, network, views):
    """The activation maps of views for each stream, in its store's dtype, from one pass of a network."""
    size = backbone_batch_size(streams[0].views.size)
    parts = [network.predict_on_batch(views[i : i + size]) for i in range(0, len(views), size)]
    by_stream = zip(*(part if isinstance(part, list) else [part] for part in parts), strict=True)
    whole = [np.concatenate(one) for one in by_stream] or [np.zeros((0, *stream.shape)) for stream in streams]
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused
        return [maps.astype(stream.store.dtype) for maps, stream in zip(whole, streams, strict=True)]


def _architecture(recipe, model, is_given):
    """What tells networks with the same weights apart; nothing for one of the table that is built without options."""
    if is_given or recipe.backbone not in BACKBONES:
        return {"architecture": architecture_digest(model)}
    options = {name: value for name, value in recipe.backbone_options.items() if name not in _WIDTHS}
    settings = {"backbone_options": options} if options else {}
    tap = recipe.tap or ""
    if JOIN in tap and BEFORE_ACTIVATION in tap:
        # Under the key without it lie maps of before, whose other half was computed without that activation, too.
        settings["activation"] = "of one half"
    return settings


def _precision(model):
    """What tells activations of another precision apart; nothing for float32, under whose keys 0.1 kept its own."""
    dtypes = sorted({layer.compute_dtype for layer in all_layers(model)})
    return {} if dtypes == ["float32"] else {"precision": dtypes}
