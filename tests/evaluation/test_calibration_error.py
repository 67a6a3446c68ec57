import numpy as np
import pytest

from keras_fvvae.evaluation.calibration_error import calibration_error, reliability


def _answers(count, gap, seed):
    """Confidences, and answers that are right less often by `gap`."""
    rng = np.random.default_rng(seed)
    confidences = rng.beta(4, 1, size=count)
    return confidences, rng.random(count) < np.clip(confidences - gap, 0, 1)


def test_against_a_loop():
    confidences, right = _answers(205, 0.1, seed=0)
    order = np.argsort(confidences)
    parts = np.array_split(order, 10)
    expected = sum(len(part) * abs(confidences[part].mean() - right[part].mean()) for part in parts) / 205
    error = calibration_error(confidences, right, resamples=0)
    assert error["value"] == pytest.approx(expected)
    assert (error["low"], error["high"]) == (None, None)
    assert [one["items"] for one in error["bins"]] == [len(part) for part in parts]
    for one, part in zip(error["bins"], parts, strict=True):
        assert one["accuracy"] == right[part].mean()
        assert one["low"] < one["accuracy"] or one["accuracy"] == 0
        assert one["high"] > one["accuracy"] or one["accuracy"] == 1


@pytest.mark.parametrize("gap", [0.0, 0.2])
def test_intervals_hold_the_truth(gap):
    """Percentiles of the bootstrap never would for a perfect calibration, whose error of few items is chance alone."""
    errors = [calibration_error(*_answers(200, gap, seed), resamples=200, seed=seed) for seed in range(40)]
    truth = np.mean([min(confidence, gap) for confidence in np.random.default_rng(1).beta(4, 1, size=10_000)])
    assert np.mean([error["low"] <= truth <= error["high"] for error in errors]) > 0.85
    assert all(error["low"] <= error["value"] <= error["high"] for error in errors)
    assert np.mean([error["chance"] for error in errors]) == pytest.approx(0.06, abs=0.01)
    assert (np.mean([error["value"] for error in errors]) > 0.1) == (gap > 0)


def test_of_the_class_that_is_answered():
    """The best score's, where another class is the more probable one."""
    probabilities, scores = np.array([[0.6, 0.4]] * 20), np.array([[0.0, 1.0]] * 20)
    errors = reliability(probabilities, scores, np.ones(20, bool), resamples=0)
    assert errors["calibrated"]["value"] == pytest.approx(0.6)
    assert errors["uncalibrated"]["value"] == pytest.approx(1 - 1 / (1 + np.exp(-1)))


def test_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        calibration_error(np.array([1.5]), np.array([True]))
    with pytest.raises(ValueError, match="As many confidences as answers"):
        calibration_error(np.array([0.5]), np.array([True, False]))
