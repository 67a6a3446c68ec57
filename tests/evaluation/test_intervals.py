"""Wilson's interval against SciPy's, and what is printed of it."""

import pytest
from scipy.stats import binomtest

from keras_fvvae.evaluation.intervals import accuracy_interval, accuracy_text, wilson_interval


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
@pytest.mark.parametrize(("right", "count"), [(0, 1), (1, 1), (3, 7), (0, 20), (20, 20), (999, 1000)])
def test_is_scipys(right, count, level):
    expected = binomtest(right, count).proportion_ci(level, method="wilson")
    assert wilson_interval(right / count, count, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_ends_are_exact_where_all_or_none_are_right():
    for count in range(1, 200):
        assert wilson_interval(1.0, count)[1] == 1.0
        assert wilson_interval(0.0, count)[0] == 0.0
        assert wilson_interval(1.0, count)[0] < 1.0 < 1.0 + wilson_interval(0.0, count)[1]


@pytest.mark.parametrize(("count", "level", "name"), [(0, 0.95, "count"), (5, 1.0, "level"), (5, 0.0, "level")])
def test_what_cannot_be(count, level, name):
    with pytest.raises(ValueError, match=f"`{name}` must"):
        wilson_interval(0.5, count, level)


def test_text_of_a_result_and_of_a_mean_over_splits():
    assert accuracy_text({"accuracy": 1.0, "examples": 2, "standard_error": 0.0}) == "100.0 (34.2 to 100.0)"
    assert accuracy_text({"accuracy": 0.5, "standard_error": 0.012}) == "50.0 +- 1.2"
    assert accuracy_interval({"accuracy": 0.5, "standard_error": 0.25}) == (0.25, 0.75)
    assert accuracy_interval({"accuracy": 0.5, "examples": 9, "standard_error": 0.1}) == wilson_interval(0.5, 9)
