"""Mixtures of diagonal Gaussians, fitted by EM over any number of descriptors in fixed memory."""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from keras_fvvae.fitting.kmeans import BLOCK_ROWS, descriptor_rows, kmeans, nearest_centroids, require_enough
from keras_fvvae.utils.progress import progress_bar

# No variance falls below this share of the largest variance of a channel (Cimpoi et al., IJCV 2016).
VARIANCE_FLOOR = 1e-4
# Nor below this share of the squared magnitude of the descriptors: float32 resolves a difference to five digits.
RESOLUTION = 1e-10
# Nor below this, for descriptors that are all zero; its inverse is far from float32's largest number.
SMALLEST_VARIANCE = 1e-12
# EM ends when the log-likelihood rises by less than this share.
TOLERANCE = 1e-5
# A component of fewer (expected) descriptors is empty, and restarts as half of another one.
EMPTY_COUNT = 0.5


class GaussianMixture(NamedTuple):
    """Result of `fit_gaussian_mixture`: priors `(K,)`, means and variances `(K, C)`, and how the fit went.

    `log_likelihoods` holds the mean log-likelihood of a descriptor before each EM step, `restarts` the number of empty
    components that were restarted, `count` the number of descriptors.
    """

    priors: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    log_likelihoods: tuple
    restarts: int
    count: int  # type: ignore[assignment]


class MixtureStatistics:
    """Sufficient statistics of EM for a diagonal mixture, in float64 and mergeable.

    Sums of parts merge in any order, over files, workers and batches; memory does not depend on the number of
    descriptors.

    Args:
        num_components: K.
        center: `(C,)`, subtracted from all descriptors before they are summed and squared: a large common offset would
            cost the variances their digits.

    Example:
        >>> import numpy as np
        >>> rows = np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 6.0]])
        >>> statistics = MixtureStatistics(1, np.zeros(2)).update(rows, np.ones((3, 1)))
        >>> priors, means, variances, restarts = statistics.parameters(variance_floor=0.1)
        >>> means.tolist(), variances.round(2).tolist()
        ([[3.0, 2.0]], [[2.67, 8.0]])
    """

    def __init__(self, num_components, center):
        self.center = np.asarray(center, np.float64)
        self.count = 0
        self.log_likelihood = 0.0
        self.mass = np.zeros(num_components)
        self.sums = np.zeros((num_components, len(self.center)))
        self.squares = np.zeros_like(self.sums)

    def update(self, rows, posteriors, log_likelihood=0.0):
        """Adds descriptors `(n, C)` with their posteriors `(n, K)` and total log-likelihood; returns `self`."""
        rows = np.asarray(rows, np.float64) - self.center
        self.count += len(rows)
        self.log_likelihood += log_likelihood
        self.mass += posteriors.sum(axis=0)
        self.sums += posteriors.T @ rows
        self.squares += posteriors.T @ np.square(rows)
        return self

    def merge(self, other):
        """Adds the statistics of another part, gathered around the same center, and returns `self`."""
        if not np.array_equal(self.center, other.center) or self.mass.shape != other.mass.shape:
            raise ValueError("Only statistics of as many components around the same center merge.")
        for name in ("count", "log_likelihood", "mass", "sums", "squares"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    @property
    def variances(self):
        """Variances of the channels over all descriptors, `(C,)`."""
        mean = self.sums.sum(axis=0) / self.count
        return np.maximum(self.squares.sum(axis=0) / self.count - np.square(mean), 0.0)

    def parameters(self, variance_floor):
        """The M-step: priors, means, variances (at least `variance_floor`) and the number of restarted components.

        An empty component takes half of the component of the largest prior times variance, one of the two on either
        side of its mean along the channel of largest variance.
        """
        filled = np.maximum(self.mass, EMPTY_COUNT)[:, np.newaxis]
        means = self.sums / filled
        variances = np.maximum(self.squares / filled - np.square(means), variance_floor)
        priors = self.mass / self.mass.sum()
        empty = np.flatnonzero(self.mass < EMPTY_COUNT)
        priors[empty] = 0.0
        for component in empty:
            largest = np.argmax(priors * variances.sum(axis=1))
            channel = np.argmax(variances[largest])
            priors[[component, largest]] = priors[largest] / 2
            variances[component], means[component] = variances[largest], means[largest]
            shift = np.sqrt(variances[largest, channel]) / 2
            means[largest, channel] -= shift
            means[component, channel] += shift
        return priors / priors.sum(), means + self.center, variances, len(empty)


def fit_gaussian_mixture(data, num_components, seed=0, max_iterations=100, repetitions=1, verbose=0):
    """Fits a mixture of diagonal Gaussians by expectation-maximisation.

    K-means gives the start. Every iteration is one pass over the data; EM ends when the log-likelihood rises by less
    than 1e-5 of itself. Variances are floored and empty components restarted.

    Args:
        data: descriptors `(..., C)` as `keras_fvvae.utils.batches` reads them; they are passed over several times, so
            that an iterator will not do.
        num_components: K.
        seed: integer; the same seed and data give the same mixture, however the data are cut into batches.
        max_iterations: most EM iterations.
        repetitions: number of starts, each from another k-means; the mixture of the highest likelihood is returned.
        verbose: 1 for a progress bar.

    Returns:
        A `GaussianMixture`.

    Raises:
        ValueError: for fewer descriptors than components, NaN or infinite values, and iterators that end.

    Example:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(400, 2)) + np.repeat([[0, 0], [9, 0]], [100, 300], axis=0)
        >>> sorted(fit_gaussian_mixture(rows, 2).priors.round(2).tolist())
        [0.25, 0.75]

    Reference:
        Dempster, Laird and Rubin, 1977; VLFeat, `vl/gmm.c`.
    """
    fits = [_fit_once(data, num_components, seed + run, max_iterations, verbose) for run in range(repetitions)]
    return max(fits, key=lambda fit: fit.log_likelihoods[-1])


def log_densities(rows, priors, means, variances):
    """`log(pi_k N(x; m_k, diag(s_k^2)))` of float64 rows `(n, C)`: `(n, K)`."""
    center = priors @ means
    rows, means, precisions = rows - center, means - center, 1.0 / variances
    mahalanobis = np.square(rows) @ precisions.T - 2.0 * rows @ (means * precisions).T
    mahalanobis += np.sum(np.square(means) * precisions, axis=1)
    normalizer = np.log(2.0 * np.pi) * means.shape[1] + np.log(variances).sum(axis=1)
    with np.errstate(divide="ignore"):  # a prior of zero
        return np.log(priors) - 0.5 * (normalizer + mahalanobis)


def _fit_once(data, num_components, seed, max_iterations, verbose):
    statistics = _start(data, num_components, seed, verbose)
    magnitude = np.square(statistics.center).max()
    floor = max(VARIANCE_FLOOR * statistics.variances.max(), RESOLUTION * magnitude, SMALLEST_VARIANCE)
    priors, means, variances, restarts = statistics.parameters(floor)
    history, restarted = [], restarts
    with progress_bar("EM", total=max_iterations, enabled=bool(verbose)) as update:
        for iteration in range(1, max_iterations + 1):
            statistics = _expectation(data, priors, means, variances, statistics.center)
            history.append(statistics.log_likelihood / statistics.count)
            update(iteration, f"log-likelihood {history[-1]:.4f}")
            # The likelihood belongs to the parameters at hand: what is returned is what was measured.
            settled = len(history) > 1 and abs(history[-1] - history[-2]) <= TOLERANCE * abs(history[-2])
            if iteration == max_iterations or (settled and not restarts):
                break
            priors, means, variances, restarts = statistics.parameters(floor)
            restarted += restarts
    return GaussianMixture(priors, means, variances, tuple(history), restarted, statistics.count)


def _start(data, num_components, seed, verbose):
    """Statistics of the clusters of k-means, each descriptor wholly in its own."""
    clustering = kmeans(data, num_components, seed, verbose=verbose)
    centroids = clustering.centroids
    center = (clustering.counts @ centroids) / clustering.counts.sum()
    statistics = MixtureStatistics(num_components, center)
    for rows in _blocks(data):
        nearest, _ = nearest_centroids(rows, centroids)
        statistics.update(rows, np.eye(num_components)[nearest])
    require_enough(statistics.count, num_components)
    return statistics


def _expectation(data, priors, means, variances, center):
    """The E-step: one pass over the data."""
    statistics = MixtureStatistics(len(priors), center)
    for rows in _blocks(data):
        densities = log_densities(rows, priors, means, variances)
        totals = logsumexp(densities, axis=1, keepdims=True)
        statistics.update(rows, np.exp(densities - totals), totals.sum())
    return statistics


def _blocks(data):
    for rows in descriptor_rows(data):
        for start in range(0, len(rows), BLOCK_ROWS):
            yield np.asarray(rows[start : start + BLOCK_ROWS], np.float64)
