import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, top_k_accuracy_score

from keras_fvvae.evaluation.metrics import classification_metrics


def _scores(classes=6, examples=40):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, examples)
    return rng.normal(size=(examples, classes)) + 1.2 * np.eye(classes)[labels], labels


def _names(count):
    return [f"class {index}" for index in range(count)]


def test_agrees_with_scikit_learn():
    scores, labels = _scores()
    metrics = classification_metrics(scores, labels, _names(6))
    predicted = scores.argmax(axis=1)
    assert metrics["examples"] == 40
    assert metrics["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert metrics["mean_class_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert metrics["top3_accuracy"] == pytest.approx(top_k_accuracy_score(labels, scores, k=3))
    assert 0.3 < metrics["accuracy"] < metrics["top3_accuracy"] < 1


def test_by_hand():
    scores = [[2, 1, 0], [2, 1, 0], [0, 1, 0], [0, 0, 5]]
    metrics = classification_metrics(scores, [0, 1, 1, 1], ["a", "b", "c"])
    assert metrics["accuracy"] == 0.5
    assert metrics["standard_error"] == 0.25  # sqrt(0.5 * 0.5 / 4)
    assert metrics["confusion"] == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert metrics["class_accuracy"] == {"a": 1.0, "b": pytest.approx(1 / 3)}
    assert metrics["mean_class_accuracy"] == pytest.approx(2 / 3)
    assert "top3_accuracy" not in metrics


def test_is_plain_data():
    """What is written to metrics.json."""
    import json

    metrics = classification_metrics(*_scores(), _names(6))
    assert json.loads(json.dumps(metrics)) == metrics


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite(bad):
    scores, labels = _scores()
    scores[0, 0] = bad
    with pytest.raises(ValueError, match="`scores` must be finite"):
        classification_metrics(scores, labels, _names(6))


@pytest.mark.parametrize("shape", [(40, 5), (39, 6), (40,)])
def test_lengths_that_differ(shape):
    with pytest.raises(ValueError, match=r"`scores` must be \(examples, classes\) = \(40, 6\). Received: shape="):
        classification_metrics(np.zeros(shape), _scores()[1], _names(6))


@pytest.mark.parametrize("label", [-1, 6])
def test_label_that_is_no_class(label):
    """It would count as an error in the accuracy and be missing from the confusion matrix."""
    scores, labels = _scores()
    labels[3] = label
    with pytest.raises(ValueError, match="`labels`"):
        classification_metrics(scores, labels, _names(6))


def test_no_examples():
    with pytest.raises(ValueError, match="`scores`|`labels`"):
        classification_metrics(np.zeros((0, 3)), np.zeros(0, int), _names(3))
