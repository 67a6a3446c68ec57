"""Vectors as a Lance data set, by pylance: a folder whose versions Lance itself writes whole or not at all."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa

from keras_fvvae.features.formats import reading
from keras_fvvae.features.formats.arrow import batches_of, numbers_of, require_columns, schema_of, texts_of
from keras_fvvae.features.writing import Part

# What its package raises for damaged files.
_DAMAGE = (OSError, ValueError, RuntimeError, pa.ArrowException)


def write(path: Path, parts: Iterable[Part], width: int, dtype: np.dtype, about: str) -> None:
    """Writes vectors as the only version of the data set; see `keras_fvvae.features.write`."""
    schema = schema_of(width, dtype, about)
    reader = pa.RecordBatchReader.from_batches(schema, batches_of(parts, schema))
    written = lance.write_dataset(reader, str(path), mode="overwrite" if path.exists() else "create")
    written.cleanup_old_versions(older_than=datetime.timedelta(0))


def open_rows(path: Path) -> tuple[list[str], list[str], LanceRows]:
    """Ids, labels and rows of a data set.

    Raises:
        DataError: if it is damaged or holds something else.
    """
    with reading(path, *_DAMAGE):
        found = lance.dataset(str(path))
        width, dtype = require_columns(path, found.schema)
        names = found.to_table(["id", "label"])
        ids, labels = texts_of(names["id"]), texts_of(names["label"])
    return ids, labels, LanceRows(path, found, width, dtype)


class LanceRows:
    """The numbers of a data set, read by offset."""

    def __init__(self, path: Path, found: lance.LanceDataset, width: int, dtype: np.dtype) -> None:
        self._path, self._found = path, found
        self.shape, self.dtype = (found.count_rows(), width), dtype

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop`."""
        if start == stop:
            return np.empty((0, self.shape[1]), self.dtype)
        with reading(self._path, *_DAMAGE):
            table = self._found.to_table(["vector"], offset=start, limit=stop - start)
            return numbers_of(self._path, table["vector"])
