"""Interpolated average precision against a loop written from its definition, and as a bootstrap statistic."""

import numpy as np
import pytest

from keras_fvvae.evaluation.average_precision import average_precision, hits_at_k, rank_order


def _by_definition(relevant, positives):
    """Sum over recall levels of the best precision at this or a larger recall; the predictions are in order."""
    precisions = [sum(relevant[: rank + 1]) / (rank + 1) for rank in range(len(relevant))]
    return sum(max(precisions[rank:]) for rank in range(len(relevant)) if relevant[rank]) / positives


def test_by_hand():
    # Ranks 2, 3 and 5 are right: precisions 1/2, 2/3, 3/5; the first is interpolated to 2/3.
    value = average_precision([5, 4, 3, 2, 1], [False, True, True, False, True])
    assert value == pytest.approx((2 / 3 + 2 / 3 + 3 / 5) / 3)
    assert average_precision([5, 4], [False, True], positives=4) == 0.125
    assert average_precision([5, 4], [False, False], positives=4) == 0.0
    assert average_precision([], [], positives=4) == 0.0
    assert np.isnan(average_precision([5, 4], [False, False]))


@pytest.mark.parametrize("decimals", [9, 1], ids=["different", "many equal"])
def test_agrees_with_the_definition(decimals):
    rng = np.random.default_rng(0)
    for size in (1, 7, 60):
        scores, relevant = rng.random(size).round(decimals), rng.random(size) < 0.4
        order = sorted(range(size), key=lambda i: (-scores[i], -i))
        assert rank_order(scores).tolist() == order
        expected = _by_definition(relevant[order].tolist(), positives=size)
        assert average_precision(scores, relevant, positives=size) == pytest.approx(expected, abs=1e-12)


def test_weights_are_repetitions():
    rng = np.random.default_rng(1)
    scores, relevant = rng.random(30), rng.random(30) < 0.5
    weights = rng.integers(0, 4, (20, 30))
    values = average_precision(scores, relevant, weights=weights)
    repeated = [average_precision(np.repeat(scores, row), np.repeat(relevant, row)) for row in weights]
    assert values == pytest.approx(np.array(repeated), abs=1e-12)
    assert np.ptp(values) > 0.1


def test_a_resample_without_positives_is_undefined():
    values = average_precision([2, 1], [True, False], weights=[[0, 2], [1, 1]])
    assert np.isnan(values[0])
    assert values[1] == 1.0


def test_hits():
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
    truth = np.array([[0, 1, 1], [0, 1, 0], [1, 0, 0]], bool)
    assert hits_at_k(scores, truth, 1).tolist() == [0, 0, 0]  # of equal scores the first class is the answer
    assert hits_at_k(scores, truth, 2).tolist() == [1, 1, 0]
    assert hits_at_k(scores, truth, 2, average=True).tolist() == [0.5, 1, 0]
    assert hits_at_k(scores, truth, 9).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="`k` must be positive. Received: k=0"):
        hits_at_k(scores, truth, 0)
