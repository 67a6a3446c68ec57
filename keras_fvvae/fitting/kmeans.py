"""Streaming k-means: codebooks from any number of descriptors in fixed memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from keras_fvvae.fitting.descriptors import descriptor_rows, draw_descriptors, require_enough
from keras_fvvae.utils.batches import require_several_passes
from keras_fvvae.utils.progress import progress_bar

# Rows handled at a time: the distances of 4,096 rows to 256 centroids are 8 MB in float64.
BLOCK_ROWS = 4096
# k-means++ starts on this many descriptors per centroid, as its cost grows with the square of the codebook; more for
# small ones, where it costs nothing.
START_PER_CENTROID = 20
START_AT_LEAST = 5000
# Lloyd's iterations end when the mean squared distance falls by less than this share.
TOLERANCE = 1e-4
# Empty centroids moved per pass: the others wait for the next one, so that memory stays small.
MOST_MOVED = 64


class Clustering(NamedTuple):
    """Result of `kmeans`: centroids `(K, C)`, descriptors at each `(K,)`, mean squared distance, number of passes."""

    centroids: np.ndarray
    counts: np.ndarray
    distortion: float
    passes: int


class KMeansStatistics:
    """What one pass of Lloyd's algorithm needs, in float64 and mergeable: counts, sums, distances, farthest rows.

    Sums of parts merge in any order, over files, workers and batches; memory does not depend on the number of
    descriptors.

    Args:
        centroids: `(K, C)`, fixed during the pass.

    Example:
        >>> import numpy as np
        >>> rows = np.array([[0.0, 1.0], [0.0, 3.0], [8.0, 0.0]])
        >>> statistics = KMeansStatistics(np.array([[0.0, 0.0], [9.0, 0.0]])).update(rows)
        >>> statistics.counts.tolist(), statistics.next_centroids().tolist()
        ([2, 1], [[0.0, 2.0], [8.0, 0.0]])
    """

    def __init__(self, centroids: np.ndarray) -> None:
        self.centroids = np.asarray(centroids, dtype=np.float64)
        self.counts = np.zeros(len(self.centroids), np.int64)
        # Relative to the centroids: small numbers, whatever the offset of the descriptors.
        self.sums = np.zeros_like(self.centroids)
        self.squared_distance = 0.0
        self.farthest_distances = np.zeros(0)
        self.farthest_rows = np.zeros((0, self.centroids.shape[1]))

    def update(self, rows: np.ndarray) -> KMeansStatistics:
        """Adds descriptors `(n, C)` and returns `self`."""
        for start in range(0, len(rows), BLOCK_ROWS):
            self._update_block(np.asarray(rows[start : start + BLOCK_ROWS], np.float64))
        return self

    def merge(self, other: KMeansStatistics) -> KMeansStatistics:
        """Adds the statistics of another part, gathered with the same centroids, and returns `self`."""
        if not np.array_equal(self.centroids, other.centroids):
            raise ValueError("Only statistics gathered with the same centroids merge.")
        self.counts += other.counts
        self.sums += other.sums
        self.squared_distance += other.squared_distance
        self._keep_farthest(other.farthest_distances, other.farthest_rows)
        return self

    @property
    def distortion(self) -> float:
        """Mean squared distance of the descriptors to their centroids."""
        return self.squared_distance / max(self.counts.sum(), 1)

    def next_centroids(self) -> np.ndarray:
        """Means of the descriptors at each centroid; empty centroids move to the descriptors farthest from theirs."""
        filled = self.counts > 0
        centroids = self.centroids.copy()
        centroids[filled] += self.sums[filled] / self.counts[filled, np.newaxis]
        # Copies of one descriptor are one place; where there are fewer places than centroids, the rest stay.
        empty = np.flatnonzero(~filled)
        for position, row in zip(empty, self.farthest_rows, strict=False):
            centroids[position] = row
        return centroids

    def _update_block(self, rows: np.ndarray) -> None:
        nearest, distances = nearest_centroids(rows, self.centroids)
        ones = csr_matrix((np.ones(len(rows)), (nearest, np.arange(len(rows)))), (len(self.centroids), len(rows)))
        self.counts += np.bincount(nearest, minlength=len(self.centroids))
        self.sums += ones @ (rows - self.centroids[nearest])
        self.squared_distance += distances.sum()
        self._keep_farthest(distances, rows)

    def _keep_farthest(self, distances: np.ndarray, rows: np.ndarray) -> None:
        if len(distances) > MOST_MOVED:
            # More than are kept, as some may be copies.
            best = np.argpartition(distances, -2 * MOST_MOVED)[-2 * MOST_MOVED :] if len(rows) > 2 * MOST_MOVED else ...
            distances, rows = distances[best], rows[best]
        distances = np.concatenate([self.farthest_distances, distances])
        rows = np.concatenate([self.farthest_rows, rows])
        away = distances > 0
        rows, first = np.unique(rows[away], axis=0, return_index=True)
        distances = distances[away][first]
        order = np.argsort(-distances, kind="stable")[:MOST_MOVED]
        self.farthest_distances, self.farthest_rows = distances[order], rows[order]


def kmeans(data: Any, num_centroids: int, seed: int = 0, max_passes: int = 100, verbose: int = 0) -> Clustering:
    """Lloyd's k-means over a data set of any size: k-means++ on a sample, then passes over everything.

    Args:
        data: descriptors `(..., C)` as `keras_fvvae.utils.batches` reads them; they are passed over several times, so
            that an iterator will not do.
        num_centroids: K.
        seed: integer; the same seed and data give the same centroids, however the data are cut into batches.
        max_passes: most passes over the data; fewer when the distortion no longer falls.
        verbose: 1 for a progress bar.

    Returns:
        A `Clustering`.

    Raises:
        ValueError: for fewer descriptors than centroids, NaN or infinite values, and iterators that end.

    Example:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(90, 2)) + np.repeat([[0, 0], [9, 0], [0, 9]], 30, axis=0)
        >>> kmeans(rows, 3).counts.tolist()
        [30, 30, 30]

    Reference:
        Lloyd, 1982; Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", 2007.
    """
    require_several_passes(data)
    sample = draw_descriptors(data, max(START_PER_CENTROID * num_centroids, START_AT_LEAST), seed)
    require_enough(len(sample), num_centroids)
    # Centred, as scikit-learn expands squared distances; float64, as it takes longer over float32.
    center = sample.mean(axis=0, dtype=np.float64)
    from sklearn.cluster import kmeans_plusplus  # half a second, which opening a model does not need

    _, chosen = kmeans_plusplus(sample - center, num_centroids, random_state=seed)
    centroids = sample[chosen].astype(np.float64)
    best = None
    with progress_bar("K-means", total=max_passes, enabled=bool(verbose)) as update:
        for passes in range(1, max_passes + 1):
            statistics = KMeansStatistics(centroids)
            for rows in descriptor_rows(data):
                statistics.update(rows)
            update(passes, f"mean squared distance {statistics.distortion:.4g}")
            centroids = statistics.next_centroids()
            settled = best is not None and best - statistics.distortion <= TOLERANCE * best
            best = statistics.distortion
            if best == 0 or (settled and statistics.counts.all()):
                break
    return Clustering(centroids, statistics.counts, statistics.distortion, passes)


def nearest_centroids(rows: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the nearest centroids and squared distances to them, for float64 rows `(n, C)`."""
    nearest = _scores(rows, centroids).argmax(axis=1)
    return nearest, _squared_distances(rows, centroids[nearest])


def nearest_two(rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Squared distances of rows `(n, C)` to their nearest and to their second nearest centroid, of at least two.

    Returns:
        Array `(2, n)`.
    """
    found = []
    for start in range(0, len(rows), BLOCK_ROWS):
        block = np.asarray(rows[start : start + BLOCK_ROWS], np.float64)
        scores, distances = _scores(block, centroids), []
        for _ in range(2):
            best = scores.argmax(axis=1)
            distances.append(_squared_distances(block, centroids[best]))
            scores[np.arange(len(block)), best] = -np.inf
        found.append(distances)
    return np.concatenate(found, axis=1)


def _scores(rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """`(n, K)`, largest for the nearest centroid: half the squared distances are missing what is the same for all."""
    center = centroids.mean(axis=0)
    shifted = centroids - center
    return (rows - center) @ shifted.T - 0.5 * np.einsum("kc,kc->k", shifted, shifted)


def _squared_distances(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    residuals = rows - others
    return np.einsum("nc,nc->n", residuals, residuals)
