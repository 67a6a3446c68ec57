"""Principal components where vectors are longer than they are many, and streamed where they are not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg

from keras_fvvae.utils.batches import require_finite
from keras_fvvae.utils.products import add_products, column_blocks
from keras_fvvae.utils.progress import track

# Entries of X held in float64 at a time, 64 MB: columns are read in blocks of this size divided by the number of rows.
BLOCK_ENTRIES = 2**23
# A variance below this share of the largest is rounding noise of the float64 decomposition, not a direction.
NULL_VARIANCE = 1e-12


class PrincipalComponents(NamedTuple):
    """Orthonormal directions `(D, k)` in float32, the mean `(D,)`, and the variances along the directions `(k,)`."""

    directions: np.ndarray
    mean: np.ndarray
    variances: np.ndarray


def gram_components(vectors: np.ndarray, num_components: int, verbose: int = 0) -> PrincipalComponents:
    """Principal components of few, very long vectors, through their centered Gram matrix.

    With the centered vectors `Xc` `(N, D)`, the eigenvectors `U` and eigenvalues `l` of `Xc Xc'` `(N, N)` give the
    directions `Xc' U l^(-1/2)`, the same as those of the covariance `(D, D)`, which is never formed. Both passes read
    blocks of columns: beside the result, memory is that of the Gram matrix and of one block.

    Args:
        vectors: array or memory map `(N, D)`, floating point; never copied as a whole.
        num_components: k, at most `N - 1`.
        verbose: 1 for a progress bar.

    Returns:
        `PrincipalComponents`, by falling variance (over `N - 1`); of every direction the largest entry is positive.

    Raises:
        ValueError: for more components than the vectors have directions, and for NaN or infinite entries.

    Example:
        >>> import numpy as np
        >>> vectors = np.array([[2, 0, 0, 1, 7], [-2, 0, 0, 1, 7], [0, 1, 0, 1, 7], [0, -1, 0, 1, 7]], "float32")
        >>> np.abs(gram_components(vectors, 2).directions.T.round(3)).tolist()
        [[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]]
    """
    count, length = vectors.shape
    if num_components > count - 1:
        raise ValueError(
            f"{count} vectors have at most {count - 1} principal components, one less than vectors. "
            f"Received: num_components={num_components}; give more vectors or ask for fewer components."
        )
    mean = np.empty(length)
    # Only the lower triangle is filled, and read.
    gram = np.zeros((count, count), order="F")
    for columns in track(_blocks(count, length), "Gram matrix", enabled=bool(verbose)):
        block = _finite(vectors[:, columns])
        mean[columns] = block.mean(axis=0)
        block -= mean[columns]
        gram = add_products(gram, block)
    values, coordinates = _largest(gram, num_components, count - 1)
    coordinates /= np.sqrt(values)
    directions = np.empty((length, num_components), "float32")
    for columns in track(_blocks(count, length), "Principal components", enabled=bool(verbose)):
        block = np.asarray(vectors[:, columns], np.float64) - mean[columns]
        directions[columns] = block.T @ coordinates
    return PrincipalComponents(_with_fixed_signs(directions), mean, values / (count - 1))


class Covariance:
    """Mean and covariance of rows `(n, D)`, accumulated in float64 batch by batch: for D up to a few thousand.

    Memory does not depend on the number of rows.

    Example:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(50, 3)) * [1.0, 5.0, 2.0]
        >>> covariance = Covariance().update(rows[:20]).update(rows[20:])
        >>> np.abs(covariance.components(1).directions.T.round(1)).tolist(), covariance.count
        ([[0.0, 1.0, 0.0]], 50)
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: np.ndarray | None = None
        self.scatter: np.ndarray | None = None

    def update(self, rows: np.ndarray) -> Covariance:
        """Adds rows and returns `self`.

        Raises:
            ValueError: for NaN or infinite rows, or rows of another length; nothing is added then.
        """
        rows = _finite(rows)
        if self.mean is None:
            self.mean, self.scatter = np.zeros(rows.shape[1]), np.zeros((rows.shape[1],) * 2)
        if rows.shape[1:] != self.mean.shape:
            raise ValueError(f"Expected rows of length {len(self.mean)}. Received: shape={rows.shape}")
        if not len(rows):
            return self
        mean = rows.mean(axis=0)
        rows -= mean
        # The scatters about two means, about their common mean (Chan et al.): no difference of large numbers.
        shift = mean - self.mean
        total = self.count + len(rows)
        self.scatter += rows.T @ rows
        self.scatter += np.outer(shift, shift) * (self.count * len(rows) / total)
        self.mean += shift * (len(rows) / total)
        self.count = total
        return self

    def components(self, num_components: int) -> PrincipalComponents:
        """The first `num_components` `PrincipalComponents`.

        Raises:
            ValueError: for more components than the rows have directions.
        """
        if self.count == 0:
            raise ValueError("No rows were given: an empty data set has no principal components.")
        if num_components > min(self.count - 1, len(self.mean)):
            raise ValueError(
                f"{self.count} rows of length {len(self.mean)} have at most {min(self.count - 1, len(self.mean))} "
                f"principal components. Received: num_components={num_components}; give more rows or ask for fewer."
            )
        values, directions = _largest(self.scatter, num_components, len(self.mean))
        directions = _with_fixed_signs(directions.astype("float32"))
        return PrincipalComponents(directions, self.mean.copy(), values / (self.count - 1))


def _blocks(count: int, length: int) -> list[slice]:
    return list(column_blocks(length, max(1, BLOCK_ENTRIES // count)))


def _finite(rows: np.ndarray) -> np.ndarray:
    """A float64 copy, refused if it holds NaN or infinite entries."""
    rows = np.array(rows, np.float64)
    require_finite(rows, "vectors")
    return rows


def _largest(matrix: np.ndarray, count: int, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues, falling, and their eigenvectors in columns; all must be above rounding noise."""
    size = len(matrix)
    values, vectors = scipy.linalg.eigh(matrix, subset_by_index=[size - count, size - 1])
    values, vectors = values[::-1], vectors[:, ::-1]
    alive = values > max(NULL_VARIANCE * values[0], np.finfo(np.float32).tiny)
    if not alive.all():
        raise ValueError(
            f"The data vary in {alive.sum()} directions only (of {rank} possible), as repeated vectors do. "
            f"Received: num_components={count}; ask for at most {alive.sum()}."
        )
    return values, vectors


def _with_fixed_signs(directions: np.ndarray) -> np.ndarray:
    """An eigenvector's sign is arbitrary: the entry of largest magnitude is made positive, as scikit-learn does."""
    largest = np.abs(directions).argmax(axis=0)
    directions *= np.sign(directions[largest, np.arange(directions.shape[1])])
    return directions
