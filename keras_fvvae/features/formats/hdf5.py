"""Vectors as an HDF5 file, by h5py: data sets `ids`, `labels` and `vectors`, chunks with checksums.

Texts lie outside of their chunks, so that their SHA-256 is an attribute of the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.features.formats import DTYPES, reading
from keras_fvvae.features.writing import Part
from keras_fvvae.utils.files import replacing
from keras_fvvae.utils.hdf5 import writing

# Of a chunk, which is read whole: few enough for single rows, enough for passes over all.
CHUNK_BYTES = 2**20
CHUNK_TEXTS = 1024
# Attribute that holds the SHA-256 of ids and labels.
DIGEST = "sha256"
# What its package raises for damaged files.
_DAMAGE = (OSError, KeyError, ValueError, RuntimeError)


def write(path: Path, parts: Iterable[Part], width: int, dtype: np.dtype, about: str) -> None:
    """Writes vectors; see `keras_fvvae.features.write`."""
    rows = max(1, CHUNK_BYTES // (width * dtype.itemsize))
    with replacing(path) as partial, writing(partial) as file:
        file.attrs["keras_fvvae"] = about
        texts = {"dtype": h5py.string_dtype(), "maxshape": (None,), "chunks": (CHUNK_TEXTS,)}
        ids, labels = (file.create_dataset(name, (0,), **texts) for name in ("ids", "labels"))
        vectors = file.create_dataset(
            "vectors", (0, width), dtype, maxshape=(None, width), chunks=(rows, width), fletcher32=True
        )
        count, digests = 0, _Digests()
        for part in parts:
            end = count + len(part.ids)
            for data, values in ((ids, part.ids), (labels, part.labels), (vectors, part.vectors)):
                data.resize(end, axis=0)
                data[count:end] = values
            count = end
            digests.add(part.ids, part.labels)
        file.attrs[DIGEST] = digests.total()


def open_rows(path: Path) -> tuple[list[str], list[str], Hdf5Rows]:
    """Ids, labels and rows of a file.

    Raises:
        DataError: if it is damaged or holds something else.
    """
    with reading(path, *_DAMAGE):
        file = h5py.File(path, "r")
        ids, labels, vectors = (_own(path, file, name) for name in ("ids", "labels", "vectors"))
        of_texts = all(h5py.check_string_dtype(data.dtype) and data.ndim == 1 for data in (ids, labels))
        if not of_texts or vectors.ndim != 2 or vectors.dtype not in DTYPES:
            raise DataError(
                f"{path} holds no vectors of keras_fvvae: `ids`, `labels` and `vectors` are of other kinds."
            )
        digests, texts = _Digests(), (ids.asstr()[:].tolist(), labels.asstr()[:].tolist())
        digests.add(*texts)
        if file.attrs.get(DIGEST, digests.total()) != digests.total():
            raise ValueError("their ids or labels were altered")
        return *texts, Hdf5Rows(path, vectors)


class _Digests:
    """Of ids and of labels, whatever the parts that they come in."""

    def __init__(self) -> None:
        self._digests = (hashlib.sha256(), hashlib.sha256())

    def add(self, ids: Iterable[str], labels: Iterable[str]) -> None:
        """Takes the texts of a part."""
        for digest, texts in zip(self._digests, (ids, labels), strict=True):
            digest.update("".join(json.dumps(text) for text in texts).encode())

    def total(self) -> str:
        """Hexadecimal, of both."""
        return hashlib.sha256("".join(digest.hexdigest() for digest in self._digests).encode()).hexdigest()


class Hdf5Rows:
    """The numbers of a data set."""

    def __init__(self, path: Path, data: h5py.Dataset) -> None:
        self._path, self._data = path, data
        self.shape, self.dtype = data.shape, data.dtype

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop`."""
        with reading(self._path, *_DAMAGE):
            return self._data[start:stop]


def _own(path: Path, file: h5py.File, name: str) -> Any:
    """A data set that lies in the file itself: a link could name any other file of the machine."""
    link = file.get(name, getlink=True)
    data = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
        raise DataError(f"{path} holds no vectors of keras_fvvae: it has no data set `{name}` of its own.")
    return data
