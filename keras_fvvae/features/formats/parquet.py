"""Vectors as a Parquet file, by pyarrow: a row group a part, pages with checksums."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from keras_fvvae.features.formats import reading
from keras_fvvae.features.formats.arrow import batches_of, numbers_of, require_columns, schema_of, texts_of
from keras_fvvae.features.writing import Part
from keras_fvvae.utils.files import replacing

# Numbers of vectors are not compressed: floats hardly become smaller, and reading them takes longer.
_COMPRESSION = {"id": "zstd", "label": "zstd", "vector.list.element": "none"}
# What its package raises for damaged files.
_DAMAGE = (OSError, pa.ArrowException)


def write(path: Path, parts: Iterable[Part], width: int, dtype: np.dtype, about: str) -> None:
    """Writes vectors; see `keras_fvvae.features.write`."""
    schema = schema_of(width, dtype, about)
    with (
        replacing(path) as partial,
        pq.ParquetWriter(
            partial,
            schema,
            compression=_COMPRESSION,
            use_dictionary=["label"],
            write_statistics=["id", "label"],
            write_page_checksum=True,
        ) as writer,
    ):
        for batch in batches_of(parts, schema):
            writer.write_batch(batch, row_group_size=batch.num_rows)


def open_rows(path: Path) -> tuple[list[str], list[str], ParquetRows]:
    """Ids, labels and rows of a file.

    Raises:
        DataError: if it is damaged or holds something else.
    """
    with reading(path, *_DAMAGE):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        width, dtype = require_columns(path, file.schema_arrow)
        names = file.read(["id", "label"])
        ids, labels = texts_of(names["id"]), texts_of(names["label"])
    return ids, labels, ParquetRows(path, file, width, dtype)


class ParquetRows:
    """The numbers of a file, a row group at a time; the group used last is kept."""

    def __init__(self, path: Path, file: pq.ParquetFile, width: int, dtype: np.dtype) -> None:
        self._path, self._file = path, file
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        self._ends = np.cumsum([0, *sizes])
        self.shape, self.dtype = (int(self._ends[-1]), width), dtype
        self._kept: tuple[int, np.ndarray] | None = None

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop`."""
        found = [np.empty((0, self.shape[1]), self.dtype)]
        for group in range(len(self._ends) - 1):
            first, end = self._ends[group], self._ends[group + 1]
            if first < stop and start < end:
                found.append(self._group(group)[max(start - first, 0) : stop - first])
        return found[1] if len(found) == 2 else np.concatenate(found)

    def _group(self, group: int) -> np.ndarray:
        if self._kept is None or self._kept[0] != group:
            with reading(self._path, *_DAMAGE):
                numbers = numbers_of(self._path, self._file.read_row_group(group, ["vector"])["vector"])
            self._kept = group, numbers
        return self._kept[1]
