"""Calibrations of several classes: fitted, stored, and the same as tensors."""

import keras
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn.isotonic import IsotonicRegression

from keras_fvvae.svm import UNSEEN_SCORE, OneVsRestSVM
from keras_fvvae.svm.calibration import METHODS, Calibration
from keras_fvvae.svm.calibrators import fit_calibration, fit_temperature, platt_targets

FOLDS = np.arange(90) // 18


def _items(seed=0, scale=0.4, count=90):
    """Decision values of three classes of unequal size, half the margin of what the labels say."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1, 2], [count // 2, count // 3, count - count // 2 - count // 3]))
    return scale * (np.eye(3)[labels] * [1.0, 1.5, 0.7] - 0.5 + 0.6 * rng.normal(size=(count, 3))), labels


@pytest.fixture(scope="module", params=METHODS)
def fitted(request):
    return fit_calibration(request.param, *_items(), FOLDS)


def test_rows_sum_to_one_and_tensors_give_the_same(fitted):
    calibration, _ = fitted
    scores = np.concatenate([_items(1)[0], [[50.0, -50.0, 0.0], [-90.0, -90.0, -80.0]]])
    got = calibration.probabilities(scores)
    np.testing.assert_allclose(got.sum(axis=1), 1.0, rtol=1e-12)
    assert (got > 0).all()
    tensors = calibration.probabilities(keras.ops.convert_to_tensor(scores.astype("float32")), xp=keras.ops)
    assert keras.backend.standardize_dtype(tensors.dtype) == "float32"
    np.testing.assert_allclose(keras.ops.convert_to_numpy(tensors), got, atol=2e-5)


def test_it_survives_its_config(fitted):
    calibration, _ = fitted
    again = Calibration.from_config(calibration.get_config())
    assert again == calibration
    assert again.num_classes in (None, 3)


def test_an_item_has_no_part_in_its_held_out_probability(fitted):
    calibration, held_out = fitted
    scores, labels = _items()
    changed = scores.copy()
    changed[FOLDS == 2] += np.random.default_rng(3).normal(size=(18, 3))  # what is said of the fold itself changes
    other, moved = fit_calibration(calibration.method, changed, labels, FOLDS)
    without = FOLDS != 2
    alone, _ = fit_calibration(calibration.method, scores[without], labels[without], FOLDS[without])
    np.testing.assert_allclose(held_out[FOLDS == 2], alone.probabilities(scores[FOLDS == 2]), rtol=1e-6)
    assert other != calibration
    assert np.abs(moved[FOLDS == 2] - held_out[FOLDS == 2]).max() > 0.01


def test_an_unseen_class_is_impossible(fitted):
    calibration, _ = fitted
    scores = np.insert(_items(1)[0], 1, UNSEEN_SCORE, axis=1)
    got = calibration.expanded(np.array([0, 2, 3]), 4).probabilities(scores.astype("float32"))
    assert (got[:, 1] == 0).all()
    np.testing.assert_allclose(got[:, [0, 2, 3]], calibration.probabilities(_items(1)[0]), atol=2e-5)


def test_temperature_is_the_most_likely():
    scores, labels = _items()
    targets = np.full(scores.shape, 1 / 92 / 2)
    targets[np.arange(90), labels] = 91 / 92

    def loss(inverse):
        return -np.sum(targets * (inverse * scores - logsumexp(inverse * scores, axis=1, keepdims=True)))

    expected = 1 / minimize(loss, 1.0, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-12}).x[0]
    assert fit_temperature(scores, labels) == pytest.approx(expected, rel=1e-4)
    assert fit_temperature(1e4 * scores, labels) == pytest.approx(1e4 * expected, rel=1e-4)
    calibration, _ = fit_calibration("temperature", scores, labels, FOLDS)
    np.testing.assert_allclose(calibration.probabilities(scores), softmax(scores / expected, axis=1), atol=1e-4)


def test_isotonic_is_scikit_learns():
    scores, labels = _items()
    calibration, _ = fit_calibration("isotonic", scores, labels, FOLDS)
    shares = np.stack(
        [
            IsotonicRegression(out_of_bounds="clip").fit(scores[:, k], platt_targets(labels == k)).predict(scores[:, k])
            for k in range(3)
        ],
        axis=1,
    )
    np.testing.assert_allclose(calibration.probabilities(scores), shares / shares.sum(axis=1, keepdims=True), atol=1e-9)


@pytest.mark.parametrize(("count", "draws"), [(49, 300), (5000, 20)])
def test_a_threshold_refuses_no_more_than_it_says(count, draws):
    """Over many draws of the held-out items and of new ones; of many, a thousand confidences are kept."""
    rng = np.random.default_rng(0)
    refused = []
    for _ in range(draws):
        scores = rng.normal(size=(count + 200, 1)) @ [[1.0, -1.0]]
        own, labels = scores[:count], rng.integers(2, size=count)
        calibration, _ = fit_calibration("temperature", own, labels, np.zeros(count, int))
        assert len(calibration.confidences) == min(count, 1000)
        new = calibration.probabilities(scores[count:]).max(axis=1)
        refused.append(np.mean(new < calibration.threshold(0.9)))
    assert 0.08 < np.mean(refused) < 0.105
    assert calibration.threshold(1.0) == 0.0


def test_few_confidences_cannot_promise_much():
    calibration = Calibration("temperature", {"temperature": 1.0}, [0.5, 0.7, 0.9])
    assert [calibration.threshold(coverage) for coverage in (0.9, 0.75, 0.5)] == [0.0, 0.5, 0.7]
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        calibration.threshold(0)
    with pytest.raises(ValueError, match="No confidences"):
        Calibration("temperature", {"temperature": 1.0}).threshold(0.5)


@pytest.mark.parametrize(
    ("method", "parameters", "confidences", "why"),
    [
        ("platt", {}, [], "one of sigmoid, temperature, isotonic"),
        ("temperature", {"T": 1.0}, [], "must be temperature"),
        ("temperature", {"temperature": float("nan")}, [], "positive number"),
        ("temperature", {"temperature": True}, [], "positive number"),
        ("temperature", {"temperature": 1.0}, [0.5, 0.4], "rising"),
        ("temperature", {"temperature": 1.0}, [0.5, 1.4], "from 0 to 1"),
        ("sigmoid", {"slopes": [1.0, 2.0], "offsets": [1.0]}, [], "one entry a class"),
        ("sigmoid", {"slopes": [1.0, "2"], "offsets": [1.0, 1.0]}, [], "must be numbers"),
        ("isotonic", {"knots": [[0.0, 0.0], [0.0, 1.0]], "values": [[0.0, 1.0]] * 2}, [], "rising"),
        ("isotonic", {"knots": [[0.0, 1.0]] * 2, "values": [[0.0, 1.0], [0.5, 0.1]]}, [], "must rise"),
    ],
)
def test_damaged(method, parameters, confidences, why):
    with pytest.raises(ValueError, match=why):
        Calibration.from_config({"method": method, "parameters": parameters, "confidences": confidences})
    with pytest.raises(ValueError, match="are expected"):
        Calibration.from_config({"method": method})


@pytest.mark.parametrize("classes", [2, 3])
def test_svm(classes):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % classes
    X = 2.0 * np.eye(12)[labels] + rng.normal(size=(60, 12))
    svm = OneVsRestSVM(probability="temperature", cv=3).fit(X, labels)
    got = svm.predict_proba(X)
    assert got.shape == (60, classes)
    assert np.array_equal(svm.classes_[got.argmax(axis=1)], svm.predict(X))
    kernel, bias = svm.dense_weights(classes + 1)
    dense = svm.dense_calibration(classes + 1).probabilities(X @ kernel + bias)
    np.testing.assert_allclose(dense, np.pad(got, [(0, 0), (0, 1)]), atol=1e-4)
    assert svm.cv_decisions_.shape == svm.cv_probabilities_.shape == (60, classes)
    # The SVM knows what it was fitted to: only what was left out tells how sure it can be.
    assert svm.cv_probabilities_[np.arange(60), labels].mean() < got[np.arange(60), labels].mean()
    with pytest.raises(ValueError, match="False, True or one of"):
        OneVsRestSVM(probability="platt").fit(X, labels)
