"""The folder that `keras-fvvae encode` writes, read as vectors: a store of `.npy` files, and labels of its items."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.features.store import FeatureStore, store_folder
from keras_fvvae.utils.files import reason, write_atomically
from keras_fvvae.utils.text import TextError, csv_rows, from_bytes, parse_json, to_bytes

# What the vectors depend on, as JSON.
ENCODING = "encoding.json"
# Labels of items, where the data have any: CSV with the columns `file` and `label`.
LABELS = "labels.csv"
_HEADER = ["file", "label"]


def is_encoded_folder(path: str | os.PathLike) -> bool:
    """Whether a folder is the output of an encoding."""
    return Path(path, ENCODING).is_file()


def open_encoded_folder(path: Path) -> tuple[list[str], list[str], StoreRows]:
    """Ids, labels and rows of an encoding's output folder, sorted by id.

    Raises:
        DataError: if it is damaged, or nothing was stored yet.
    """
    try:
        settings = parse_json((path / ENCODING).read_bytes())
        folder = store_folder(path, settings, settings["dtype"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path / ENCODING} is damaged; encode again into another folder.") from error
    if not folder.is_dir() and any(path.glob("*/shard-*.json")):  # one altered number names another folder
        raise DataError(f"{path / ENCODING} was altered: no vectors there are of its settings; encode again elsewhere.")
    # Only what is there is opened: a store makes its folder, and who reads writes nothing.
    store = FeatureStore(path, settings, settings["dtype"]) if folder.is_dir() else None
    keys = {name_of(key): key for key in store or ()}  # of two sizes of a file the later one in order is taken
    if store is None or not keys:
        raise DataError(f"{path} holds no vectors yet; encode first.")
    labels = read_labels(path)
    names = list(keys)
    return names, [labels.get(name, "") for name in names], StoreRows(store, list(keys.values()))


def name_of(key: str) -> str:
    """The item's name in a key of the store.

    Example:
        >>> name_of("c:1/a.avi:1024")
        'c:1/a.avi'
    """
    return key.rpartition(":")[0]


def read_labels(path: Path) -> dict[str, str]:
    """By name the labels of the items of an output folder; empty where none were known.

    Raises:
        DataError: if their file is damaged.
    """
    if not (path / LABELS).is_file():
        return {}
    try:
        (_, header), *rows = csv_rows(from_bytes((path / LABELS).read_bytes()), strict=True)
        if header != _HEADER or any(len(fields) != len(_HEADER) for _, fields in rows):
            raise ValueError("its columns are others")
    except (OSError, TextError, ValueError) as error:
        raise DataError(f"{path / LABELS} is damaged ({reason(error)}); delete it and encode again.") from error
    return {name: label for _, (name, label) in rows}


def write_labels(path: Path, labels: dict[str, str]) -> None:
    """Adds labels by name to those of an output folder.

    Raises:
        OSError: if they cannot be written.
    """
    if not labels:
        return
    known = read_labels(path)
    if known == (merged := {**known, **labels}):
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows(merged.items())
    write_atomically(path / LABELS, to_bytes(text.getvalue()))


class StoreRows:
    """The vectors of a store, one an item, in the order of some keys; shards are mapped, not read into memory."""

    def __init__(self, store: FeatureStore, keys: list[str]) -> None:
        self._store, self._keys = store, keys
        self.shape, self.dtype = (len(keys), store[keys[0]].size), store.dtype

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop`."""
        found = np.empty((stop - start, self.shape[1]), self.dtype)
        for row, key in enumerate(self._keys[start:stop]):
            vector = self._store[key]
            if vector.size != self.shape[1]:
                raise DataError(f"{self._store.path} is damaged: vectors have different lengths; encode again.")
            found[row] = vector.ravel()
        return found
