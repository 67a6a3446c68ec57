"""Whitening PCA for retrieval: directions in which all vectors vary much, as sky and grass do, count less."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_fvvae.fitting.principal_components import Covariance, gram_components
from keras_fvvae.search.nearest import row_blocks
from keras_fvvae.utils.files import write_npy

MEAN, DIRECTIONS = "whitening_mean.npy", "whitening_directions.npy"
# Vectors of at most this length have a covariance that fits in memory, 134 MB, and are all used.
LARGEST_COVARIANCE = 4096
# Of longer ones so many are drawn: their Gram matrix is as large.
SAMPLE = 4096
# Components where the caller does not say: so many at most, and no more than there are vectors for. As many components
# as vectors would put all of these equally far apart: whatever was similar would be lost (docs/search.md measures it).
DIMENSION = 512
VECTORS_PER_COMPONENT = 8


class Whitening(NamedTuple):
    """Centred, projected on principal components, divided by their standard deviations, brought to unit norm.

        y = diag(variances)^(-1/2) V' (x - mean),    y / |y|

    It needs no labels: it is fitted on the vectors that are searched. `keras_fvvae.layers.GramPCA(whiten=True,
    normalization="l2")` is the same as a layer of a model.

    Attributes:
        mean: float32 `(D,)`.
        directions: float32 `(D, d)`, each divided by the standard deviation along it.

    Reference:
        Jegou, Chum: "Negative evidences and co-occurrences in image retrieval: the benefit of PCA and whitening",
        ECCV 2012.
    """

    mean: np.ndarray
    directions: np.ndarray

    @classmethod
    def fit(cls, vectors: np.ndarray, dimension: int | None = None, seed: int = 0) -> Whitening:
        """Fits to vectors.

        Args:
            vectors: array or memory map `(n, D)`. Of more than `SAMPLE` vectors longer than `LARGEST_COVARIANCE`
                numbers, a sample is used.
            dimension: d, fewer than vectors and at most D. Default: one for every eight vectors, at most 512 and D.
            seed: of the sample.

        Raises:
            ValueError: for a dimension that these vectors do not have.

        Example:
            >>> vectors = np.random.default_rng(0).normal(size=(100, 3)).astype("float32") * [9, 3, 1]
            >>> whitened = Whitening.fit(vectors, dimension=2).apply(vectors)
            >>> whitened.shape, bool(np.allclose(np.linalg.norm(whitened, axis=1), 1, atol=1e-5))
            ((100, 2), True)
        """
        count, length = vectors.shape
        if dimension is None:
            dimension = max(1, min(DIMENSION, length, min(count, SAMPLE) // VECTORS_PER_COMPONENT))
        if length <= LARGEST_COVARIANCE:
            covariance = Covariance()
            for _, block in row_blocks(vectors):
                covariance.update(block)
            found = covariance.components(dimension)
        else:
            if count > SAMPLE:
                drawn = np.random.default_rng(seed).choice(count, SAMPLE, replace=False)
                vectors = np.asarray(vectors[np.sort(drawn)])
            found = gram_components(vectors, dimension)
        directions = (found.directions / np.sqrt(found.variances)).astype("float32")
        return cls(found.mean.astype("float32"), directions)

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Whitened unit vectors, float32 `(n, d)`; what lies at the mean stays zero."""
        return unit((np.asarray(vectors, "float32") - self.mean) @ self.directions)

    def save(self, folder: Path) -> None:
        """Writes both arrays."""
        write_npy(folder / MEAN, self.mean)
        write_npy(folder / DIRECTIONS, self.directions)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Whitening:
        """Reads both arrays.

        Raises:
            OSError, ValueError: if they cannot be read, or are not what `save` writes.
        """
        mean, directions = (np.load(Path(folder, name), allow_pickle=False) for name in (MEAN, DIRECTIONS))
        if mean.dtype != np.float32 or directions.dtype != np.float32:
            raise ValueError("they are not of float32")
        if mean.ndim != 1 or directions.ndim != 2 or len(mean) != len(directions):
            raise ValueError(f"their shapes {mean.shape} and {directions.shape} do not go together")
        if not (np.isfinite(mean).all() and np.isfinite(directions).all()):
            raise ValueError("they hold NaN or infinite numbers")
        return cls(mean, directions)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their norms, in float32; rows of zeros stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype("float32", copy=False)
