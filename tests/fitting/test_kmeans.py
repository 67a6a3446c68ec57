import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from sklearn.cluster import KMeans

from keras_fvvae.fitting import kmeans as clustering
from keras_fvvae.fitting.kmeans import KMeansStatistics, draw_descriptors, kmeans

CENTRES = np.array([[0.0, 0.0, 5.0], [9.0, 1.0, 5.0], [-2.0, 8.0, 5.0], [4.0, 4.0, -7.0]])


def _rows(sizes=(40, 10, 70, 25), spread=0.5, offset=0.0, seed=0):
    """Descriptors in four groups of unequal sizes, shuffled."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(CENTRES, sizes, axis=0) + rng.normal(scale=spread, size=(sum(sizes), 3)) + offset
    return rng.permutation(rows)


def _assert_same_rows(actual, expected, tolerance=1e-9):
    """Equal up to the order of the rows."""
    actual, expected = (np.array(sorted(np.round(rows, 6).tolist())) for rows in (actual, expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=max(tolerance, 2e-6))


def _lloyd_pass_in_numpy(rows, centroids):
    sums, counts, squares = np.zeros_like(centroids), np.zeros(len(centroids), int), 0.0
    for row in rows:
        distances = [np.sum((row - centroid) ** 2) for centroid in centroids]
        nearest = int(np.argmin(distances))
        sums[nearest] += row
        counts[nearest] += 1
        squares += distances[nearest]
    return sums, counts, squares / len(rows)


def test_a_pass_is_a_loop_over_descriptors():
    rows, centroids = _rows(spread=3.0), CENTRES + np.array([[0.5], [-1.0], [0.3], [2.0]])
    sums, counts, distortion = _lloyd_pass_in_numpy(rows, centroids)
    statistics = KMeansStatistics(centroids).update(rows)
    np.testing.assert_array_equal(statistics.counts, counts)
    np.testing.assert_allclose(statistics.next_centroids(), sums / counts[:, np.newaxis], rtol=1e-12)
    np.testing.assert_allclose(statistics.distortion, distortion, rtol=1e-12)


def test_statistics_of_parts_merge():
    rows = _rows(spread=3.0)
    whole = KMeansStatistics(CENTRES).update(rows)
    parts = [KMeansStatistics(CENTRES).update(part) for part in (rows[:7], rows[7:60], rows[60:])]
    merged = parts[2].merge(parts[0]).merge(parts[1])
    np.testing.assert_array_equal(merged.counts, whole.counts)
    np.testing.assert_allclose(merged.next_centroids(), whole.next_centroids(), rtol=1e-12)
    np.testing.assert_allclose(merged.distortion, whole.distortion, rtol=1e-12)
    with pytest.raises(ValueError, match="same centroids"):
        whole.merge(KMeansStatistics(CENTRES + 1))


def test_recovers_separated_groups():
    result = kmeans(_rows(), 4)
    assert sorted(result.counts) == [10, 25, 40, 70]
    for centre in CENTRES:
        assert np.linalg.norm(result.centroids - centre, axis=1).min() < 0.6


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_as_good_as_scikit_learn(offset):
    rows = np.random.default_rng(1).normal(size=(3000, 5)) * np.array([1.0, 2, 0.3, 5, 1]) + offset
    ours = kmeans(rows, 12)
    theirs = KMeans(12, n_init=5, random_state=0).fit(rows)
    assert ours.distortion < 1.05 * theirs.inertia_ / len(rows)


def test_batches_do_not_matter(monkeypatch):
    rows = _rows(spread=3.0)
    whole = kmeans(rows, 9, seed=3)
    monkeypatch.setattr(clustering, "BLOCK_ROWS", 11)
    datasets = [
        [rows[:1], rows[1:50], rows[50:]],
        [(rows.reshape(5, 29, 3), "labels")],
        tf.data.Dataset.from_tensor_slices((rows, np.zeros(len(rows)))).batch(16),
    ]
    for dataset in datasets:
        result = kmeans(dataset, 9, seed=3)
        np.testing.assert_allclose(result.centroids, whole.centroids, rtol=1e-9, atol=1e-9)


def test_seed():
    rows = np.random.default_rng(0).normal(size=(200, 3))
    np.testing.assert_array_equal(kmeans(rows, 9, seed=1).centroids, kmeans(rows, 9, seed=1).centroids)
    assert not np.allclose(kmeans(rows, 9, seed=1).centroids, kmeans(rows, 9, seed=2).centroids)


def test_empty_centroids_move_to_the_farthest_descriptors():
    rows = np.array([[0.0, 0], [1, 0], [0, 1], [20, 0], [20, 0], [0, 30]])
    statistics = KMeansStatistics(np.array([[0.0, 0], [500, 500], [600, 600], [700, 700]])).update(rows)
    assert statistics.counts.tolist() == [6, 0, 0, 0]
    # The two copies of (20, 0) are one place.
    np.testing.assert_allclose(statistics.next_centroids()[1:3], [[0, 30], [20, 0]])


def test_empty_centroids_move_in_batches_as_in_one(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(900, 3))
    centroids = np.concatenate([np.zeros((1, 3)), np.full((5, 3), 1e3)])
    whole = KMeansStatistics(centroids).update(rows).next_centroids()
    monkeypatch.setattr(clustering, "BLOCK_ROWS", 17)
    np.testing.assert_allclose(KMeansStatistics(centroids).update(rows).next_centroids(), whole, rtol=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rows", [np.zeros((20, 3)), np.repeat(CENTRES[:2], 10, axis=0)], ids=["zeros", "two places"])
def test_fewer_places_than_centroids(rows):
    result = kmeans(rows, 5)
    assert np.isfinite(result.centroids).all()
    assert result.distortion < 1e-20
    assert result.counts.sum() == 20


def test_draw_is_even_and_does_not_depend_on_batches():
    rows = np.arange(3000.0).reshape(1000, 3)
    whole = draw_descriptors(rows, 100, seed=5)
    assert whole.shape == (100, 3)
    assert (np.diff(whole[:, 0]) > 0).all()
    np.testing.assert_array_equal(draw_descriptors([rows[:10], rows[10:700], rows[700:]], 100, seed=5), whole)
    np.testing.assert_array_equal(draw_descriptors(rows, 5000), rows)
    means = [draw_descriptors(np.arange(1000.0)[:, np.newaxis], 100, seed).mean() for seed in range(200)]
    assert abs(np.mean(means) - 499.5) < 5 * 27.4 / np.sqrt(200)  # 27.4 is the deviation of such a mean
    assert 20 < np.std(means) < 35


def test_draw_is_bounded_and_even(monkeypatch):
    """Every descriptor of a long stream is as likely to be kept as any other, and memory stays bounded."""
    original, held = clustering._smallest_keys, []
    monkeypatch.setattr(
        clustering, "_smallest_keys", lambda drawn, n: held.append(sum(len(k) for k, _ in drawn)) or original(drawn, n)
    )
    counts = np.zeros(10)
    for seed in range(50):
        values = draw_descriptors(list(np.arange(1000).reshape(10, 100, 1)), 100, seed)[:, 0].astype(int)
        assert len(set(values)) == len(values) == 100
        counts += np.bincount(values // 100, minlength=10)
    assert max(held) <= 200 + 100  # twice the draw may wait to be sorted out, and one batch comes on top
    # 500 expected of each tenth of the stream; five standard deviations.
    np.testing.assert_allclose(counts, 500, atol=5 * np.sqrt(500 * 0.9))


def test_draw_is_independent_of_data_made_with_the_same_seed():
    rows = np.random.default_rng(0).random((1000, 1))
    assert abs(draw_descriptors(rows, 500, seed=0).mean() - 0.5) < 0.05


def test_memory_does_not_grow_with_the_number_of_descriptors():
    block = np.random.default_rng(0).normal(size=(2000, 16))

    class Stream:
        def __init__(self, batches):
            self.batches = batches

        def __iter__(self):
            return (block + 0.01 * position for position in range(self.batches))

    def peak(batches):
        tracemalloc.start()
        kmeans(Stream(batches), 8, max_passes=2)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(60) < 1.2 * peak(6)


@pytest.mark.parametrize(
    ("empty", "message"),
    [
        ([], "The data set is empty"),
        (np.zeros((0, 3)), "No descriptors were given"),
        ([np.zeros((2, 0, 3))], "No descriptors were given"),
    ],
    ids=["list", "array", "empty"],
)
def test_empty_data_set(empty, message):
    with pytest.raises(ValueError, match=message):
        kmeans(empty, 2)


def test_fewer_descriptors_than_centroids():
    with pytest.raises(ValueError, match="codebook of 5 entries needs at least as many descriptors. Received: 4 "):
        kmeans(CENTRES, 5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite(bad):
    rows = _rows()
    rows[[5, 7], 1] = bad
    with pytest.raises(ValueError, match=r"2 of 141 descriptors hold NaN or infinite values \(first at position 1 "):
        kmeans([rows[:4], rows[4:]], 2)


def test_batches_that_do_not_fit():
    with pytest.raises(ValueError, match=r"with C = 3. Received: shape=\(4, 2\)"):
        kmeans([CENTRES, CENTRES[:, :2]], 2)
    with pytest.raises(ValueError, match=r"descriptors \(batch, T, C\). Received: shape=\(3,\)"):
        kmeans([CENTRES[0]], 2)


def test_an_iterator_is_refused():
    with pytest.raises(ValueError, match="passed over several times"):
        kmeans(iter([_rows()]), 2)


def test_progress_is_shown(capsys):
    kmeans(_rows(), 4, verbose=1)
    assert "K-means" in capsys.readouterr().err
    kmeans(_rows(), 4)
    captured = capsys.readouterr()
    assert not captured.err + captured.out
