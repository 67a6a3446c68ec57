"""Learning curves: shares that nest, folds that keep groups together, and a law that is found again."""

import numpy as np
import pytest

from keras_fvvae.evaluation import learning_curve as module
from keras_fvvae.evaluation.learning_curve import SHARES, is_affordable, learning_curve


def _items(count, spread=1.0, seed=0):
    labels = np.arange(count) % 4
    vectors = np.random.default_rng(seed).normal(size=(count, 200)) * spread + 3 * np.eye(4, 200)[labels]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T, labels


def test_the_law_is_found_again():
    counts = np.array([10.0, 20, 40, 80])
    a, b, c = module._fit(counts, 0.1 + 2 * counts**-0.7)
    assert (a, b, c) == (pytest.approx(0.1, abs=1e-6), pytest.approx(2, abs=1e-5), pytest.approx(0.7))
    falling = module._fit(counts, np.array([0.2, 0.3, 0.4, 0.5]))  # more errors with more items: never extrapolated so
    assert falling[1] == pytest.approx(0, abs=1e-9)


def test_extrapolation_is_near_what_more_items_give():
    gram, labels = _items(320)
    few = learning_curve(gram[:160, :160], labels[:160])
    more = learning_curve(gram, labels)
    assert few.counts == [round(share * 128) for share in SHARES]
    assert few.count == 320
    measured = np.interp(320, [*more.counts, 320], [*more.accuracies, float(more.at(320))])
    assert few.low - 0.03 < measured < few.high + 0.03
    assert few.low <= few.accuracy <= few.high
    assert few.at(few.count) == pytest.approx(few.accuracy)


def test_shares_nest_and_have_all_classes():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    order = module._by_share(np.arange(100), labels, seed=3)
    assert sorted(order) == list(range(100))
    assert np.bincount(labels[order[:10]]).tolist() == [5, 3, 2]
    assert np.bincount(labels[order[:50]]).tolist() == [25, 15, 10]


def test_groups_are_not_divided():
    labels = np.arange(60) % 2
    groups = [str(number // 4) for number in range(60)]
    parts = module._parts(labels, groups, 0)
    assert all(len({parts[i] for i in range(60) if groups[i] == group}) == 1 for group in set(groups))
    assert set(parts) == set(range(5))


def test_affordable():
    assert is_affordable(np.r_[np.arange(50) % 2, [-1] * 10])
    assert not is_affordable(np.r_[np.arange(30) % 2, [-1] * 100])
    assert not is_affordable(np.zeros(100, int))
