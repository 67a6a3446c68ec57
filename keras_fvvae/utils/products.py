"""Sums of products over blocks of columns: what every Gram matrix of long vectors is made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.linalg.blas import dsyrk


def column_blocks(length: int, width: int, start: int = 0) -> Iterator[slice]:
    """Slices of at most `width` columns each, from column `start` to the last of `length`.

    Example:
        >>> list(column_blocks(5, 2, start=2))
        [slice(2, 4, None), slice(4, 5, None)]
    """
    for first in range(start, length, width):
        yield slice(first, min(first + width, length))


def add_products(gram: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Adds `block block'` to the lower triangle of a Gram matrix; half the products of a plain one, and no copy.

    Args:
        gram: `(n, n)`, float64 in Fortran order: BLAS adds to it in place.
        block: `(n, columns)`, float64 in C order.

    Returns:
        `gram`.

    Example:
        >>> add_products(np.zeros((2, 2), order="F"), np.array([[1.0, 2.0], [0.0, 3.0]])).tolist()
        [[5.0, 0.0], [6.0, 9.0]]
    """
    return dsyrk(1.0, block.T, beta=1.0, c=gram, trans=1, lower=1, overwrite_c=1)
