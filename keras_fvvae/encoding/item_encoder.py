"""From an item to its vector: the same code in a local process, a static shard and a Beam worker."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from keras_fvvae.builders.encoders import load_encoder
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data.batch_sizes import backbone_batch_size
from keras_fvvae.data.collection import UNLABELLED, Collection
from keras_fvvae.data.pipeline import read
from keras_fvvae.data.views import Views
from keras_fvvae.encoding.fetching import FetchError, fetched
from keras_fvvae.errors import DataError, WeightsError
from keras_fvvae.training.vectors import MAX_VIEWS, mean_raw_vectors
from keras_fvvae.utils.files import sha256
from keras_fvvae.zoo.sources import open_trained

if TYPE_CHECKING:
    from keras_fvvae.encoding.items import Item

DTYPES = ("float32", "float16")
# Images encoded together. More is hardly faster, and a last batch that is padded to it would cost more.
IMAGES_PER_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Encoding:
    """Everything that stored vectors depend on; picklable.

    Args:
        model: path of the `model.keras`.
        digest: SHA-256 of it.
        views: `Views`.
        kind: of the items, `"image"` or `"video"`.
        raw: whether vectors are stored before normalisation: means over views of sums over descriptors, which can
            be added, averaged and normalised later.
        dtype: of the stored vectors.
    """

    model: str
    digest: str
    views: Views
    kind: str
    raw: bool = False
    dtype: str = "float32"

    @property
    def settings(self) -> dict:
        """What vectors depend on, JSON-serialisable; where the model lies is not part of it."""
        settings = {
            "model": self.digest,
            "kind": self.kind,
            "views": self.views.settings(self.kind),
            "raw": self.raw,
            "dtype": self.dtype,
        }
        return json.loads(json.dumps(settings))

    @property
    def views_per_item(self) -> int:
        """Views of an item, at most; with `frame_step` a guess."""
        return self.views.per_item(self.kind)

    @property
    def images_per_batch(self) -> int:
        """Images encoded together, where an item is one view."""
        return min(IMAGES_PER_BATCH, MAX_VIEWS, backbone_batch_size(self.views.size))

    @property
    def chunk_items(self) -> int:
        """Items that a process takes at a time."""
        return self.images_per_batch if self.views_per_item == 1 else max(1, MAX_VIEWS // self.views_per_item)


def open_encoding(
    run: str | Path, kind: str, raw: bool = False, dtype: str = "float32", decoder: str | None = None
) -> Encoding:
    """How a trained encoder encodes items.

    Args:
        run: a finished run's folder, a published pack or the name of an entry, see `keras_fvvae.zoo.load_encoder`.
        kind: `"image"` or `"video"`.
        raw, dtype: see `Encoding`.
        decoder: of `Views`, instead of the training's.

    Raises:
        RunError, WeightsError, RecipeError: if it cannot be used, or not for this kind.
        ValueError: for an unknown `dtype` or `decoder`.
    """
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be one of {DTYPES}. Received: dtype={dtype!r}")
    trained = open_trained(run)
    if trained.recipe is None:
        raise WeightsError(
            f"{run} is a model alone: pass the folder of its run or pack, which says how files are read."
        )
    views = recipe_views(trained.recipe, kind)
    if decoder is not None:
        views = dataclasses.replace(views, decoder=decoder)
    return Encoding(str(trained.model.absolute()), sha256(trained.model), views, kind, raw, dtype)


class Result(NamedTuple):
    """What became of an item: its vector `(1, ...)` and a note on damage, or the reason why there is none."""

    key: str
    vector: np.ndarray | None
    note: str = ""
    reason: str = ""


class ItemEncoder:
    """The loaded encoder and threads that read ahead of it.

    A vector depends on its item alone, not on what is encoded beside it: the views of a video go through the network
    by themselves, and images in batches that are always of the same size (the last one is padded), because another
    batch shape can mean another kernel and another rounding, which the signed square root magnifies near zero.

    Args:
        encoding: an `Encoding`.
        threads: that read and decode.

    Raises:
        WeightsError: if the model cannot be loaded, is not the one of the encoding, or has no backbone.
    """

    def __init__(self, encoding: Encoding, threads: int = 2):
        self.encoding = encoding
        if sha256(encoding.model) != encoding.digest:
            raise WeightsError(f"{encoding.model} is not the model that the encoding began with. Call it again.")
        self.encoder = load_encoder(encoding.model)
        if self.encoder.backbone is None:
            raise WeightsError(f"{encoding.model} has no backbone: it encodes activation maps, not files.")
        self.pool = ThreadPoolExecutor(threads)

    def submit(self, items: Sequence[Item]) -> list[tuple[Item, Future]]:
        """Begins to read items (at most `chunk_items`); returns what `results` takes."""
        return [(item, self.pool.submit(_read, item, self.encoding)) for item in items]

    def results(self, submitted: list[tuple[Item, Future]]) -> Iterator[Result]:
        """Yields the `Result` of every submitted item, in order.

        Raises:
            FetchError: if items cannot be had for a reason that is not theirs.
        """
        if self.encoding.views_per_item == 1:
            yield from self._together(submitted)
            return
        for item, future in submitted:
            images, reason, note = future.result()
            if reason:
                yield Result(item.key, None, reason=reason)
                continue
            views = self.encoding.views.crop(images)
            yield self._result(item, mean_raw_vectors(self.encoder, views, [len(views)]), note)

    def _together(self, submitted):
        """Items of one view in one batch of a fixed size."""
        read_items = [(item, *future.result()) for item, future in submitted]
        good = [images for _, images, reason, _ in read_items if not reason]
        if good:
            count, size = len(good), self.encoding.images_per_batch
            views = self.encoding.views.crop(np.concatenate(good))
            views = tf.pad(views, [[0, size - count], [0, 0], [0, 0], [0, 0]])
            raw = iter(mean_raw_vectors(self.encoder, views, np.ones(size, int))[:count])
        for item, _, reason, note in read_items:
            yield Result(item.key, None, reason=reason) if reason else self._result(item, next(raw)[np.newaxis], note)

    def _result(self, item, raw, note):
        vector = raw
        if not self.encoding.raw:
            vector = self.encoder.normalize_on_batch(raw)
        with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused
            vector = vector.astype(self.encoding.dtype)
        if not np.isfinite(vector).all():
            return Result(item.key, None, reason=f"its vector holds NaN, or values beyond {self.encoding.dtype}")
        return Result(item.key, vector, note)


def _read(item, encoding):
    """`(images or frames, reason, note)` of an item."""
    boxes = None if item.box is None else [item.box]
    try:
        with fetched(item) as source:
            one = Collection([source], [item.name], [UNLABELLED], ["test"], [], kind=encoding.kind, boxes=boxes)
            images, reason = read(one, 0, [encoding.views])
    except FetchError:  # not the item's fault
        raise
    except DataError as error:
        return None, str(error), ""
    except Exception as error:  # whatever one of millions of files holds, it must not end the work on the others
        return None, f"{type(error).__name__}: {error}", ""
    return images, reason.decode(errors="replace"), one.damage.get(0, "")
