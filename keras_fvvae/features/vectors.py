"""Vectors with ids and labels, in whatever format they lie on disk, read a block at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.features.encoded_folder import is_encoded_folder, open_encoded_folder
from keras_fvvae.features.formats import FORMATS, require

# Rows that are read at a time where many are asked for: 128 MB of 131,072 float32 numbers.
BLOCK_ROWS = 256


class Rows(Protocol):
    """The numbers of vectors on disk.

    Attributes:
        shape: `(items, dimensions)`.
        dtype: float32 or float16.
    """

    shape: tuple[int, int]
    dtype: np.dtype

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop` as an array `(stop - start, dimensions)`."""


class Vectors:
    """What `keras-fvvae encode` wrote, as one object for all formats; from `keras_fvvae.features.open`.

    Ids and labels are in memory (some 200 bytes an item), vectors stay on disk: indexing reads what is asked for, so
    that memory does not grow with the data. What is read is checked to be finite.

    Args:
        path: where it lies.
        ids: names of the items, as the data folder or list has them; one a row, each once.
        labels: labels, "" where an item has none.
        rows: the numbers.

    Attributes:
        path, ids, labels: as above.
        shape: `(items, dimensions)`.
        dtype: of the numbers.

    Raises:
        DataError: where ids, labels and rows do not go together.
    """

    def __init__(self, path: str | os.PathLike, ids: Sequence[str], labels: Sequence[str], rows: Rows) -> None:
        self.path = Path(path)
        self.ids = list(ids)
        self.labels = list(labels)
        self.shape = tuple(rows.shape)
        self.dtype = np.dtype(rows.dtype)
        self._rows = rows
        if not len(self.ids) == len(self.labels) == self.shape[0]:
            raise DataError(
                f"{path} is damaged: it has {len(self.ids)} ids, {len(self.labels)} labels and {self.shape[0]} vectors."
            )
        if len(set(self.ids)) < len(self.ids):
            raise DataError(f"{path} cannot be used: an id is there more than once.")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """A vector `(dimensions,)` by its position, or vectors `(n, dimensions)` by a slice, positions or a mask.

        Raises:
            IndexError: for positions that there are not.
            DataError: if the file is damaged, or a number is NaN or infinite.
        """
        if isinstance(rows, slice) and rows.step in (None, 1):
            start, stop, _ = rows.indices(len(self))
            return self._read(start, max(start, stop))
        positions = np.arange(len(self))[rows]
        if positions.ndim == 0:
            return self._read(int(positions), int(positions) + 1)[0]
        found = np.empty((len(positions), self.shape[1]), self.dtype)
        order = np.argsort(positions, kind="stable")
        wanted = positions[order]
        begin = 0
        while begin < len(wanted):  # what lies close together on disk is read at once
            end = int(np.searchsorted(wanted, wanted[begin] + BLOCK_ROWS))
            block = self._read(int(wanted[begin]), int(wanted[end - 1]) + 1)
            found[order[begin:end]] = block[wanted[begin:end] - wanted[begin]]
            begin = end
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All vectors in memory, for `np.asarray` and scikit-learn."""
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def blocks(self, rows: int = BLOCK_ROWS) -> Iterator[tuple[int, np.ndarray]]:
        """Yields all vectors as pairs of the first one's position and an array of at most so many rows."""
        for start in range(0, len(self), rows):
            yield start, self[start : start + rows]

    def _read(self, start: int, stop: int) -> np.ndarray:
        block = self._rows.read(start, stop)
        if block.shape != (stop - start, self.shape[1]):
            raise DataError(f"{self.path} is damaged: rows {start} to {stop} are not there; encode again.")
        if not np.isfinite(block).all():
            raise DataError(f"{self.path} cannot be used: a vector of rows {start} to {stop} is NaN or infinite.")
        return block


def open(path: str | os.PathLike) -> Vectors:
    """Opens vectors that `keras-fvvae encode` wrote, whatever `--format` it had.

    Args:
        path: the folder `--out` (its store of `.npy` files), or a file in it: `vectors.parquet`, `vectors.h5`, or the
            folder `vectors.lance`.

    Returns:
        `Vectors`: `len`, `ids`, `labels`, `shape`; rows by position, slice or mask.

    Raises:
        DataError: if it is none of these or damaged, or the package that reads the format is not installed.

    Example:
        >>> import tempfile
        >>> from keras_fvvae import features
        >>> path = Path(tempfile.mkdtemp(), "vectors.h5")
        >>> _ = features.write(path, [(["a.jpg", "b.jpg"], ["cat", ""], np.eye(2, 3, dtype="float32"))])
        >>> vectors = features.open(path)
        >>> vectors.ids, vectors.labels, vectors.shape, vectors[1].tolist()
        (['a.jpg', 'b.jpg'], ['cat', ''], (2, 3), [0.0, 1.0, 0.0])
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"There are no vectors at {path}.")
    if is_encoded_folder(path):
        return Vectors(path, *open_encoded_folder(path))
    for name, form in FORMATS.items():
        if path.suffix.lower() in form.suffixes:
            return Vectors(path, *require(name).open_rows(path))
    known = ", ".join(suffix for form in FORMATS.values() for suffix in form.suffixes)
    raise DataError(
        f"{path} holds no vectors that `keras-fvvae encode` wrote: pass its --out, or a file of it ({known})."
    )
