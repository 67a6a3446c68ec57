"""Arrays on disk, keyed by item and by the settings that made them."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import time
import tokenize
import uuid
import warnings
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import reason, remove_leftovers, write_atomically, write_json, write_npy
from keras_fvvae.utils.memory import release_pages
from keras_fvvae.utils.text import parse_json

if TYPE_CHECKING:
    import tensorflow as tf

# A shard is written when it reaches this size or this age.
SHARD_BYTES = 64 * 2**20
SHARD_SECONDS = 60
# Shards that stay mapped when nobody uses their arrays. Each takes a file descriptor and up to its size of resident
# memory; mapping one anew takes a tenth of a millisecond.
MAPPED_SHARDS = 4
CHECK_BYTES = 2**20
# Of the errors of reading, those that mean that the shard is lost; others (too many open files) pass.
LOST = (errno.ENOENT, errno.EIO)
# What readers of JSON and of NumPy's files raise for files with changed bits.
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, EOFError, SyntaxError, tokenize.TokenError, RecursionError)
LISTED = {"keys", "rows", "notes", "crc32"}


def store_folder(directory: str | os.PathLike, settings: dict[str, Any], dtype: str | np.dtype) -> Path:
    """Where in `directory` a store of these settings and dtype lies, whether it is there or not."""
    return Path(directory) / hashlib.sha256(_canonical(settings, np.dtype(dtype)).encode()).hexdigest()[:16]


def _canonical(settings, dtype):
    return json.dumps({**settings, "dtype": dtype.name}, sort_keys=True)


class FeatureStore:
    """Arrays (activations, vectors) on disk, keyed by item: resumable, checked, read as memory maps or by tf.data.

    An item's array is `(n, ...)`: `n` may differ from item to item (views of a video), the rest is the same for all.

    A store lives in `directory/<digest of the settings>`, so that a changed setting never meets old arrays. It is a
    set of shards, each an `.npy` file and a `.json` file, its listing, that names its items, their rows, the array's
    CRC-32 and a SHA-256 of itself. Both are written beside and renamed, the `.json` last: a shard without it does not
    exist. Shards have random names, so several processes can write to one store; an item written twice is read from one
    of the two. A listing that is damaged counts as missing, with a warning. Version 0.1 wrote listings without SHA-256;
    they are read as they are.

    Args:
        directory: parent folder; created if missing.
        settings: JSON-serialisable dictionary of everything that the arrays depend on.
        dtype: of the stored arrays. float16 (default) halves the space; activations lose 3 decimal digits at worst.
        shard_bytes: a shard is written when it reaches this size. Default 64 MiB: few enough files for large sets.
        shard_seconds: or this age. Default 60: what a kill costs at most.

    Raises:
        DataError: if the folder cannot be written.

    Example:
        >>> import tempfile
        >>> store = FeatureStore(tempfile.mkdtemp(), {"backbone": "VGG19"})
        >>> store.add("one.avi", np.ones((25, 2, 2, 3)))
        >>> store.flush()
        >>> "one.avi" in store, store["one.avi"].shape
        (True, (25, 2, 2, 3))
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        settings: dict[str, Any],
        dtype: str | np.dtype = "float16",
        *,
        shard_bytes: int = SHARD_BYTES,
        shard_seconds: float = SHARD_SECONDS,
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.shard_bytes = shard_bytes
        self.shard_seconds = shard_seconds
        canonical = _canonical(settings, self.dtype)
        self.path = store_folder(directory, settings, self.dtype)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not (self.path / "settings.json").exists():
                write_atomically(self.path / "settings.json", canonical.encode())
        except OSError as error:
            raise DataError(f"The feature store {self.path} cannot be written: {reason(error)}.") from error
        self._pending: dict[str, np.ndarray] = {}
        self._pending_notes: dict[str, str] = {}
        self._pending_bytes = 0
        self._pending_since = 0.0
        # A shard is mapped once, as long as any array of it is in use.
        self._shards: WeakValueDictionary[str, np.ndarray] = WeakValueDictionary()
        self._recent: deque[np.ndarray] = deque(maxlen=MAPPED_SHARDS)
        self._intact: set[str] = set()
        self._damaged: set[str] = set()
        self._where: dict[str, tuple[str, int, int]] = {}
        self._notes: dict[str, str] = {}
        self._remove_leftovers()
        for listing in sorted(self.path.glob("shard-*.json")):
            self._register(listing)

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def __len__(self) -> int:
        return len(self._where)

    def __getitem__(self, key: str) -> np.ndarray:
        """The stored array, a read-only view of a memory map.

        Raises:
            KeyError: if it is not stored.
            DataError: if its shard is damaged.
        """
        name, start, stop = self._where[key]
        return self._shard(name)[start:stop]

    def __iter__(self) -> Iterator[str]:
        """Iterates over the keys of the stored items, sorted."""
        return iter(sorted(self._where))

    def note(self, key: str) -> str:
        """The note that was stored with an array, "" if none was."""
        return self._notes.get(key, "")

    def add(self, key: str, array: np.ndarray, note: str = "") -> None:
        """Keeps an array until its shard is full or old; `flush` writes what is left. A note is text that goes with it.

        Raises:
            ValueError: if its shape does not go with those before.
            DataError: if the disk does not take the shard.
        """
        value = np.asarray(array, self.dtype)
        first = next(iter(self._pending.values()), value)
        if value.ndim < 1 or value.shape[1:] != first.shape[1:]:
            raise ValueError(f"Arrays of one store differ in their first dimension only: {first.shape}, {value.shape}")
        if not self._pending:
            self._pending_since = time.monotonic()
        self._pending[key] = value
        self._pending_notes.update({key: note} if note else {})
        self._pending_bytes += value.nbytes
        if self._pending_bytes >= self.shard_bytes or time.monotonic() - self._pending_since >= self.shard_seconds:
            self.flush()

    def flush(self) -> None:
        """Writes pending arrays as one shard.

        Raises:
            DataError: if the disk does not take them; what was written before stays valid.
        """
        if not self._pending:
            return
        name = f"shard-{uuid.uuid4().hex}"
        array: Any = np.ascontiguousarray(np.concatenate(list(self._pending.values())))
        try:
            write_npy(self.path / f"{name}.npy", array)
            rows = [len(value) for value in self._pending.values()]
            listing: dict[str, Any] = {"keys": list(self._pending), "rows": rows, "notes": self._pending_notes}
            listing["crc32"] = zlib.crc32(array)
            listing["sha256"] = _listing_digest(listing)
            write_json(self.path / f"{name}.json", listing)
        except OSError as error:
            raise DataError(f"The feature store {self.path} cannot be written: {reason(error)}.") from error
        self._pending.clear()
        self._pending_notes = {}
        self._pending_bytes = 0
        self._register(self.path / f"{name}.json")

    def as_dataset(self, keys: Iterable[str] | None = None) -> tf.data.Dataset:
        """`tf.data.Dataset` of `(key, array)`, in the order of `keys` (default: all, sorted).

        Example:
            >>> import tempfile
            >>> store = FeatureStore(tempfile.mkdtemp(), {}, dtype="float32")
            >>> store.add("a", [[1.0, 2.0]])
            >>> store.flush()
            >>> [(key.decode(), array.tolist()) for key, array in store.as_dataset().as_numpy_iterator()]
            [('a', [[1.0, 2.0]])]
        """
        import tensorflow as tf

        keys = list(self) if keys is None else list(keys)
        shape = self[keys[0]].shape[1:] if keys else ()
        signature = (tf.TensorSpec((), tf.string), tf.TensorSpec((None, *shape), self.dtype))
        return tf.data.Dataset.from_generator(lambda: ((key, self[key]) for key in keys), output_signature=signature)

    def _register(self, listing):
        try:
            content = _read_listing(listing)
        except OSError:
            return  # another process removed it
        except DAMAGE:
            warnings.warn(f"The listing {listing} is damaged; its arrays count as missing.", stacklevel=3)
            self._damaged.add(listing.stem)
            return
        self._notes.update(content["notes"])
        ends = list(itertools.accumulate(content["rows"]))
        for key, start, stop in zip(content["keys"], [0, *ends], ends, strict=False):
            self._where[key] = (listing.stem, start, stop)

    def _remove_leftovers(self):
        """Removes what a killed process left: half-written files, and arrays that no listing names."""
        paths = [*self.path.glob(".*"), *self.path.glob("shard-*.npy")]
        remove_leftovers(path for path in paths if not path.with_suffix(".json").exists())

    def discard_damaged(self) -> int:
        """Checks every shard and removes damaged ones; returns how many arrays are missing for it.

        Raises:
            DataError: if a shard cannot be read for another reason than damage.
        """
        lost = set(self._damaged)
        for name in {name for name, *_ in self._where.values()}:
            try:
                self._open(name)
            except DataError as error:
                if isinstance(error.__cause__, OSError) and error.__cause__.errno not in LOST:
                    raise
                lost.add(name)
        for name in lost:
            for suffix in (".json", ".npy"):
                (self.path / f"{name}{suffix}").unlink(missing_ok=True)
        self._damaged.clear()
        before = len(self._where)
        self._where = {key: place for key, place in self._where.items() if place[0] not in lost}
        return before - len(self._where)

    def release(self) -> None:
        """Gives the pages of the mapped shards back to the system, which keeps them while there is room."""
        for array in list(self._shards.values()):
            release_pages(array)

    def _shard(self, name):
        array = self._shards.get(name)
        if array is None:
            array = self._shards[name] = self._open(name)
            self._recent.append(array)
        return array

    def _open(self, name):
        """Maps a shard, which is checked the first time."""
        path = self.path / f"{name}.npy"
        try:
            array = np.load(path, mmap_mode="r")
            if name not in self._intact:
                listing = _read_listing(path.with_suffix(".json"))
                # The checksum is of the numbers alone: a changed header would give them another meaning.
                as_listed = array.dtype == self.dtype and array.ndim and len(array) == sum(listing["rows"])
                if not as_listed or _crc32(path, array.offset, array.nbytes) != listing["crc32"]:
                    raise DataError(f"The shard {path} is damaged; delete it and its .json, and run again.")
                self._intact.add(name)
        except (OSError, *DAMAGE) as error:
            text = " ".join(str(error).split())
            raise DataError(f"The shard {path} cannot be read: {text}") from error
        return array


def _read_listing(path):
    """The listing of a shard, checked.

    Raises:
        OSError: if it cannot be read.
        ValueError and others of `DAMAGE`: if it is not what was written.
    """
    content = parse_json(path.read_bytes(), finite=False, unicode=False)
    digest = content.pop("sha256", None)  # None: written by version 0.1
    rows = content["rows"]
    if (
        content.keys() != LISTED
        or len(content["keys"]) != len(rows)
        or not all(type(n) is int and n >= 0 for n in rows)
    ):
        raise ValueError(f"{path} is damaged: its entries do not go together.")
    if digest is not None and digest != _listing_digest(content):
        raise ValueError(f"{path} is damaged: its SHA-256 has changed.")
    return content


def _listing_digest(listing):
    return hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()


def _crc32(path, offset, size):
    """CRC-32 of a part of a file; not through a memory map, whose pages would stay in memory."""
    crc = 0
    with open(path, "rb") as file:
        file.seek(offset)
        for start in range(0, size, CHECK_BYTES):
            crc = zlib.crc32(file.read(min(CHECK_BYTES, size - start)), crc)
    return crc
