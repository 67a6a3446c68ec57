"""Arrays on disk, keyed by item and by the settings that made them."""

import hashlib
import json
import os
import uuid
import zlib
from pathlib import Path

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.files import reason, write_atomically

# A shard is written when it reaches this size: few enough files for large sets, little lost when killed.
SHARD_BYTES = 64 * 2**20


class FeatureStore:
    """Equally shaped arrays (activations, descriptors) on disk: resumable, checked, read as memory maps.

    A store lives in `directory/<digest of the settings>`, so that a changed setting never meets old arrays. It is a
    set of shards, each an `.npy` file and a `.json` file that names its items and its CRC-32. Both are written beside
    and renamed, the `.json` last: a shard without it does not exist. Shards have random names, so several processes can
    write to one store; an item written twice is read from one of the two.

    Args:
        directory: parent folder; created if missing.
        settings: JSON-serialisable dictionary of everything that the arrays depend on.
        dtype: of the stored arrays. float16 (default) halves the space; activations lose 3 decimal digits at worst.

    Example:
        >>> import tempfile
        >>> store = FeatureStore(tempfile.mkdtemp(), {"backbone": "VGG19"})
        >>> store.add("one.jpg", np.ones((2, 2, 3)))
        >>> store.flush()
        >>> "one.jpg" in store, store["one.jpg"].shape
        (True, (2, 2, 3))
    """

    def __init__(self, directory, settings, dtype="float16"):
        self.dtype = np.dtype(dtype)
        canonical = json.dumps({**settings, "dtype": self.dtype.name}, sort_keys=True)
        self.path = Path(directory) / hashlib.sha256(canonical.encode()).hexdigest()[:16]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not (self.path / "settings.json").exists():
                write_atomically(self.path / "settings.json", canonical.encode())
        except OSError as error:
            raise DataError(f"The feature store {self.path} cannot be written: {reason(error)}.") from error
        self._pending = {}
        self._shards = {}
        self._where = {}
        for listing in sorted(self.path.glob("shard-*.json")):
            self._register(listing)

    def __contains__(self, key):
        return key in self._where

    def __len__(self):
        return len(self._where)

    def __getitem__(self, key):
        """The stored array, a read-only view of a memory map.

        Raises:
            KeyError: if it is not stored.
            DataError: if its shard is damaged.
        """
        name, row = self._where[key]
        return self._shard(name)[row]

    def add(self, key, array):
        """Keeps an array until its shard is full; `flush` writes what is left."""
        value = self._pending[key] = np.asarray(array, self.dtype)
        if len(self._pending) * value.nbytes >= SHARD_BYTES:
            self.flush()

    def flush(self):
        """Writes pending arrays as one shard.

        Raises:
            DataError: if the disk does not take them; what was written before stays valid.
        """
        if not self._pending:
            return
        name = f"shard-{uuid.uuid4().hex}"
        array = np.stack(list(self._pending.values()))
        partial = self.path / f".{name}.npy"
        try:
            with open(partial, "wb") as file:
                np.save(file, array)
            os.replace(partial, self.path / f"{name}.npy")
            listing = {"keys": list(self._pending), "crc32": zlib.crc32(array)}
            write_atomically(self.path / f"{name}.json", json.dumps(listing).encode())
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise DataError(f"The feature store {self.path} cannot be written: {reason(error)}.") from error
        self._pending.clear()
        self._register(self.path / f"{name}.json")

    def _register(self, listing):
        try:
            keys = list(json.loads(listing.read_text())["keys"])
        except (OSError, ValueError, KeyError, TypeError):
            return  # damaged: its arrays count as missing
        for row, key in enumerate(keys):
            self._where[key] = (listing.stem, row)

    def discard_damaged(self):
        """Checks every shard and removes damaged ones; returns how many arrays are missing for it."""
        lost = set()
        for name in {name for name, _ in self._where.values()}:
            try:
                self._shard(name)
            except DataError:
                lost.add(name)
                for suffix in (".json", ".npy"):
                    (self.path / f"{name}{suffix}").unlink(missing_ok=True)
        before = len(self._where)
        self._where = {key: place for key, place in self._where.items() if place[0] not in lost}
        return before - len(self._where)

    def _shard(self, name):
        if name not in self._shards:
            try:
                array = np.load(self.path / f"{name}.npy", mmap_mode="r")
                intact = zlib.crc32(array) == json.loads((self.path / f"{name}.json").read_text())["crc32"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise DataError(f"The shard {self.path / name}.npy cannot be read: {error}") from error
            if not intact:
                raise DataError(f"The shard {self.path / name}.npy is damaged; delete it and its .json, and run again.")
            self._shards[name] = array
        return self._shards[name]
