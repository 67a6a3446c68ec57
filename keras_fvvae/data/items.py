"""Images and videos as a caller has them, files, arrays or pictures of Pillow, as a collection."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_fvvae.data.collection import UNLABELLED, Collection
from keras_fvvae.data.datasets.folder import find_images, find_videos
from keras_fvvae.errors import DataError

# Axes of the array of one item, the colours last.
_RANKS = {"image": 3, "video": 4}


def item_collection(
    items: Any, kind: str = "image", labels: Sequence[int] | np.ndarray | None = None, class_names: Iterable[str] = ()
) -> Collection:
    """A collection of what a caller has at hand, in the same order.

    Args:
        items: one path or array or Pillow image, or many: a list, tuple or array of them, an array with one axis more
            than one item, or a `tf.data.Dataset` (batched or not; of tuples the first part is taken), which is read
            into memory. A folder stands for all images or videos below it, sorted; a folder of numbered frames is a
            video. Arrays are RGB with values 0 to 255, `(height, width, 3)` of an image, `(frames, height, width, 3)`
            of a video; they need not have one size. What another program decodes of a JPEG file is not to the last bit
            what this library reads of it. A `Collection` is returned as it is.
        kind: `"image"` or `"video"`.
        labels: integer per item, an index into `class_names`: they become training items. Default: test items without
            label.
        class_names: names of the classes.

    Returns:
        A `Collection`. Names are those of the paths where these differ from each other, else numbers.

    Raises:
        DataError: if there are no items, or a folder holds none.
        ValueError: for arrays of another shape or range, or labels that are not one per item.
        TypeError: for what is neither a path nor an array nor an image.

    Example:
        >>> pixels = np.zeros((5, 8, 8, 3), "uint8")
        >>> item_collection(pixels).names, item_collection([pixels[0], Image.new("L", (9, 4))]).read(1).shape
        (['0', '1', '2', '3', '4'], (4, 9, 3))
    """
    if isinstance(items, Collection):
        return items
    sources = [_source(item, kind) for item in _separate(items, kind)]
    if not sources:
        raise DataError(f"There are no {kind}s to work on.")
    names = [str(one) for one in sources if not isinstance(one, np.ndarray)]
    if len(set(names)) < len(sources):
        names = [str(number) for number in range(len(sources))]
    if labels is None:
        return Collection(sources, names, [UNLABELLED] * len(sources), ["test"] * len(sources), class_names, kind=kind)
    if len(labels) != len(sources):
        raise ValueError(f"There are {len(sources)} {kind}s and {len(labels)} labels: give one label per {kind}.")
    return Collection(sources, names, labels, ["train"] * len(sources), class_names, kind=kind)


def _separate(items: Any, kind: str) -> Iterator[Any]:
    """The items, one by one."""
    if isinstance(items, bytes):  # a path in a `tf.data.Dataset`
        items = os.fsdecode(items)
    if isinstance(items, str | os.PathLike):
        yield from _below(Path(items), kind) if Path(items).is_dir() else [items]
    elif isinstance(items, Image.Image):
        yield items
    elif isinstance(items, tf.data.Dataset):
        for element in items.as_numpy_iterator():
            first = element[0] if isinstance(element, tuple) else element
            yield from _separate(first, kind)
    else:
        if hasattr(items, "__array__"):  # a tensor, for example, or a column of a table
            items = np.asarray(items)
        one = isinstance(items, np.ndarray) and items.ndim == _RANKS[kind]
        yield from [items] if one else items


def _below(folder: Path, kind: str) -> list[Path]:
    found, _ = (find_videos if kind == "video" else find_images)(folder)
    if not found:
        raise DataError(f"There are no {kind}s in the folder {folder}, and this model takes {kind}s.")
    return found


def _source(item: Any, kind: str) -> str | np.ndarray:
    """What a `Collection` holds of an item."""
    if isinstance(item, str | os.PathLike):
        return os.fspath(item)
    if isinstance(item, bytes):
        return os.fsdecode(item)
    if isinstance(item, Image.Image):
        item = np.asarray(item.convert("RGB"))
    if not hasattr(item, "__array__"):
        raise TypeError(f"An item must be a path, an array or a Pillow image. Received: a {type(item).__name__}")
    pixels = np.asarray(item)
    if pixels.ndim != _RANKS[kind] or pixels.shape[-1] != 3 or pixels.dtype.kind not in "uif":
        axes = "(height, width, 3)" if kind == "image" else "(frames, height, width, 3)"
        raise ValueError(
            f"The array of one {kind} must hold the numbers of {axes}. Received: shape={pixels.shape}, "
            f"dtype={pixels.dtype}"
        )
    if pixels.dtype == np.uint8:
        return pixels
    largest = pixels.max(initial=0)
    if not (np.isfinite(pixels).all() and pixels.min(initial=0) >= 0 and largest <= 255):
        raise ValueError(f"Values of pixels must be 0 to 255. Received: {pixels.min()} to {largest}")
    if pixels.dtype.kind == "f" and 0 < largest <= 1:
        raise ValueError(f"Values of pixels must be 0 to 255. Received: 0 to {largest:g}; multiply them by 255.")
    # Of a video frames are 8-bit, as files have them; an image's pixels are not rounded.
    return np.round(pixels).astype("uint8") if kind == "video" else pixels.astype("float32")
