"""tf.data pipelines from collections of images and videos: parallel, in order, and not stopped by a broken file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from keras_fvvae.data.crops import random_view
from keras_fvvae.data.readers.flow import ZERO
from keras_fvvae.data.readers.video import require_packages
from keras_fvvae.data.views import dtype_of, read_resized
from keras_fvvae.errors import DataError
from keras_fvvae.utils.cores import usable_cores
from keras_fvvae.utils.files import reason as reason_of
from keras_fvvae.utils.text import printable

if TYPE_CHECKING:
    from keras_fvvae.data.collection import Collection, Positions
    from keras_fvvae.data.views import Views

# AutoGraph would rewrite whatever a function calls, for a second in every process, and finds nothing to change here.
as_written = tf.autograph.experimental.do_not_convert


def view_batches(
    collection: Collection,
    indices: Positions,
    views: Views | list[Views] | tuple[Views, ...],
    items: int = 1,
) -> tf.data.Dataset:
    """Reads, resizes and crops images or videos in parallel.

    Args:
        collection: a `Collection`.
        indices: positions in it; the output keeps their order.
        views: a `Views`, or a list of several, all taken from one decoding of a video.
        items: images or videos per batch; the last batch may have fewer.

    Returns:
        `tf.data.Dataset` of dictionaries: `index` int64 `(items,)`; `reason` string `(items,)`: empty where the item
        could be read, otherwise why not; `views` float32 `(total, *size, channels)`: the views of all items one after
        the other; `count` int64 `(items,)`: how many are whose, 0 for what could not be read. With a list of views,
        `views` and `count` are tuples in its order.

    Example:
        >>> from keras_fvvae.data import Views, load_digits
        >>> batch = next(iter(view_batches(load_digits(), [5, 7], Views((8, 8)), items=2)))
        >>> batch["index"].numpy().tolist(), batch["views"].shape
        ([5, 7], TensorShape([2, 8, 8, 3]))
    """
    several = isinstance(views, list | tuple)
    kinds: list[Views] = list(views) if isinstance(views, list | tuple) else [views]

    @as_written
    def load(index):
        resized, reason = _read_op(collection, index, kinds)
        cropped = [one.crop(images) for one, images in zip(kinds, resized, strict=True)]
        return {"index": index, "reason": reason, "views": tuple(cropped)}

    @as_written
    def flatten(batch):
        parts = [part.with_row_splits_dtype(tf.int64) for part in batch.pop("views")]
        flat, counts = tuple(part.values for part in parts), tuple(part.row_lengths() for part in parts)
        return {**batch, "views": flat if several else flat[0], "count": counts if several else counts[0]}

    dataset = tf.data.Dataset.from_tensor_slices(np.asarray(indices, "int64"))
    dataset = dataset.map(load, num_parallel_calls=usable_cores(), deterministic=True)
    return without_autotuning(dataset.ragged_batch(items).map(flatten).prefetch(2))


def training_batches(
    collection: Collection,
    positions: Iterator[int],
    views: Views,
    batch_size: int,
    seed: int,
    start: int = 0,
    shift: int = 0,
    random_mirror: bool = False,
    views_per_item: int = 1,
) -> tf.data.Dataset:
    """Batches of random views for training a backbone: a random frame of a video, a random crop, mirrored if wished.

    Args:
        collection: a `Collection`.
        positions: endless iterator of positions in it.
        views: a `Views`.
        batch_size: items per batch.
        seed: every view is a function of the seed and of its number in the training alone.
        start: how many positions of the whole training were drawn before.
        shift, random_mirror: see `random_view`.
        views_per_item: frames of a video in a step, one at random from each of so many equal parts,
            all cropped alike; a short video's are repeated.

    Returns:
        `tf.data.Dataset` of `(views, labels)`: float32 `(batch_size, *size, channels)`, with several views an item
        `(batch_size, views_per_item, *size, channels)`, and int64 `(batch_size,)`.
    """
    labels = tf.constant(collection.labels)

    @as_written
    def example(count, index):
        crop_seed = tf.stack([tf.constant(seed, tf.int64), count])
        several = views_per_item > 1
        (images,), _ = _read_op(collection, index, [views], None if several else crop_seed)
        # A file that vanished since it was checked is black or without motion: no reason to end a long training.
        blank = tf.fill((1, *images.shape[1:]), float(ZERO if views.is_flow else 0))
        images = tf.cond(tf.shape(images)[0] > 0, lambda: tf.cast(images, tf.float32), lambda: blank)

        def crop(image):
            return random_view(image, crop_seed, views.size, shift, random_mirror, views.is_flow)

        if not several:
            return crop(images[0]), tf.gather(labels, index)
        # Another seed than the crop's: they would be correlated.
        draw = tf.random.stateless_uniform((), seed=crop_seed + 2)
        shares = (tf.range(float(views_per_item)) + draw) / views_per_item
        chosen = tf.cast(shares * tf.cast(tf.shape(images)[0], tf.float32), tf.int32)
        return tf.map_fn(crop, tf.gather(images, chosen)), tf.gather(labels, index)

    dataset = tf.data.Dataset.from_generator(lambda: positions, output_signature=tf.TensorSpec((), tf.int64))
    dataset = dataset.enumerate(start).map(example, num_parallel_calls=usable_cores(), deterministic=True)
    return without_autotuning(dataset.batch(batch_size).prefetch(2))


def unreadable_items(
    collection: Collection, views: Views, update: Callable[[int], None] = lambda done: None
) -> dict[int, str]:
    """Reads every item once, in parallel.

    Args:
        collection: a `Collection`.
        views: a `Views`: what must be readable.
        update: called with the number of items read so far.

    Returns:
        Dictionary from position to reason, for the items that cannot be read.
    """

    @as_written
    def check(index):
        return index, _read_op(collection, index, [views])[1]

    dataset = tf.data.Dataset.from_tensor_slices(np.arange(len(collection), dtype="int64"))
    dataset = without_autotuning(dataset.map(check, num_parallel_calls=usable_cores(), deterministic=True))
    unreadable = {}
    for done, (index, reason) in enumerate(dataset.as_numpy_iterator(), start=1):
        if reason:
            unreadable[int(index)] = reason.decode()
        update(done)
    return unreadable


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset without the thread in which `tf.data` tunes itself; its parallel calls must be numbers.

    That thread sleeps for ever longer times, up to a minute, and when an iterator has come to its end, giving it back
    can wait for it: reading a folder took up to twice as long.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _read_op(collection, index, views, random_seed=None):
    """`read` as a TensorFlow op with static shapes; with a seed, of a video a random frame."""
    if collection.kind == "video":  # now: from within the op, the error would be TensorFlow's
        require_packages(collection.sources, any(one.is_flow for one in views))

    def read_now(index, *seed):
        random = float(np.random.default_rng(seed[0]).random()) if seed else None
        return read(collection, int(index), views, random)

    dtype = dtype_of(collection.kind)
    inputs = [index] if random_seed is None else [index, random_seed]
    *images, reason = tf.numpy_function(read_now, inputs, [dtype] * len(views) + [tf.string])
    images = [tf.ensure_shape(i, (None, *v.resize_to, v.channels)) for i, v in zip(images, views, strict=True)]
    return images, tf.ensure_shape(reason, ())


def read(collection: Collection, index: int, views: Sequence[Views], random: float | None = None) -> tuple:
    """`read_resized` with a reason instead of an error.

    Returns:
        The arrays of `read_resized`, then the reason as bytes: empty, or why the item cannot be read; the arrays are
        empty then.
    """
    try:
        return (*read_resized(collection, index, views, random), np.bytes_(b""))
    except OSError as error:
        reason = f"cannot be opened: {reason_of(error)}"
    except (ValueError, DataError) as error:
        reason = str(error)
    return (
        *(np.zeros((0, *v.resize_to, v.channels), dtype_of(collection.kind)) for v in views),
        np.bytes_(printable(reason).encode()),
    )
