import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from keras_fvvae.svm.calibration import Calibration
from keras_fvvae.svm.calibrators import fit_sigmoid


def _scores(samples=300, slope=2.0, offset=-0.7):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=samples)
    return scores, rng.random(samples) < expit(slope * scores + offset)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_maximum_likelihood_with_platts_targets(scale):
    scores, target = _scores()
    positive, negative = target.sum(), (~target).sum()
    wanted = np.where(target, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(parameters):
        logits = parameters[0] * scores + parameters[1]
        return np.sum(wanted * np.logaddexp(0, -logits) + (1 - wanted) * np.logaddexp(0, logits))

    expected = minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).x
    slope, offset = fit_sigmoid(scale * scores, target)
    np.testing.assert_allclose([slope * scale, offset], expected, rtol=1e-5)
    assert expected == pytest.approx([2.0, -0.7], abs=0.5)


def test_separated_classes_have_a_finite_slope():
    slope, offset = fit_sigmoid(np.array([-3.0, -2.0, 2.0, 3.0]), np.array([False, False, True, True]))
    assert 0 < slope < 10
    assert abs(offset) < 1e-6


def _sigmoids(slopes, offsets):
    return Calibration("sigmoid", {"slopes": slopes, "offsets": offsets})


def test_probabilities_of_several_classes():
    scores = np.array([[1.0, -1.0, 0.5], [-2000.0, -1000.0, -3000.0]])
    got = _sigmoids([2.0, 1.0, 3.0], [0.1, 0.0, -0.2]).probabilities(scores)
    expected = expit(scores[0] * [2.0, 1.0, 3.0] + [0.1, 0.0, -0.2])
    np.testing.assert_allclose(got[0], expected / expected.sum(), rtol=1e-12)
    np.testing.assert_allclose(got[1], [0.0, 1.0, 0.0], atol=1e-12)


def test_probabilities_of_two_classes():
    scores = np.array([[0.5], [-2.0]])
    got = _sigmoids([2.0, 2.0], [-0.3, 0.3]).probabilities(np.concatenate([-scores, scores], axis=1))
    np.testing.assert_allclose(got[:, 1], expit([1.3, -3.7]), rtol=1e-12)
    np.testing.assert_allclose(got.sum(axis=1), 1.0)
