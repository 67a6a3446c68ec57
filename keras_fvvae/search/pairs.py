"""Pairs of items that are nearly the same: copies, other resolutions, frames of one scene."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.search.index import Index
from keras_fvvae.search.nearest import BLOCK_NUMBERS, row_blocks

# Beyond this many pairs the threshold says little, and their list would fill the memory.
MOST_PAIRS = 1_000_000
# Rows of a block: its products with another are 2 million numbers.
ROWS = 1448


class Pair(NamedTuple):
    """Two items of an index.

    Attributes:
        first, second: their positions, the smaller first.
        similarity: the cosine of their vectors.
        same_file: whether the bytes of their files are the same.
    """

    first: int
    second: int
    similarity: float
    same_file: bool


def duplicates(index: Index, threshold: float = 0.95, most: int = MOST_PAIRS) -> list[Pair]:
    """All pairs of items with a cosine of at least a threshold, by falling cosine.

    Every item is compared with every other: time grows with the square of their number (a million of 512 numbers take
    some 5e14 operations), memory with the pairs that are found.

    Args:
        index: an `Index`.
        threshold: cosine, above -1 and at most 1. Default 0.95; what separates depends on the model: look at some.
        most: largest number of pairs.

    Raises:
        DataError: for more pairs than `most`.
        ValueError: for a threshold that cannot be.

    Example:
        >>> import tempfile
        >>> vectors = np.array([[1, 0], [0, 1], [1, 0.1]], "float32")
        >>> index = Index.build(tempfile.mkdtemp(), vectors, ["a", "b", "c"])
        >>> [(index.items.names[pair.first], index.items.names[pair.second]) for pair in duplicates(index, 0.9)]
        [('a', 'c')]
    """
    if not -1 < threshold <= 1:
        raise ValueError(f"`threshold` must lie above -1 and at most at 1. Received: threshold={threshold}")
    digests = index.items.digests
    pairs: list[Pair] = []
    # A product of unit vectors can miss 1 by rounding: of float32 by some 1e-6, of float16 by 1e-3.
    slack = 1e-6 if index.vectors.dtype == np.float32 else 1e-3
    rows = max(1, min(ROWS, BLOCK_NUMBERS // index.vectors.shape[1]))
    for start, block in row_blocks(index.vectors, rows):
        for other_start, other in row_blocks(index.vectors[start:], rows):
            products = block @ other.T
            if other_start == 0:
                products = np.triu(products, k=1) + np.tril(np.full(products.shape, -2, "float32"))
            hits = products >= threshold - slack
            if len(pairs) + np.count_nonzero(hits) > most:
                raise DataError(
                    f"{index.path} has more than {most:,} pairs above its threshold of {threshold}: raise it."
                )
            for i, j in np.argwhere(hits).tolist():
                first, second = start + i, start + other_start + j
                same = digests[first] is not None and digests[first] == digests[second]
                pairs.append(Pair(first, second, float(products[i, j]), same))
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.first, pair.second))
