"""Kernels against plain products, and SVMs on them against the SVM on the vectors."""

import numpy as np
import pytest
from sklearn.svm import SVC

from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.svm.kernels import fold_numbers, kernel_matrix, kernel_scores, out_of_fold_scores


def _vectors(items=45, dimensions=20, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, items)
    vectors = rng.normal(size=(items, dimensions)) + 1.2 * np.eye(dimensions)[labels]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


def test_gram_in_blocks(tmp_path):
    vectors = 3 * _vectors()[0].astype("float32")
    np.save(tmp_path / "x.npy", vectors)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    rows, others = [5, 2, 9], [0, 5]
    expected = vectors[rows].astype("float64") @ vectors[others].T.astype("float64")
    assert np.allclose(kernel_matrix(mapped, rows, others, block_columns=7), expected, rtol=1e-12)
    assert np.allclose(kernel_matrix(mapped, rows, others, normalize=True, block_columns=7), expected / 9, rtol=1e-5)
    assert np.allclose(np.diag(kernel_matrix(mapped, rows, normalize=True, block_columns=7)), 1)


def test_zero_vectors_stay_zero():
    assert kernel_matrix(np.array([[0.0, 0.0], [1.0, 1.0]]), [0, 1], normalize=True).round(9).tolist() == [
        [0, 0],
        [0, 1],
    ]


@pytest.mark.parametrize("classes", [2, 3])
def test_scores_are_those_of_the_svm_on_the_vectors(classes):
    vectors, labels = _vectors(classes=classes)
    gram = kernel_matrix(vectors, range(len(vectors)))
    scores = kernel_scores(gram[:30, :30], labels[:30], gram[30:, :30], classes, C=10.0)
    expected = OneVsRestSVM(C=10.0).fit(vectors[:30], labels[:30]).decision_function(vectors[30:])
    if classes == 2:
        expected = np.stack([-expected, expected], axis=1)
    assert np.allclose(scores, expected, atol=2e-3)  # the solver's tolerance


def test_scores_are_those_of_scikit_learn():
    vectors, labels = _vectors()
    gram = kernel_matrix(vectors, range(45))
    scores = kernel_scores(gram[:30, :30], labels[:30], gram[30:, :30], 3, C=10.0)
    for label in range(3):
        solver = SVC(C=10.0, kernel="precomputed").fit(gram[:30, :30], labels[:30] == label)
        np.testing.assert_allclose(scores[:, label], solver.decision_function(gram[30:, :30]), atol=1e-12)


def test_weighted_kernels_are_concatenated_vectors():
    """Section 5.3's other fusion: scaled by the roots of the weights and concatenated."""
    (one, labels), (other, _) = _vectors(seed=0), _vectors(dimensions=9, seed=1)
    weights = [0.7, 0.3]
    grams = [kernel_matrix(vectors, range(45)) for vectors in (one, other)]
    kernel = weights[0] * grams[0] + weights[1] * grams[1]
    scores = kernel_scores(kernel[:30, :30], labels[:30], kernel[30:, :30], 3, C=10.0)
    joined = np.concatenate([np.sqrt(weights[0]) * one, np.sqrt(weights[1]) * other], axis=1)
    expected = OneVsRestSVM(C=10.0).fit(joined[:30], labels[:30]).decision_function(joined[30:])
    assert np.allclose(scores, expected, atol=2e-3)


def test_a_class_that_is_not_trained_is_never_preferred():
    vectors, labels = _vectors()
    gram = kernel_matrix(vectors, range(45))
    scores = kernel_scores(gram, 2 * labels, gram, 6, C=1.0)  # classes 1, 3 and 5 are not there
    assert set(scores.argmax(axis=1)) <= {0, 2, 4}
    assert np.abs(scores).max() < 10
    with pytest.raises(ValueError, match="at least two classes. Received: .1"):
        kernel_scores(gram, np.ones(45, int), gram, 3, C=1.0)


def test_folds_have_every_class_and_every_item_once():
    labels = np.repeat([0, 1, 2], [20, 11, 3])
    parts = fold_numbers(labels, 5)
    for label, count in enumerate([20, 11, 3]):
        sizes = np.bincount(parts[labels == label], minlength=5)
        assert sizes.sum() == count
        assert np.ptp(sizes) <= 1
    assert np.ptp(np.bincount(parts)) <= 1
    assert not np.array_equal(parts, fold_numbers(labels, 5, seed=1))
    assert np.array_equal(parts, fold_numbers(labels, 5))
    for folds in (1, 35):
        with pytest.raises(ValueError, match="`folds` must be from 2 to 34"):
            fold_numbers(labels, folds)


def test_out_of_fold_scores_have_not_seen_the_item():
    """On labels drawn at random an SVM that has seen an item is right, and one that has not is not."""
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(60, 200)), rng.integers(0, 3, 60)
    gram = kernel_matrix(vectors, range(60), normalize=True)
    seen = kernel_scores(gram, labels, gram, 3, C=100.0).argmax(axis=1) == labels
    held_out = out_of_fold_scores(gram, labels, 3, C=100.0).argmax(axis=1) == labels
    assert seen.mean() == 1.0
    assert held_out.mean() < 0.55


def test_out_of_fold_scores_by_hand():
    vectors, labels = _vectors()
    scores = out_of_fold_scores(kernel_matrix(vectors, range(45)), labels, 3, C=10.0, folds=4, seed=2)
    parts = fold_numbers(labels, 4, seed=2)
    for part in range(4):
        svm = OneVsRestSVM(C=10.0).fit(vectors[parts != part], labels[parts != part])
        assert np.allclose(scores[parts == part], svm.decision_function(vectors[parts == part]), atol=2e-3)
