"""What is to be encoded, item by item: keys that every machine agrees on, and static shards of them."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from keras_fvvae.zoo.remote.addresses import is_url

if TYPE_CHECKING:
    from keras_fvvae.data.collection import Collection


TAR = ".tar"
_COMPRESSED = re.compile(r"\.(?:tgz|tbz2?|txz|tar\.(?:gz|bz2|xz|zst))$", re.IGNORECASE)


class Item(NamedTuple):
    """An image or a video to encode; small, and picklable.

    Attributes:
        key: under which its vector is stored, see `item_key`.
        name: its path relative to the data folder.
        source: its path, or a uint8 array; or an address in an object store.
        box: `(x, y, width, height)` that an image is cut to, or `None`.
        part: first byte and number of bytes that it takes in the tar file `source`; `None`: the whole file.
    """

    key: str
    name: str
    source: str | np.ndarray
    box: tuple | None = None
    part: tuple[int, int] | None = None


class Shard(NamedTuple):
    """The `number`-th of `count` parts, from 1."""

    number: int = 1
    count: int = 1  # type: ignore[assignment]

    def __str__(self):
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard:
    """The `Shard` of a text such as "3/10".

    Raises:
        ValueError: for anything else.

    Example:
        >>> parse_shard("3/10")
        Shard(number=3, count=10)
    """
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", text.strip())
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise ValueError(f"A shard is `i/n` with i from 1 to n, such as 1/10 or 10/10. Received: {text!r}")
    return Shard(number, count)


def shard_of(name: str, count: int) -> int:
    """The number, from 1, of the shard that an item belongs to.

    A digest of its name decides: neither the order of the files nor which others there are has an influence.

    Example:
        >>> [shard_of(name, 3) for name in ("a.avi", "b.avi", "c.avi")]
        [1, 3, 3]
    """
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
    return 1 + int.from_bytes(digest[:8], "big") % count


def is_compressed(name: str | os.PathLike) -> bool:
    """Whether a file name is that of a compressed tar file."""
    return bool(_COMPRESSED.search(str(name)))


def is_stored(data: str | os.PathLike) -> bool:
    """Whether data are tar files or lie in an object store, rather than a folder or a list: by their name.

    Example:
        >>> [is_stored(data) for data in ("shards/{000..099}.tar", "s3://bucket/photos", "photos", "photos.csv")]
        [True, True, False, False]
    """
    return is_url(data) or str(data).lower().endswith(TAR) or is_compressed(data)


def item_key(name: str, source: str | np.ndarray) -> str:
    """The key of an item: its name and its size.

    Name: the path relative to the data folder, with `/`. Unlike absolute paths and times of change, on which
    `Collection.key` depends, these are the same on every machine that has a copy of the data. A file that is replaced
    by one of the same size is not noticed.

    Example:
        >>> item_key("absent.avi", "/data/absent.avi")
        'absent.avi:absent'
    """
    if isinstance(source, np.ndarray):
        return f"{name}:{hashlib.sha256(source.tobytes()).hexdigest()[:16]}"
    try:
        if os.path.isdir(source):
            with os.scandir(source) as entries:
                sizes = [entry.stat().st_size for entry in entries]
            return f"{name}:{len(sizes)}x{sum(sizes)}"
        return f"{name}:{os.stat(source).st_size}"
    except OSError:
        return f"{name}:absent"


def list_items(collection: Collection, shard: Shard | None = None) -> list[Item]:
    """The `Item`s of a collection, or of one shard of it, in the collection's order.

    Only the files of the shard are looked at (one `stat` each).

    Args:
        collection: a `Collection`.
        shard: a `Shard`; `None`: all.
    """
    shard = shard or Shard()
    items = []
    for index, name in enumerate(collection.names):
        name = Path(name).as_posix()
        if shard_of(name, shard.count) != shard.number:
            continue
        source = collection.sources[index]
        source = source if isinstance(source, np.ndarray) else os.path.abspath(source)
        box = None if collection.boxes is None else tuple(collection.boxes[index].tolist())
        items.append(Item(item_key(name, source), name, source, box))
    return items
