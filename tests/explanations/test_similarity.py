"""The split of a similarity over the descriptors of both: of images, of videos, of joined and compressed vectors."""

import numpy as np
import pytest

from keras_fvvae.explanations import similarity_split
from keras_fvvae.explanations.score_split import ScoreSplit
from keras_fvvae.explanations.similarity import split_of_match
from keras_fvvae.layers import GramPCA
from tests.explanations.test_score_split import HEADS, _classifier, _inputs
from tests.support.joined import joined_classifier, small_images


def _cosines(one, other):
    one, other = (np.asarray(vectors, "float64") for vectors in (one, other))
    return np.sum(one * other, axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def _check(encoder, first, second, first_mask=None, second_mask=None):
    split = similarity_split(encoder, first, second, first_mask, second_mask)
    expected = _cosines(encoder(first, mask=first_mask), encoder(second, mask=second_mask))
    np.testing.assert_allclose(split.similarity, expected, atol=1e-5)
    for parts, constant in ((split.first, split.first_constant), (split.second, split.second_constant)):
        sums = np.sum(np.reshape(parts, (len(parts), -1)), axis=1) + constant
        np.testing.assert_allclose(sums, expected, atol=1e-5)
        assert np.std(parts) > 1e-4
    return split


@pytest.mark.parametrize("name", ["fv_vae", "kronecker", "spectral", "bilinear", "vlad", "average"])
def test_parts_of_images_add_up_to_the_similarity(name):
    assert name in HEADS
    encoder = _classifier(name).encoder
    one, other = _inputs(seed=1), _inputs(seed=2)
    split = _check(encoder, one, other)
    exchanged = similarity_split(encoder, other, one)
    np.testing.assert_allclose(exchanged.first, split.second, atol=1e-6)


def test_videos_of_several_lengths():
    encoder = _classifier("fv_vae").encoder
    mask = np.array([[True, True, False], [True, False, False]])
    one = _inputs(2, frames=3, seed=1)
    one[~mask] = np.nan  # padding may hold anything
    split = _check(encoder, one, _inputs(2, frames=5, seed=2), first_mask=mask)
    assert not np.asarray(split.first)[~mask].any()


def test_compressed_vectors_have_a_constant_part():
    pca = GramPCA(4, normalization="l2")
    split = _check(_classifier("fv_vae", compression=pca).encoder, _inputs(seed=1), _inputs(seed=2))
    assert np.abs(split.first_constant).min() > 1e-4


def test_branches():
    _check(joined_classifier().encoder, small_images(2, seed=1), small_images(2, seed=2))


def test_nothing_in_common_with_nothing():
    encoder = _classifier("average").encoder
    similarity, parts, constant = split_of_match(
        ScoreSplit(encoder, np.zeros((1, 6, 7, 5), "float32")), np.zeros((1, 5), "float32")
    )
    assert not any(np.asarray(one).any() for one in (similarity, parts, constant))
