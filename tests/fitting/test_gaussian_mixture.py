import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from sklearn.mixture import GaussianMixture as ScikitLearnMixture

from keras_fvvae.fitting import gaussian_mixture
from keras_fvvae.fitting.gaussian_mixture import MixtureStatistics, fit_gaussian_mixture, log_densities

PRIORS = np.array([0.6, 0.1, 0.3])
MEANS = np.array([[0.0, 0.0], [6.0, 1.0], [-1.0, 7.0]])
DEVIATIONS = np.array([[1.0, 0.2], [0.5, 2.0], [1.5, 0.7]])


def _rows(count=3000, offset=0.0, seed=0):
    """Descriptors drawn from a mixture of unequal priors and variances."""
    rng = np.random.default_rng(seed)
    component = rng.choice(3, size=count, p=PRIORS)
    return rng.normal(MEANS[component], DEVIATIONS[component]) + offset


def _overlapping(count=1500, seed=0):
    """Descriptors no mixture fits exactly, so that EM has work to do."""
    rng = np.random.default_rng(seed)
    return rng.gamma(2.0, size=(count, 4)) * np.array([1.0, 0.1, 3.0, 1.0])


def _em_step_in_numpy(rows, priors, means, variances):
    """One step of EM, one descriptor and one component at a time; also the mean log-likelihood before it."""
    posteriors, likelihood = np.zeros((len(rows), len(priors))), 0.0
    for t, row in enumerate(rows):
        densities = np.array(
            [
                prior * np.prod(np.exp(-((row - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance))
                for prior, mean, variance in zip(priors, means, variances, strict=True)
            ]
        )
        posteriors[t] = densities / densities.sum()
        likelihood += np.log(densities.sum())
    mass = posteriors.sum(axis=0)
    means = np.array([posteriors[:, k] @ rows / mass[k] for k in range(len(priors))])
    variances = np.array([posteriors[:, k] @ (rows - means[k]) ** 2 / mass[k] for k in range(len(priors))])
    return mass / len(rows), means, variances, likelihood / len(rows)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_an_em_step_is_a_loop_over_descriptors(offset):
    rows = _rows(200)
    start = (np.array([0.2, 0.5, 0.3]), MEANS + 0.5, np.square(DEVIATIONS) + np.array([[0.1], [0.9], [0.4]]))
    *expected, likelihood = _em_step_in_numpy(rows, *start)
    expected[1] += offset
    shifted = (start[0], start[1] + offset, start[2])
    statistics = gaussian_mixture._expectation(rows + offset, *shifted, center=np.full(2, offset + 0.3))
    *parameters, restarts = statistics.parameters(variance_floor=1e-9)
    for actual, desired in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(actual, desired, rtol=1e-8)
    np.testing.assert_allclose(statistics.log_likelihood / statistics.count, likelihood, rtol=1e-8)
    assert restarts == 0


def test_em_increases_the_likelihood():
    history = np.array(fit_gaussian_mixture(_overlapping(), 6).log_likelihoods)
    assert len(history) > 10
    assert (np.diff(history) > 0).all()
    assert history[-1] > history[0] + 0.01


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_recovers_a_known_mixture(offset):
    mixture = fit_gaussian_mixture(_rows(20000, offset), 3)
    order = [int(np.argmin(np.linalg.norm(mixture.means - offset - mean, axis=1))) for mean in MEANS]
    np.testing.assert_allclose(mixture.priors[order], PRIORS, atol=0.02)
    np.testing.assert_allclose(mixture.means[order] - offset, MEANS, atol=0.15)
    np.testing.assert_allclose(np.sqrt(mixture.variances[order]), DEVIATIONS, rtol=0.06)


def test_as_good_as_scikit_learn():
    rows = _overlapping()
    theirs = ScikitLearnMixture(6, covariance_type="diag", n_init=5, tol=1e-5, random_state=0, max_iter=300).fit(rows)
    ours = fit_gaussian_mixture(rows, 6, repetitions=5, max_iterations=300)
    assert ours.log_likelihoods[-1] > theirs.score(rows) - 0.05
    # One formula: the likelihood reported is that of the parameters returned.
    densities = log_densities(rows, ours.priors, ours.means, ours.variances)
    np.testing.assert_allclose(np.log(np.exp(densities).sum(axis=1)).mean(), ours.log_likelihoods[-1], rtol=1e-9)


def test_repetitions_keep_the_best():
    rows = _overlapping(300)
    single = [fit_gaussian_mixture(rows, 5, seed=seed).log_likelihoods[-1] for seed in range(4)]
    assert len(set(single)) > 1
    assert fit_gaussian_mixture(rows, 5, repetitions=4).log_likelihoods[-1] == max(single)


def test_batches_do_not_matter(monkeypatch):
    rows = _overlapping(600)
    whole = fit_gaussian_mixture(rows, 4, seed=3, max_iterations=15)
    monkeypatch.setattr(gaussian_mixture, "BLOCK_ROWS", 23)
    datasets = [
        [rows[:1], rows[1:50], rows[50:]],
        [(rows.reshape(5, 120, 4), "labels")],
        tf.data.Dataset.from_tensor_slices(rows).batch(64),
    ]
    for dataset in datasets:
        mixture = fit_gaussian_mixture(dataset, 4, seed=3, max_iterations=15)
        for name in ("priors", "means", "variances", "log_likelihoods"):
            np.testing.assert_allclose(getattr(mixture, name), getattr(whole, name), rtol=1e-7, atol=1e-9)
        assert mixture.count == 600


def test_statistics_of_parts_merge():
    rows = _rows(200)
    posteriors = np.random.default_rng(1).dirichlet([1, 2, 3], size=200)
    parts = [
        MixtureStatistics(3, MEANS[0]).update(rows[part], posteriors[part], 1.5) for part in (slice(9), slice(9, None))
    ]
    whole = MixtureStatistics(3, MEANS[0]).update(rows, posteriors, 3.0)
    merged = parts[1].merge(parts[0])
    for name in ("count", "log_likelihood", "mass", "sums", "squares", "variances"):
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name), rtol=1e-12)
    with pytest.raises(ValueError, match="around the same center"):
        whole.merge(MixtureStatistics(3, MEANS[1]))


def test_variance_floor():
    """A constant channel, and a component of copies of one descriptor."""
    rows = np.concatenate([_rows(400), np.full((100, 2), 40.0)])
    rows = np.concatenate([rows, np.full((500, 1), 3.0)], axis=1)
    mixture = fit_gaussian_mixture(rows, 4)
    floor = 1e-4 * rows.var(axis=0).max()
    np.testing.assert_allclose(mixture.variances.min(), floor, rtol=1e-9)
    np.testing.assert_allclose(mixture.variances[:, 2], floor, rtol=1e-9)
    assert (mixture.variances[:, :2] > 2 * floor).any()


def test_empty_components_restart_as_half_of_the_widest():
    rows = np.array([[0.0, 0.0], [8.0, 1.0], [0.0, 1.0], [8.0, 0.0], [100.0, 0.5]])
    posteriors = np.zeros((5, 3))
    posteriors[:4, 0] = posteriors[4, 1] = 1.0
    priors, means, variances, restarts = MixtureStatistics(3, rows[0]).update(rows, posteriors).parameters(1e-3)
    assert restarts == 1
    np.testing.assert_allclose(priors, [0.4, 0.2, 0.4])
    np.testing.assert_allclose(means, [[2.0, 0.5], [100.0, 0.5], [6.0, 0.5]])
    np.testing.assert_allclose(variances, [[16, 0.25], [1e-3, 1e-3], [16, 0.25]])


def test_a_restarted_component_is_used_again(monkeypatch):
    """K-means that leaves one centroid empty."""
    far = np.array([[0.0, 0.0], [6.0, 1.0], [1e6, 1e6]])
    rows = _rows(2000)

    def bad_start(dataset, num_centroids, seed, verbose):
        return gaussian_mixture_kmeans(dataset, num_centroids, seed)._replace(centroids=far, counts=np.array([1, 1, 0]))

    gaussian_mixture_kmeans = gaussian_mixture.kmeans
    monkeypatch.setattr(gaussian_mixture, "kmeans", bad_start)
    mixture = fit_gaussian_mixture(rows, 3)
    assert mixture.restarts >= 1
    np.testing.assert_allclose(sorted(mixture.priors), sorted(PRIORS), atol=0.05)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "rows",
    [np.zeros((20, 3)), np.full((20, 3), 50.0), np.repeat(np.eye(3)[:2], 10, axis=0), np.ones((1, 3))],
    ids=["zeros", "repeated", "two places", "one"],
)
def test_fewer_places_than_components(rows):
    mixture = fit_gaussian_mixture(rows, min(5, len(rows)))
    assert all(np.isfinite(values).all() for values in mixture)
    assert (mixture.variances > 0).all()
    np.testing.assert_allclose(mixture.priors.sum(), 1.0)


def test_memory_does_not_grow_with_the_number_of_descriptors():
    block = np.random.default_rng(0).normal(size=(2000, 16))

    class Stream:
        def __init__(self, batches):
            self.batches = batches

        def __iter__(self):
            return (block + 0.01 * position for position in range(self.batches))

    def peak(batches):
        tracemalloc.start()
        fit_gaussian_mixture(Stream(batches), 8, max_iterations=2)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(18) < 1.2 * peak(6)


def test_wrong_data_sets():
    with pytest.raises(ValueError, match="The data set is empty"):
        fit_gaussian_mixture([], 2)
    with pytest.raises(ValueError, match="codebook of 5 entries needs at least as many descriptors. Received: 3 "):
        fit_gaussian_mixture(MEANS, 5)
    with pytest.raises(ValueError, match="1 of 3 descriptors hold NaN"):
        fit_gaussian_mixture(np.where(MEANS == 7.0, np.nan, MEANS), 2)
    with pytest.raises(ValueError, match="passed over several times"):
        fit_gaussian_mixture(iter([MEANS]), 2)


def test_progress_is_shown(capsys):
    fit_gaussian_mixture(_rows(100), 2, verbose=1)
    shown = capsys.readouterr().err
    assert "K-means" in shown
    assert "EM" in shown
    assert "log-likelihood" in shown


def test_variances_are_such_that_float32_resolves_them():
    """Copies of one descriptor at 5000 lie on their component after rounding, not many deviations away."""
    mixture = fit_gaussian_mixture(np.full((20, 3), 5000.1), 2)
    rounding = np.abs(np.float32(mixture.means) - np.float64(np.float32(5000.1))).max() + np.spacing(np.float32(5000.1))
    assert (rounding < 0.1 * np.sqrt(mixture.variances)).all()
