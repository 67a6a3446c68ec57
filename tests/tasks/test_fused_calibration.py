"""Calibration of fused scores: items and classes are matched by name, and where there is none, why."""

import dataclasses

import numpy as np
import pytest

from keras_fvvae.errors import RunError
from keras_fvvae.svm.calibrators import fit_calibration
from keras_fvvae.tasks.fused_calibration import HeldOutScores, fused_calibration

CLASSES = ["ape", "bee", "cat"]
NAMES = [f"v{number}.avi" for number in range(30)]
LABELS = np.arange(30) % 3
FOLDS = np.arange(30) // 6


def _stream(seed, names=NAMES, classes=CLASSES, method="temperature"):
    scores = np.eye(3)[LABELS] + 0.5 * np.random.default_rng(seed).normal(size=(30, 3))
    columns = [CLASSES.index(name) for name in classes]
    labels = np.array(CLASSES, object)[LABELS]
    return HeldOutScores(f"run{seed}", list(names), labels, list(classes), scores[:, columns], FOLDS, method)


def _assert_alike(one, other):
    """Equal but for the last digits: processors multiply and add in one rounding or in two."""
    scores = np.random.default_rng(0).normal(size=(50, len(CLASSES)))
    assert one.method == other.method
    np.testing.assert_allclose(one.probabilities(scores), other.probabilities(scores), rtol=1e-6)
    np.testing.assert_allclose(one.confidences, other.confidences, rtol=1e-6)


@pytest.mark.parametrize("method", ["temperature", "sigmoid", "isotonic"])
def test_by_hand(method):
    one, two = _stream(1, method=method), _stream(2)
    calibration, said = fused_calibration([one, two], [1, 3], CLASSES)
    expected, _ = fit_calibration(method, (one.scores + 3 * two.scores) / 4, LABELS, FOLDS)
    _assert_alike(calibration, expected)
    assert said.startswith(f"Probabilities of the fused scores: {method}, fitted to")


def test_other_orders_of_items_and_classes():
    plain = fused_calibration([_stream(1), _stream(2)], None, CLASSES)
    turned = _stream(2, classes=CLASSES[::-1])
    order = np.random.default_rng(0).permutation(30)
    turned = dataclasses.replace(
        turned,
        # Flow lies in folders, which have no extension.
        names=[turned.names[row].removesuffix(".avi") for row in order],
        labels=turned.labels[order],
        scores=turned.scores[order],
        folds=turned.folds[order],
    )
    assert fused_calibration([_stream(1), turned], None, CLASSES) == plain


def test_items_of_one_run_alone_have_no_part():
    one, two = _stream(1), _stream(2)
    fewer = dataclasses.replace(two, names=NAMES[:24], labels=two.labels[:24], scores=two.scores[:24], folds=FOLDS[:24])
    assert "on 24 training videos" in fused_calibration([one, fewer], None, CLASSES)[1]


def test_a_class_without_training_items_has_probability_0():
    calibration, _ = fused_calibration([_stream(1, method="sigmoid"), _stream(2)], None, ["ape", "auk", "bee", "cat"])
    assert calibration.probabilities(np.array([[1.0, -1e4, 0.0, 0.0]]))[0, 1] == pytest.approx(0, abs=1e-6)


def test_where_there_is_none():
    one, two = _stream(1), _stream(2)
    assert fused_calibration([one, None], None, CLASSES)[0] is None
    other = dataclasses.replace(two, class_names=["ape", "bee", "cow"])
    calibration, why = fused_calibration([one, other], None, CLASSES)
    assert (calibration, "items of other classes" in why) == (None, True)
    apes = dataclasses.replace(two, names=[f"{label}{name}" if label else name for label, name in enumerate(NAMES)])
    calibration, why = fused_calibration([one, apes], None, CLASSES)
    assert (calibration, "no training videos of 'bee' in common" in why) == (None, True)
    with pytest.raises(RunError, match="run1, run2 disagree about the labels of their training items, as of 'v0'"):
        fused_calibration([one, dataclasses.replace(two, labels=two.labels[::-1])], None, CLASSES)
