"""Writing an index: vectors of any number, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.search.approximate import GRAPH, require_usearch, write_graph
from keras_fvvae.search.folder import DTYPES, ITEMS, SETTINGS, VECTORS, Items, write_manifest
from keras_fvvae.search.nearest import row_blocks
from keras_fvvae.search.whitening import Whitening, unit
from keras_fvvae.utils.batches import require_finite
from keras_fvvae.utils.files import reason, replacing, write_json


def write_index(
    path: Path,
    vectors: np.ndarray | Iterable[np.ndarray],
    items: Items,
    settings: dict[str, Any],
    dtype: str,
    whiten: bool,
    dimension: int | None,
    approximate: bool,
    seed: int,
) -> None:
    """Writes the folder of an index; arguments and errors are those of `Index.build`."""
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be one of {DTYPES}. Received: dtype={dtype!r}")
    if dimension is not None and not whiten:
        raise ValueError("`dimension` is that of whitened vectors: it needs `whiten=True`.")
    if len(set(items.names)) != len(items):
        raise ValueError("`names` must be distinct: neighbours are told by them.")
    if not len(items):
        raise ValueError("`names` is empty: there is nothing to search.")
    if approximate:
        require_usearch()
    require_free(path)
    if isinstance(vectors, np.ndarray):
        vectors = (block for _, block in row_blocks(_matrix(vectors)))
    try:
        with replacing(path, folder=True) as partial:
            written = _write_rows(partial / VECTORS, map(_checked, vectors), len(items), "float32" if whiten else dtype)
            if whiten:
                whitening = Whitening.fit(written, dimension, seed)
                whitening.save(partial)
                whitened = (whitening.apply(block) for _, block in row_blocks(written))
                with replacing(partial / VECTORS) as other:
                    _write_rows(other, whitened, len(items), dtype)
            if approximate:
                write_graph(np.load(partial / VECTORS, mmap_mode="r"), partial / GRAPH)
            write_json(partial / ITEMS, vars(items))
            write_json(partial / SETTINGS, settings, indent=2)
            write_manifest(partial)
    except OSError as error:
        raise DataError(f"The index {path} cannot be written: {reason(error)}.") from error


def require_free(path: Path) -> None:
    """Refuses a folder that holds something.

    Raises:
        DataError: saying so.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise DataError(f"{path} is there already: choose another --out, or remove it.")


def _checked(block):
    """A block of unit vectors; others may be of any length, and any numbers."""
    block = np.asarray(_matrix(block), "float32")
    require_finite(block, "vectors")
    return unit(block)


def _matrix(vectors):
    if np.ndim(vectors) != 2 or not np.shape(vectors)[1]:
        raise ValueError(f"`vectors` must be rows of numbers, (n, D). Received: shape={np.shape(vectors)}")
    return vectors


def _write_rows(path: Path, blocks: Iterator[np.ndarray], count: int, dtype: str) -> np.ndarray:
    """Writes so many rows, and opens them as a memory map.

    In order, not through a memory map: on a full disk that would be a bus error, not an exception.
    """
    found, length = 0, None
    with open(path, "wb") as file:
        for block in blocks:
            if length is None:
                length = block.shape[1]
                header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (count, length)}
                np.lib.format.write_array_header_1_0(file, header)
            if block.shape[1] != length:
                raise ValueError(f"`vectors` must be of one length. Received: {length} and {block.shape[1]} numbers")
            file.write(np.ascontiguousarray(block, dtype).data)
            found += len(block)
    if found != count:
        raise ValueError(f"There are {count} names and {found} vectors: give one vector a name.")
    return np.load(path, mmap_mode="r")
