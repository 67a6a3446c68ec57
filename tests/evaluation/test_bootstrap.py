"""The bootstrap against a loop over drawn items and against theory; McNemar's test by hand."""

import numpy as np
import pytest

from keras_fvvae.evaluation import bootstrap
from keras_fvvae.evaluation.bootstrap import bootstrap_intervals, mcnemar, resampling_weights


def _mean(values):
    return lambda weights: (weights @ values / weights.sum(axis=1))[:, None]


def test_weights_draw_as_many_items_as_there_are(monkeypatch):
    whole = np.concatenate(list(resampling_weights(10, 7, seed=3)))
    assert whole.shape == (7, 10)
    assert (whole.sum(axis=1) == 10).all()
    assert len(np.unique(whole, axis=0)) == 7
    assert (whole == np.round(whole)).all()
    monkeypatch.setattr(bootstrap, "BLOCK_NUMBERS", 20)
    blocks = list(resampling_weights(10, 7, seed=3))
    assert [len(block) for block in blocks] == [2, 2, 2, 1]
    assert np.array_equal(np.concatenate(blocks), whole)  # memory does not change the result


def test_strata_keep_their_sizes():
    strata = np.array([5, 5, 5, 1, 1, 2])
    (weights,) = resampling_weights(6, 50, strata=strata)
    assert (weights[:, strata == 5].sum(axis=1) == 3).all()
    assert (weights[:, 5] == 1).all()
    assert weights[:, 0].std() > 0.5


def test_interval_of_a_mean_is_that_of_theory():
    values = np.random.default_rng(0).normal(size=400)
    value, low, high = bootstrap_intervals(_mean(values), 400, resamples=4000)
    error = values.std() / np.sqrt(400)
    assert value[0] == pytest.approx(values.mean())
    assert low[0] == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert high[0] == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)
    _, narrow, _ = bootstrap_intervals(_mean(values), 400, resamples=4000, level=0.5)
    assert narrow[0] == pytest.approx(values.mean() - 0.674 * error, abs=0.1 * error)


def test_the_seed_is_the_result():
    values = np.arange(12.0)
    results = [np.concatenate(bootstrap_intervals(_mean(values), 12, seed=seed)).tolist() for seed in (4, 4, 5)]
    assert results[0] == results[1] != results[2]


def test_undefined_resamples_do_not_count():
    """The share of right answers of a class of one item: undefined where it is not drawn, else 1."""
    right = np.array([1.0, 0.0, 0.0])

    def statistic(weights):
        with np.errstate(invalid="ignore"):
            return np.stack([weights[:, 0] * right[0] / weights[:, 0], np.full(len(weights), np.nan)], axis=1)

    value, low, high = bootstrap_intervals(statistic, 3, resamples=50)
    assert (value[0], low[0], high[0]) == (1.0, 1.0, 1.0)
    assert np.isnan([value[1], low[1], high[1]]).all()


def test_no_resamples():
    value, low, high = bootstrap_intervals(_mean(np.array([1.0, 3.0])), 2, resamples=0)
    assert value.tolist() == [2.0]
    assert np.isnan([low[0], high[0]]).all()


@pytest.mark.parametrize(("name", "bad"), [("level", 1), ("level", 0), ("level", np.nan), ("resamples", -1)])
def test_settings_that_cannot_be(name, bad):
    with pytest.raises(ValueError, match=f"`{name}` must"):
        bootstrap_intervals(_mean(np.ones(2)), 2, **{name: bad})


def test_mcnemar_by_hand():
    first, second = [True] * 5 + [False] * 3, [False] * 4 + [True] * 2 + [False] * 2
    # 4 against 1: two-sided binomial of 5 fair coins, 2 * (5 + 1) / 32.
    assert mcnemar(first, second) == {"only_first": 4, "only_second": 1, "p_value": pytest.approx(0.375)}
    assert mcnemar(first, first)["p_value"] == 1.0
