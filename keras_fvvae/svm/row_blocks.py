"""Vectors larger than the memory: rows in several arrays or memory maps, read in float64 by blocks of columns."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator

import numpy as np

from keras_fvvae.utils.memory import release_pages
from keras_fvvae.utils.products import column_blocks

# Columns in float64 at a time. Narrower blocks make the scattered reads of a memory map shorter (8 KB a row in
# float16), wider ones only need more memory (docs/benchmarks/svm.md).
BLOCK_COLUMNS = 4096
# Of many rows fewer columns, as many as make so many bytes, but no fewer than fill a page in float32.
BLOCK_BYTES = 2**26
LEAST_COLUMNS = 1024
# Rows converted and normalised at a time, so that temporaries stay in the processor's cache.
CHUNK_ROWS = 64
# A memory map's pages are given back after rows of so many bytes: the system maps whole rows of 1 MB around the columns
# asked for.
RELEASE_BYTES = 2**25
# Bytes of rows that go into the digest of the data at a time.
DIGEST_BYTES = 8 * 2**20


class RowBlocks:
    """Arrays or memory maps stacked by rows without a copy, such as the items of a `FeatureStore`.

    Args:
        blocks: arrays `(n_i, ...)` of floating point, all but the first dimension alike; they are flattened to
            `(n_i, n_features)`. Slices must be cheap views: NumPy arrays and memory maps.

    Attributes:
        shape: `(n_samples, n_features)`.
        dtype: the widest dtype of the blocks.

    Raises:
        ValueError: for no blocks, empty ones only, or blocks that do not fit together.
        TypeError: for blocks that are not floating point, or that could only be flattened by a copy.

    Example:
        >>> rows = RowBlocks([np.ones((2, 4, 3), "float16"), np.zeros((1, 4, 3), "float16")])
        >>> rows.shape, len(rows), rows.dtype.name
        ((3, 12), 3, 'float16')
    """

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        blocks = list(blocks)
        if not blocks:
            raise ValueError("`blocks` must hold at least one array. Received: none")
        for position, block in enumerate(blocks):
            if not isinstance(block, np.ndarray) or not np.issubdtype(block.dtype, np.floating):
                kind = getattr(block, "dtype", type(block).__name__)
                raise TypeError(f"`blocks` must be NumPy arrays of floating point. Received: {kind} at {position}")
            if block.ndim < 2 or block.shape[1:] != blocks[0].shape[1:]:
                raise ValueError(
                    "`blocks` must be arrays (n, ...) that differ in their first dimension only. Received: "
                    f"shape={block.shape} at {position}, {blocks[0].shape} at 0"
                )
        self.blocks: list[np.ndarray] = [flat_rows(block) for block in blocks]
        self.shape: tuple[int, int] = (sum(map(len, self.blocks)), self.blocks[0].shape[1])
        if 0 in self.shape:
            raise ValueError(f"`blocks` must hold at least one row and one column. Received: shape={self.shape}")
        self.dtype: np.dtype = np.result_type(*{block.dtype for block in self.blocks})

    def __len__(self) -> int:
        return self.shape[0]

    def digest(self) -> str:
        """SHA-256 of every value: whatever changes is noticed.

        It reads everything once, whole rows in their order: at the speed of the disk, or of SHA-256 (0.4 to 2 GB/s on
        one core), a small part of the Gram matrix's time.
        """
        digest = hashlib.sha256(repr((self.shape, self.dtype.name)).encode())
        for block in self.blocks:
            rows = max(1, DIGEST_BYTES // max(1, block[:1].nbytes))
            for first in range(0, len(block), rows):
                digest.update(np.ascontiguousarray(block[first : first + rows]).data)
                release_pages(block)
        return digest.hexdigest()


class ColumnReader:
    """Reads vectors in float64 by blocks of columns; columns are scaled and square-rooted on the way.

    Nothing is written back: `x -> ssr(scale * x)` with `ssr(v) = sign(v) sqrt(|v|)`, for one block at a time.

    Args:
        rows: a `RowBlocks`.
        column_scale: `(n_features,)`, or `None`.
        signed_sqrt: whether to take the signed square root.
        block_columns: columns in float64 at a time, at most.

    Attributes:
        shape: `(n_samples, n_features)`.

    Example:
        >>> reader = ColumnReader(RowBlocks([np.array([[4.0, -9.0]])]), signed_sqrt=True)
        >>> [block.tolist() for _, block in reader.blocks()]
        [[[2.0, -3.0]]]
    """

    def __init__(
        self,
        rows: RowBlocks,
        column_scale: np.ndarray | None = None,
        signed_sqrt: bool = False,
        block_columns: int = BLOCK_COLUMNS,
    ) -> None:
        self.rows = rows
        self.column_scale = column_scale
        self.signed_sqrt = signed_sqrt
        # Powers of two: blocks begin where pages do.
        fitting = 2 ** int(math.log2(max(1, BLOCK_BYTES // (8 * len(rows)))))
        self.block_columns = min(block_columns, max(LEAST_COLUMNS, fitting))
        self.shape: tuple[int, int] = rows.shape

    def digest(self) -> str:
        """SHA-256 of what the values depend on: all of the rows, the scale, the square root."""
        scale = b"" if self.column_scale is None else self.column_scale.tobytes()
        content = (self.rows.digest(), self.signed_sqrt, hashlib.sha256(scale).hexdigest())
        return hashlib.sha256(repr(content).encode()).hexdigest()

    def block_count(self, columns: int | None = None) -> int:
        """Number of blocks of the first `columns` columns. Default: of all."""
        return math.ceil((self.shape[1] if columns is None else columns) / self.block_columns)

    def blocks(self, start: int = 0) -> Iterator[tuple[slice, np.ndarray]]:
        """Iterates over pairs of a slice of columns and their values `(n_samples, width)`.

        The array is overwritten by the next one: it is always the same memory.

        Args:
            start: column to start at.

        Raises:
            ValueError: for NaN or infinite values, also where only the scaling made them so.
        """
        count, length = self.shape
        memory = np.empty(count * min(self.block_columns, length))
        for columns in column_blocks(length, self.block_columns, start):
            width = columns.stop - columns.start
            values = memory[: count * width].reshape(count, width)
            self._read(columns, values)
            yield columns, values

    def _read(self, columns, values):
        position = 0
        # In chunks, so that it is looked at between two of them.
        release = CHUNK_ROWS * max(1, RELEASE_BYTES // (CHUNK_ROWS * self.shape[1] * self.rows.dtype.itemsize))
        for block in self.rows.blocks:
            for first in range(0, len(block), CHUNK_ROWS):
                part = block[first : first + CHUNK_ROWS, columns]
                target = values[position : position + len(part)]
                target[...] = part
                self._normalize(columns, target)
                finite = np.isfinite(target).all(axis=1)
                if not finite.all():
                    row = position + int(np.argmin(finite))
                    raise ValueError(
                        f"`X` holds NaN or infinity: row {row} is the first that does among columns {columns.start} to "
                        f"{columns.stop - 1}; repair or remove it."
                    )
                position += len(part)
                if (first + CHUNK_ROWS) % release == 0:
                    release_pages(block)
            release_pages(block)

    def _normalize(self, columns, values):
        if self.column_scale is not None:
            values *= self.column_scale[columns]
        if self.signed_sqrt:
            magnitudes = np.abs(values)
            np.sqrt(magnitudes, out=magnitudes)
            np.copysign(magnitudes, values, out=values)


def flat_rows(array: np.ndarray) -> np.ndarray:
    """An array `(n, ...)` as `(n, n_features)`, without a copy.

    Raises:
        TypeError: if only a copy would do.
    """
    if array.ndim == 2:
        return array
    flat = array.reshape(len(array), -1) if len(array) else array.reshape(0, int(np.prod(array.shape[1:])))
    if not np.may_share_memory(flat, array) and array.size:
        raise TypeError(
            f"An array (n, ...) must be contiguous beyond its first dimension. Received: shape={array.shape}, "
            f"strides={array.strides}; flatten it before."
        )
    return flat
