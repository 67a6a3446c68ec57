"""Parts of a score of branches at several taps add up to it, over taps and over positions."""

import numpy as np
import pytest

from keras_fvvae.builders.encoders import build_classifier
from keras_fvvae.explanations import descriptor_contributions, score_split
from keras_fvvae.explanations.positions import on_grid
from keras_fvvae.layers import GramPCA
from tests.support.joined import joined_classifier, small_images


@pytest.fixture(scope="module")
def classifier():
    return joined_classifier()


def test_parts_of_images_add_up(classifier):
    images, (weights, bias) = small_images(4), classifier.svm.get_weights()
    parts = descriptor_contributions(classifier, images)
    scores = np.array(classifier(images))
    assert parts.shape == (4, 10 + 6 + 6)
    expected = scores.max(axis=1) - bias[scores.argmax(axis=1)]
    np.testing.assert_allclose(np.sum(parts, axis=1), expected, atol=1e-5)
    split = score_split(classifier.encoder, images)
    maps = split.maps(parts)
    assert maps.shape == (4, 4, 4)  # the finest of 4x4 and 2x3
    np.testing.assert_allclose(np.sum(maps, axis=(1, 2)), expected, atol=1e-5)
    # And of each branch: what its entries of the vector give.
    kernel = weights[:, scores.argmax(axis=1)].T
    products, ends = kernel * np.array(split.vectors), [0, 16, 41, 46]
    for number, own in enumerate(split.parts_of_branches(parts)):
        whole = products[:, ends[number] : ends[number + 1]].sum(axis=1)
        np.testing.assert_allclose(np.sum(own, axis=1), whole, atol=1e-5)
        assert np.abs(whole).max() > 1e-2


def test_parts_of_videos_add_up(classifier):
    videos, mask = small_images(2, 3), np.array([[True, False, True], [True, True, True]])
    videos[~mask] = np.nan
    parts = descriptor_contributions(classifier, videos, class_index=[2, 0], mask=mask)
    assert parts.shape == (2, 3, 22)
    assert not np.any(np.array(parts)[~mask])
    scores = np.array(classifier(videos, mask=mask)) - classifier.svm.get_weights()[1]
    np.testing.assert_allclose(np.sum(parts, axis=(1, 2)), scores[[0, 1], [2, 0]], atol=1e-5)


def test_parts_of_compressed_vectors_add_up(classifier):
    images, pca = small_images(6), GramPCA(3, normalization="l2")
    pca.adapt(np.array(classifier.encoder(images)))
    compressed = build_classifier(classifier.encoder.with_compression(pca), classifier.class_names)
    kernel = np.random.default_rng(0).normal(size=(3, 3)).astype("float32")
    compressed.svm.set_weights([kernel, np.zeros(3)])
    parts, constant = score_split(compressed.encoder, images).split(np.repeat(kernel[None, :, 1], 6, axis=0))
    assert np.abs(constant).max() > 1e-3
    np.testing.assert_allclose(np.sum(parts, axis=1) + constant, compressed(images)[:, 1], atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3), (4, 6), (5, 7), (1, 1)])
def test_sums_and_places_stay_on_another_grid(shape):
    maps = np.zeros((2, 2, 3), "float32")
    maps[:, 0, 2] = [1, 5]  # the upper right
    placed = np.array(on_grid(maps, shape))
    assert placed.shape == (2, *shape)
    np.testing.assert_allclose(placed.sum(axis=(1, 2)), [1, 5], rtol=1e-6)
    height, width = shape
    if height > 1:
        assert placed[:, : -(-height // 2), width * 2 // 3 :].sum() == pytest.approx(6)
