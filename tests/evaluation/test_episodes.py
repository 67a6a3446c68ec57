"""Few-shot episodes: against a loop over vectors, and how they are drawn."""

import numpy as np
import pytest

from keras_fvvae.errors import DataError
from keras_fvvae.evaluation import episodes as module
from keras_fvvae.evaluation.episodes import few_shot_accuracies


def _items(classes=6, each=12, noise=0.6):
    labels = np.repeat(np.arange(classes), each)
    vectors = np.eye(classes, 16)[labels] + noise * np.random.default_rng(0).normal(size=(len(labels), 16))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


def test_means_are_the_nearest_of_the_vectors():
    vectors, _ = _items()
    support, query = vectors[::5][:12], vectors[1::5]
    means = support.reshape(4, 3, -1).mean(axis=1)
    expected = ((query[:, None] - means) ** 2).sum(axis=2)
    scores = module._mean_scores(support @ support.T, query @ support.T, ways=4, shots=3)
    np.testing.assert_allclose(scores, ((query**2).sum(axis=1)[:, None] - expected) / 2, atol=1e-12)


def test_more_shots_help_and_intervals_are_of_the_mean():
    vectors, labels = _items()
    gram = vectors @ vectors.T
    one, five = (few_shot_accuracies(gram, labels, 4, shots, 5, 30) for shots in (1, 5))
    for name in ("nearest mean", "SVM"):
        assert 0.25 < one[name]["low"] < one[name]["value"] < one[name]["high"] < five[name]["low"]
    assert few_shot_accuracies(gram, labels, 4, 1, 5, 30) == one
    assert few_shot_accuracies(gram, labels, 4, 1, 5, 30, seed=1) != one
    more = few_shot_accuracies(gram, labels, 4, 1, 5, 8)
    assert more["SVM"]["high"] - more["SVM"]["value"] > 1.3 * (one["SVM"]["high"] - one["SVM"]["value"])


def test_labels_that_say_nothing_give_chance():
    vectors, labels = _items()
    found = few_shot_accuracies(vectors @ vectors.T, np.random.default_rng(3).permutation(labels), 4, 1, 5, 40)
    assert abs(found["SVM"]["value"] - 0.25) < 0.08


def test_classes_that_are_too_small():
    with pytest.raises(DataError, match=r"0 classes have 20 items or more \(5 to learn from, 15 to classify\)"):
        few_shot_accuracies(np.eye(72), _items()[1], shots=5)
