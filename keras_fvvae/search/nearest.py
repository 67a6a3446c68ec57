"""The nearest of many vectors, exactly: products block by block, of which only the best are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from keras_fvvae.utils.memory import release_pages

# Float32 numbers of a block of vectors, 32 MB, and of its products with the queries: what a search holds at a time.
BLOCK_NUMBERS = 2**23
# Bytes of a memory map that may stay in the process's memory between searches: to map its pages again costs a seventh
# of a search.
KEPT_BYTES = 2**28
# Queries that are compared with a block at a time: beyond some hundred a product gets no faster.
MAX_QUERIES = 256


class Neighbours(NamedTuple):
    """The nearest items of each query, best first.

    Attributes:
        positions: int64 `(queries, k)`, of items in the index.
        similarities: float32 `(queries, k)`, cosines.
    """

    positions: np.ndarray
    similarities: np.ndarray


def nearest(vectors: np.ndarray, queries: np.ndarray, k: int) -> Neighbours:
    """The vectors of the largest products with each query; of equal products the first vectors.

    Memory does not grow with the number of vectors: that of a block, its products, and what is kept; pages of a memory
    map of more than `KEPT_BYTES` are given back as they are done with.

    Args:
        vectors: array or memory map `(n, D)`, float32 or float16 (then converted by blocks).
        queries: float32 `(queries, D)`.
        k: positive integer; of fewer vectors all are given.

    Raises:
        ValueError: for queries of another length, and if `k` is not positive.

    Example:
        >>> found = nearest(np.eye(3, dtype="float32"), np.array([[0.0, 2.0, 1.0]], "float32"), k=2)
        >>> found.positions.tolist(), found.similarities.tolist()
        ([[1, 2]], [[2.0, 1.0]])
    """
    if k < 1:
        raise ValueError(f"`k` must be positive. Received: k={k}")
    queries = np.asarray(queries, "float32")
    if queries.ndim != 2 or queries.shape[1] != vectors.shape[1]:
        raise ValueError(f"`queries` must have the shape (queries, {vectors.shape[1]}). Received: {queries.shape}")
    parts = [
        _nearest(vectors, queries[start : start + MAX_QUERIES], min(k, len(vectors)))
        for start in range(0, len(queries), MAX_QUERIES)
    ]
    if not parts:
        parts = [Neighbours(np.zeros((0, k), "int64"), np.zeros((0, k), "float32"))]
    return Neighbours(*map(np.concatenate, zip(*parts, strict=True)))


def row_blocks(vectors: np.ndarray, rows: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Iterates over pairs of a block's first row and its rows in float32.

    What was read of a memory map is given back afterwards, unless the whole is small.

    Args:
        vectors: array or memory map `(n, D)`.
        rows: of a block. Default: as many as make `BLOCK_NUMBERS` numbers.
    """
    rows = rows or max(1, BLOCK_NUMBERS // vectors.shape[1])
    for start in range(0, len(vectors), rows):
        yield start, np.asarray(vectors[start : start + rows], "float32")
        if vectors.nbytes > KEPT_BYTES:
            release_pages(vectors)


def _nearest(vectors, queries, k):
    best = np.full((len(queries), 0), 0, "float32")
    positions = np.zeros((len(queries), 0), "int64")
    # A block of products is no larger than a block of vectors.
    rows = max(1, BLOCK_NUMBERS // max(vectors.shape[1], len(queries)))
    for start, block in row_blocks(vectors, rows):
        products = queries @ block.T
        if best.shape[1] == k and (products.max(axis=1) <= best[:, -1]).all():
            continue  # nothing new; an equal one comes later
        own = np.broadcast_to(np.arange(start, start + len(block)), products.shape)
        best, positions = _largest(np.hstack([best, products]), np.hstack([positions, own]), k)
    return Neighbours(positions, best)


def _largest(products, positions, k):
    """The `k` largest of each row in falling order; of equal ones those in front, whose positions are smaller."""
    if products.shape[1] > k:
        smallest = -np.partition(-products, k - 1, axis=1)[:, k - 1 : k]
        # All above the k-th largest, and as many of those equal to it as there is room for, from the front.
        above, equal = products > smallest, products == smallest
        room = k - above.sum(axis=1, keepdims=True)
        kept = np.nonzero(above | (equal & (np.cumsum(equal, axis=1) <= room)))[1].reshape(len(products), k)
        products, positions = (np.take_along_axis(one, kept, axis=1) for one in (products, positions))
    order = np.argsort(-products, axis=1, kind="stable")
    return np.take_along_axis(products, order, axis=1), np.take_along_axis(positions, order, axis=1)
