"""Streaming, mergeable float64 statistics of raw Fisher vectors: what Eq. 12 needs and nothing more."""

from __future__ import annotations

import numpy as np

from keras_fvvae.utils.batches import require_finite


class FisherStatistics:
    """Second moments of raw Fisher vectors `G` of shape `(C, D + 1)`, accumulated batch by batch.

    Sums rather than means are kept, so statistics of parts merge exactly, in any order, over files, workers and
    restarts. Memory does not depend on the number of vectors.

    Args:
        kronecker: whether to keep `sum G G'` and `sum G' G` for the Kronecker form as well.

    Example:
        >>> import numpy as np
        >>> vectors = np.random.default_rng(0).normal(size=(6, 4, 3))
        >>> whole = FisherStatistics().update(vectors)
        >>> parts = FisherStatistics().update(vectors[:2]).merge(FisherStatistics().update(vectors[2:]))
        >>> bool(np.allclose(whole.mean_square, parts.mean_square, rtol=1e-15)), parts.count
        (True, 6)

    Reference:
        Qiu et al., CVPR 2017, Eq. 12.
    """

    def __init__(self, kronecker: bool = False) -> None:
        self.kronecker = kronecker
        self.count = 0
        self.sum_of_squares: np.ndarray | None = None
        self.row_moment: np.ndarray | None = None
        self.column_moment: np.ndarray | None = None

    def update(self, vectors: np.ndarray) -> FisherStatistics:
        """Adds a batch of raw vectors `(batch, C, D + 1)` and returns `self`.

        Raises:
            ValueError: if the shape differs from earlier batches or a value is NaN or infinite; nothing is added then.
        """
        vectors = np.asarray(vectors, dtype=np.float64)
        shape = None if self.sum_of_squares is None else self.sum_of_squares.shape
        if self.kronecker and vectors.ndim != 3:
            raise ValueError(f"The Kronecker form needs vectors (batch, C, D + 1). Received: shape={vectors.shape}")
        if vectors.ndim < 2 or (shape is not None and vectors.shape[1:] != shape):
            raise ValueError(f"Expected a batch of vectors of shape {shape}. Received: shape={vectors.shape}")
        require_finite(vectors, "Fisher vectors")
        part = FisherStatistics(self.kronecker)
        part.count = len(vectors)
        part.sum_of_squares = np.einsum("n...,n...->...", vectors, vectors)  # without a second copy of the batch
        if self.kronecker:
            part.row_moment = np.einsum("ncd,ned->ce", vectors, vectors, optimize=True)
            part.column_moment = np.einsum("ncd,nce->de", vectors, vectors, optimize=True)
        return self.merge(part)

    def merge(self, other: FisherStatistics) -> FisherStatistics:
        """Adds the statistics of another part and returns `self`."""
        if self.kronecker != other.kronecker:
            raise ValueError("Only statistics of the same form merge: one of the two is Kronecker, the other is not.")
        if other.sum_of_squares is None:
            return self
        if self.sum_of_squares is not None and self.sum_of_squares.shape != other.sum_of_squares.shape:
            raise ValueError(
                f"Only statistics of vectors of one shape merge. Received: shape={self.sum_of_squares.shape} and "
                f"shape={other.sum_of_squares.shape}"
            )
        for name in ("sum_of_squares", "row_moment", "column_moment"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if theirs is not None:
                setattr(self, name, theirs.copy() if mine is None else mine + theirs)
        self.count += other.count
        return self

    @property
    def mean_square(self) -> np.ndarray:
        """Mean of `G * G`, shape `(C, D + 1)`: the diagonal of the Fisher information (Eq. 12)."""
        self._require_data()
        return self.sum_of_squares / self.count

    def kronecker_factors(self) -> tuple[np.ndarray, np.ndarray]:
        """`E[G G']` `(C, C)` and `E[G' G]` `(D + 1, D + 1)`."""
        self._require_data()
        if not self.kronecker:
            raise ValueError("These statistics are diagonal; make them with `FisherStatistics(kronecker=True)`.")
        return self.row_moment / self.count, self.column_moment / self.count

    def _require_data(self) -> None:
        if self.count == 0:
            raise ValueError("No Fisher vectors were given: the statistics of an empty data set do not exist.")
