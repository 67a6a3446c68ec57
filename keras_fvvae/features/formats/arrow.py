"""What Parquet and Lance share: vectors as batches of Apache Arrow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from keras_fvvae.errors import DataError
from keras_fvvae.features.writing import Part

# Key of the metadata that holds the facts about the vectors, as JSON.
ABOUT = "keras_fvvae"


def schema_of(width: int, dtype: np.dtype, about: str) -> pa.Schema:
    """The columns `id`, `label` and `vector`, a list of so many numbers."""
    vector = pa.list_(pa.from_numpy_dtype(dtype), width)
    fields = [("id", pa.string()), ("label", pa.string()), ("vector", vector)]
    return pa.schema(fields, metadata={ABOUT: about})


def batches_of(parts: Iterable[Part], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """A batch for each part; a label that is empty becomes null."""
    width = schema.field("vector").type.list_size
    for ids, labels, vectors in parts:
        numbers = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width)
        yield pa.record_batch(
            [pa.array(ids, pa.string()), pa.array([one or None for one in labels], pa.string()), numbers], schema=schema
        )


def require_columns(path: str | os.PathLike, schema: pa.Schema) -> tuple[int, np.dtype]:
    """Width and dtype of the vectors.

    Raises:
        DataError: if the columns are others than those of `schema_of`.
    """
    types = {field.name: field.type for field in schema}
    vector = types.get("vector")
    if (
        {types.get("id"), types.get("label")} != {pa.string()}
        or not pa.types.is_fixed_size_list(vector)
        or vector.value_type not in (pa.float32(), pa.float16())
    ):
        raise DataError(
            f"{path} holds no vectors of keras_fvvae: columns `id`, `label` (texts) and `vector` (a fixed number of "
            f"float32 or float16) are needed, and it has {', '.join(f'{n}: {t}' for n, t in types.items()) or 'none'}."
        )
    return vector.list_size, np.dtype("float32" if vector.value_type == pa.float32() else "float16")


def numbers_of(path: str | os.PathLike, column: Any) -> np.ndarray:
    """The array `(rows, width)` of a column `vector`.

    Raises:
        DataError: if a vector or a number is null.
    """
    lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = lists.flatten()
    if lists.null_count or flat.null_count:
        raise DataError(f"{path} is damaged: a vector is missing.")
    return flat.to_numpy(zero_copy_only=False).reshape(len(lists), lists.type.list_size)


def texts_of(column: Any) -> list[str]:
    """The texts of a column, "" for null."""
    return [one or "" for one in column.to_pylist()]
