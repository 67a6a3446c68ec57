"""Approximate search by a graph of neighbours (HNSW), through usearch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.search.nearest import Neighbours, nearest, row_blocks
from keras_fvvae.utils.cores import usable_cores

GRAPH = "graph.usearch"
# So many times the neighbours asked for are taken from the graph, which holds half-precision vectors, and compared
# exactly with the vectors of the index.
CANDIDATES = 4
# Nodes that are looked at in a search: usearch's default of 64 finds fewer of the true neighbours of long vectors.
EXPANSION_SEARCH = 256
INSTALL = "pip install 'keras-fvvae[search]'"


def require_usearch() -> None:
    """Raises `DataError` where usearch is not installed."""
    if importlib.util.find_spec("usearch") is None:
        raise DataError(f"Approximate search needs usearch: {INSTALL}; without it the search is exact.")


def write_graph(vectors: np.ndarray, path: Path) -> None:
    """Writes the graph of the vectors `(n, D)` of an index.

    Raises:
        DataError: where usearch is not installed.
    """
    require_usearch()
    from usearch.index import Index, MetricKind

    graph = Index(ndim=vectors.shape[1], metric=MetricKind.IP, dtype="f16")
    for start, block in row_blocks(vectors):
        graph.add(np.arange(start, start + len(block), dtype="uint64"), block, threads=usable_cores())
    graph.save(str(path))


def open_graph(path: Path, shape: tuple[int, int]) -> Any:
    """The graph of an index of this shape as a memory map.

    Raises:
        DataError: where usearch is not installed, and for a file that is no graph of such vectors.
    """
    require_usearch()
    from usearch.index import Index

    try:
        graph = Index.restore(str(path), view=True, expansion_search=EXPANSION_SEARCH)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. Build the index again.") from error
    if graph is None or (len(graph), graph.ndim) != shape:
        raise DataError(f"{path} is not the graph of this index's vectors. Build the index again.")
    return graph


def nearest_by_graph(graph: Any, vectors: np.ndarray, queries: np.ndarray, k: int) -> Neighbours:
    """As `nearest`, by a graph from `open_graph`: most of the nearest, and their exact products.

    Args:
        graph: of the vectors.
        vectors, queries, k: as of `nearest`.
    """
    if k < 1:
        raise ValueError(f"`k` must be positive. Received: k={k}")
    k = min(k, len(vectors))
    positions = np.zeros((len(queries), k), "int64")
    similarities = np.zeros((len(queries), k), "float32")
    for row, query in enumerate(np.asarray(queries, "float32")):
        candidates = np.sort(graph.search(query, min(CANDIDATES * k, len(vectors))).keys.astype("int64"))
        if len(candidates) < k:  # parts of a graph of repeated vectors can be out of reach
            (positions[row],), (similarities[row],) = nearest(vectors, query[np.newaxis], k)
            continue
        products = np.asarray(vectors[candidates], "float32") @ query
        order = np.argsort(-products, kind="stable")[:k]
        positions[row], similarities[row] = candidates[order], products[order]
    return Neighbours(positions, similarities)
