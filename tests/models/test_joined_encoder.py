"""Branches at several taps: one pass of the network, and the vectors of each as it would give them alone."""

import keras
import numpy as np
import pytest

from keras_fvvae.builders.encoders import load_encoder, load_model
from keras_fvvae.layers import GramPCA
from keras_fvvae.models import JoinedEncoder
from tests.support.joined import joined_classifier, small_backbone, small_branches, small_images

WEIGHTS = np.array([1, 3, 2]) / 6


@pytest.fixture(scope="module")
def classifier():
    return joined_classifier()


def _of_branches(encoder, images):
    return [np.array(branch(maps)) for branch, maps in zip(encoder.branches, encoder.backbone(images), strict=True)]


def test_vectors_are_those_of_the_branches(classifier):
    encoder, images = classifier.encoder, small_images(4)
    parts = _of_branches(encoder, images)
    vectors = np.array(encoder(images))
    expected = np.concatenate([np.sqrt(weight) * part for weight, part in zip(WEIGHTS, parts, strict=True)], axis=1)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert vectors.shape == (4, encoder.output_dim) == (4, 4 * 4 + 25 + 5)
    kernels = [weight * part @ part.T for weight, part in zip(WEIGHTS, parts, strict=True)]
    np.testing.assert_allclose(vectors @ vectors.T, sum(kernels), atol=1e-6)


def test_the_network_is_passed_once(classifier, monkeypatch):
    encoder, passes, call = classifier.encoder, [], keras.Model.__call__
    monkeypatch.setattr(
        type(encoder.backbone),
        "__call__",
        lambda self, inputs, **options: passes.append(self.name) or call(self, inputs, **options),
    )
    encoder(small_images(2))
    assert passes.count("small") == 1


def test_a_video_is_the_mean_of_its_frames(classifier):
    encoder, videos = classifier.encoder, small_images(2, 3)
    mask = np.array([[True, False, True], [True, True, True]])
    raw = np.array(encoder.encode_raw(videos.reshape(6, *videos.shape[2:]))).reshape(2, 3, -1)
    means = np.stack([raw[0, [0, 2]].mean(axis=0), raw[1].mean(axis=0)])
    videos[~mask] = np.nan
    np.testing.assert_allclose(encoder.encode_raw(videos, mask=mask), means, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(encoder(videos, mask=mask), encoder.normalize(means), atol=1e-5)


def test_survives_saving(classifier, tmp_path):
    images = small_images(4)
    classifier.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), classifier(images))
    assert load_encoder(tmp_path / "model.keras").branch_weights == classifier.encoder.branch_weights


def test_compression(classifier):
    encoder, images = classifier.encoder, small_images(6)
    pca = GramPCA(3, normalization="l2")
    pca.adapt(np.array(encoder(images)))
    np.testing.assert_allclose(encoder.with_compression(pca)(images), pca(encoder(images)), atol=1e-6)


def test_what_was_not_adapted_is_refused():
    encoder = JoinedEncoder(small_branches(), small_backbone())
    encoder.build((None, 9, 8, 3))
    with pytest.raises(ValueError, match="call `adapt` on"):
        encoder.normalize_on_batch(encoder.predict_raw_on_batch(small_images(2)))


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda b: {"branches": b[:2]}, ValueError, "one a map. Received: 2, and 3 maps"),
        (lambda b: {"branches": [*b[:2], keras.layers.ReLU()]}, TypeError, "must be a FisherEncoder"),
        (lambda b: {"branches": b, "branch_weights": [1, 2]}, ValueError, "must be 3 numbers"),
        (lambda b: {"branches": b, "branch_weights": [0, 0, 0]}, ValueError, "not all 0"),
        (lambda b: {"branches": b, "branch_weights": [1, -1, 1]}, ValueError, "none negative"),
    ],
)
def test_wrong_arguments(change, error, said):
    with pytest.raises(error, match=said):
        JoinedEncoder(backbone=small_backbone(), **change(small_branches()))
