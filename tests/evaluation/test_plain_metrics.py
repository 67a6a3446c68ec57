"""What `metrics.json` holds: the values of `evaluate_scores` as numbers."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, top_k_accuracy_score

from keras_fvvae.evaluation.evaluate import evaluate_scores, plain_metrics
from keras_fvvae.evaluation.intervals import wilson_interval


def _scores(classes=6, examples=40):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, examples)
    return rng.normal(size=(examples, classes)) + 1.2 * np.eye(classes)[labels], labels


def _names(count):
    return [f"class {index}" for index in range(count)]


def test_agrees_with_scikit_learn():
    scores, labels = _scores()
    metrics = plain_metrics(scores, labels, _names(6))
    predicted = scores.argmax(axis=1)
    assert metrics["examples"] == 40
    assert metrics["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert metrics["mean_class_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert metrics["top3_accuracy"] == pytest.approx(top_k_accuracy_score(labels, scores, k=3))
    assert 0.3 < metrics["accuracy"] < metrics["top3_accuracy"] < 1


def test_by_hand():
    scores = [[2, 1, 0], [2, 1, 0], [0, 1, 0], [0, 0, 5]]
    metrics = plain_metrics(scores, [0, 1, 1, 1], ["a", "b", "c"])
    assert metrics["accuracy"] == 0.5
    assert metrics["standard_error"] == 0.25  # sqrt(0.5 * 0.5 / 4)
    assert metrics["accuracy_interval"] == list(wilson_interval(0.5, 4))
    assert metrics["confusion"] == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert metrics["class_accuracy"] == {"a": 1.0, "b": pytest.approx(1 / 3)}
    assert metrics["mean_class_accuracy"] == pytest.approx(2 / 3)
    assert "top3_accuracy" not in metrics


def test_all_right_is_not_certain():
    metrics = plain_metrics(np.eye(3)[[0, 1, 2]], [0, 1, 2], ["a", "b", "c"])
    assert metrics["accuracy"] == 1.0
    assert metrics["accuracy_interval"] == pytest.approx([0.4385, 1.0], abs=1e-4)


def test_several_labels_count_as_hits_and_the_first_as_the_class():
    scores, labels = _scores()
    sets = [(label, (label + 1) % 6) for label in labels.tolist()]
    metrics, single = (plain_metrics(scores, labels, _names(6), each) for each in (sets, None))
    expected = evaluate_scores(scores, sets, _names(6), resamples=0)
    for name in ("accuracy", "top3_accuracy", "mean_average_precision"):
        assert metrics[name] == expected[name]["value"]
        assert metrics[name] != single[name]
    for name in ("mean_class_accuracy", "class_accuracy", "confusion"):
        assert metrics[name] == single[name]
    assert metrics["standard_error"] == np.sqrt(metrics["accuracy"] * (1 - metrics["accuracy"]) / 40)


def test_is_plain_data():
    """What is written to metrics.json."""
    metrics = plain_metrics(*_scores(), _names(6))
    assert json.loads(json.dumps(metrics)) == metrics


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite(bad):
    scores, labels = _scores()
    scores[0, 0] = bad
    with pytest.raises(ValueError, match="`scores` must be finite"):
        plain_metrics(scores, labels, _names(6))


@pytest.mark.parametrize("shape", [(40, 5), (39, 6), (40,)])
def test_lengths_that_differ(shape):
    with pytest.raises(ValueError, match=r"`scores` must be \(items, classes\) = \(40, 6\). Received: shape="):
        plain_metrics(np.zeros(shape), _scores()[1], _names(6))


@pytest.mark.parametrize("label", [-1, 6])
def test_label_that_is_no_class(label):
    """It would count as an error in the accuracy and be missing from the confusion matrix."""
    scores, labels = _scores()
    labels[3] = label
    with pytest.raises(ValueError, match="`labels`"):
        plain_metrics(scores, labels, _names(6))


def test_no_examples():
    with pytest.raises(ValueError, match="There are no items to evaluate"):
        plain_metrics(np.zeros((0, 3)), np.zeros(0, int), _names(3))
