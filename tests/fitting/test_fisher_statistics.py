import numpy as np
import pytest

from keras_fvvae.fitting.fisher_statistics import FisherStatistics


def _vectors(count=7, seed=0):
    """Integers: their sums of products are exact in float64, whatever the order."""
    return np.random.default_rng(seed).integers(-99, 100, (count, 4, 3)).astype("float64")


def _state(statistics):
    return [statistics.count, statistics.sum_of_squares, statistics.row_moment, statistics.column_moment]


def _assert_same(one, other):
    for mine, theirs in zip(_state(one), _state(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_mean_square_is_the_diagonal_of_eq_12():
    vectors = _vectors()
    flat = vectors.reshape(7, 12)
    information = np.mean([np.outer(one, one) for one in flat], axis=0)
    expected = np.diag(information).reshape(4, 3)
    np.testing.assert_allclose(FisherStatistics().update(vectors).mean_square, expected, rtol=1e-14)


def test_kronecker_factors():
    vectors = _vectors()
    left, right = FisherStatistics(kronecker=True).update(vectors).kronecker_factors()
    np.testing.assert_allclose(left, np.mean([one @ one.T for one in vectors], axis=0), rtol=1e-14)
    np.testing.assert_allclose(right, np.mean([one.T @ one for one in vectors], axis=0), rtol=1e-14)


@pytest.mark.parametrize("kronecker", [False, True])
@pytest.mark.parametrize("cuts", [(1,), (3, 5), (1, 2, 3, 4, 5, 6)])
def test_batches_and_parts_give_the_same_in_any_order(kronecker, cuts):
    vectors = _vectors()
    whole = FisherStatistics(kronecker).update(vectors)
    batches = np.split(vectors, cuts)
    streamed, merged = FisherStatistics(kronecker), FisherStatistics(kronecker)
    for batch in reversed(batches):
        streamed.update(batch)
    for batch in batches[1:] + batches[:1]:
        merged.merge(FisherStatistics(kronecker).update(batch))
    _assert_same(streamed, whole)
    _assert_same(merged, whole)


def test_merging_does_not_change_the_other_part():
    part = FisherStatistics(kronecker=True).update(_vectors())
    before = [np.copy(value) for value in _state(part)]
    FisherStatistics(kronecker=True).merge(part).update(_vectors(seed=1))
    for old, new in zip(before, _state(part), strict=True):
        np.testing.assert_array_equal(old, new)


def test_merging_an_empty_part_changes_nothing():
    whole = FisherStatistics().update(_vectors())
    _assert_same(FisherStatistics().merge(whole).merge(FisherStatistics()), whole)


def test_accumulates_in_float64():
    """A million and one, squared, next to one: float32 would lose the one."""
    statistics = FisherStatistics().update(np.full((1, 1, 1), 1e4, "float32")).update(np.ones((1, 1, 1), "float32"))
    assert statistics.mean_square.dtype == np.float64
    assert statistics.mean_square.item() == (1e8 + 1) / 2


def test_half_precision_vectors_do_not_overflow():
    assert FisherStatistics().update(np.full((1, 2, 2), 6e4, "float16")).mean_square.max() > 3e9


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_add_nothing(bad):
    statistics = FisherStatistics(kronecker=True).update(_vectors())
    before = _state(statistics)
    vectors = _vectors(seed=1)
    vectors[[2, 4], 0, 1] = bad
    with pytest.raises(ValueError, match="2 of 7 Fisher vectors hold NaN or infinite values .first at position 2 "):
        statistics.update(vectors)
    for old, new in zip(before, _state(statistics), strict=True):
        np.testing.assert_array_equal(old, new)


def test_empty_batch_adds_nothing():
    """The last batch of a filtered stream may be empty."""
    statistics = FisherStatistics().update(_vectors()).update(np.zeros((0, 4, 3)))
    _assert_same(statistics, FisherStatistics().update(_vectors()))


@pytest.mark.parametrize("kronecker", [False, True])
def test_nothing_seen(kronecker):
    statistics = FisherStatistics(kronecker)
    with pytest.raises(ValueError, match="No Fisher vectors were given"):
        _ = statistics.mean_square
    with pytest.raises(ValueError, match="No Fisher vectors were given"):
        statistics.kronecker_factors()


def test_other_shape_than_before():
    statistics = FisherStatistics().update(_vectors())
    with pytest.raises(ValueError, match=r"vectors of shape \(4, 3\). Received: shape=\(7, 3, 4\)"):
        statistics.update(_vectors().swapaxes(1, 2))


@pytest.mark.parametrize("shape", [(2, 4, 1), (2, 1, 3), (2, 3, 4)])
def test_merging_another_shape(shape):
    """Two of the three shapes would broadcast."""
    with pytest.raises(ValueError, match="shape"):
        FisherStatistics().update(_vectors()).merge(FisherStatistics().update(np.ones(shape)))


def test_one_vector_is_not_a_batch():
    with pytest.raises(ValueError, match=r"Expected a batch of vectors.*Received: shape=\(12,\)"):
        FisherStatistics().update(np.ones(12))
    with pytest.raises(ValueError, match=r"needs vectors \(batch, C, D \+ 1\). Received: shape=\(4, 3\)"):
        FisherStatistics(kronecker=True).update(np.ones((4, 3)))


def test_merging_another_form():
    with pytest.raises(ValueError, match="Only statistics of the same form merge"):
        FisherStatistics(kronecker=True).merge(FisherStatistics().update(_vectors()))


def test_kronecker_factors_of_diagonal_statistics():
    with pytest.raises(ValueError, match=r"(?i)kronecker"):
        FisherStatistics().update(_vectors()).kronecker_factors()
