"""Vectors written as Parquet, Lance or HDF5, a part at a time."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.features.formats import DTYPES, FORMATS, require
from keras_fvvae.utils.files import reason
from keras_fvvae.utils.text import to_bytes

# Bytes of vectors that are held while they are written, about; a row group of Parquet, which its readers hold.
PART_BYTES = 16 * 2**20


class Part(NamedTuple):
    """Some items that are written together.

    Attributes:
        ids: their names.
        labels: their labels, "" where there is none.
        vectors: `(items, dimensions)`.
    """

    ids: Sequence[str]
    labels: Sequence[str]
    vectors: np.ndarray


def write(
    path: str | os.PathLike,
    parts: Iterable[tuple[Sequence[str], Sequence[str], np.ndarray]],
    about: dict[str, Any] | None = None,
) -> Path:
    """Writes vectors as Parquet, Lance or HDF5, a part at a time: memory does not grow with their number.

    The file is whole or not there; one that is there is replaced. Columns (data sets of HDF5) are `id`, `label`
    (empty where there is none) and `vector` (`ids`, `labels`, `vectors`). An id that is no Unicode, as names of files
    can be, is written with backslashes.

    Args:
        path: of the file; its suffix says the format: `.parquet`, `.lance` (a folder), `.h5` or `.hdf5`.
        parts: iterable of `Part`s, or tuples: ids, labels, float32 or float16 array `(items, dimensions)`; all of one
            width and dtype.
        about: JSON-serialisable facts about the vectors, kept in the file.

    Returns:
        The path.

    Raises:
        DataError: if there are no vectors, it cannot be written, or a package is not installed.
        ValueError: for another suffix, or parts that do not go together.
    """
    path = Path(path)
    names = [name for name, form in FORMATS.items() if path.suffix.lower() in form.suffixes]
    if not names:
        known = ", ".join(suffix for form in FORMATS.values() for suffix in form.suffixes)
        raise ValueError(f"The suffix of {path} must be one of {known}.")
    module = require(names[0])
    parts = iter(parts)
    first = next(parts, None)
    if first is None:
        raise DataError(f"There are no vectors to be written to {path}.")
    width, dtype = np.shape(first[2])[1], np.asarray(first[2]).dtype
    if dtype not in DTYPES:
        raise ValueError(f"Vectors must be one of {DTYPES}. Received: {dtype}")
    checked = (_checked(part, width, dtype) for part in itertools.chain([first], parts))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        module.write(path, checked, width, dtype, json.dumps(about or {}))
    except OSError as error:
        raise DataError(f"The vectors {path} cannot be written: {reason(error)}.") from error
    return path


def _checked(part, width, dtype):
    ids, labels, vectors = part
    vectors = np.ascontiguousarray(vectors)
    if vectors.shape != (len(ids), width) or len(labels) != len(ids) or vectors.dtype != dtype:
        raise ValueError(
            f"A part must have as many ids, labels and rows, all of {width} numbers of {dtype}. Received: {len(ids)} "
            f"ids, {len(labels)} labels, shape={vectors.shape}, {vectors.dtype}"
        )
    return Part([_unicode(one) for one in ids], [_unicode(one) for one in labels], vectors)


def _unicode(text: str) -> str:
    return to_bytes(text).decode("utf-8", "backslashreplace")
