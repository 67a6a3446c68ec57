import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers import FisherNormalization, FisherVectorHead, FVVAELayer, SpatialPyramidPooling
from keras_fvvae.models import FVVAE, FisherEncoder
from tests.support.layer_harness import HALF_PRECISION
from tests.support.numpy_reference import NumpyFVVAE, firing, pyramid_pooling, randomize

LEVELS = (2, 1)


def _maps(*leading, seed=0):
    return np.random.default_rng(seed).normal(scale=2.0, size=(*leading, 4, 5, 3)).astype("float32")


def _encoder(information="diagonal", backbone=None):
    layer = FVVAELayer(latent_dim=2)
    layer.build((None, None, 3))
    randomize(layer, seed=83)  # every unit fires for some descriptors
    encoder = FisherEncoder(
        SpatialPyramidPooling(LEVELS), FisherVectorHead(layer), FisherNormalization(information), backbone
    )
    encoder.normalization.adapt(encoder.encode_raw(_maps(9, seed=5)))
    return encoder


def _raw_in_numpy(encoder, maps):
    reference = NumpyFVVAE(encoder.head.fvvae)
    return np.array([reference.fisher_vector(image) for image in pyramid_pooling(maps, LEVELS, np.max)])


def test_raw_vectors_of_images_are_eq_11():
    encoder = _encoder()
    raw = encoder.encode_raw(_maps(4))
    assert raw.shape == (4, 3, 3)
    shares = firing(encoder.head.fvvae, encoder.compute_descriptors(_maps(4)))
    assert 0.1 < shares.min() <= shares.max() < 0.95
    np.testing.assert_allclose(raw, _raw_in_numpy(encoder, _maps(4)), rtol=1e-4, atol=1e-5)


def test_raw_vector_of_a_video_is_the_mean_of_its_frames():
    encoder = _encoder()
    videos = _maps(2, 7)
    expected = np.mean(_raw_in_numpy(encoder, videos.reshape(14, 4, 5, 3)).reshape(2, 7, 3, 3), axis=1)
    np.testing.assert_allclose(encoder.encode_raw(videos), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("information", ["diagonal", "kronecker", "none"])
def test_vector_is_the_normalised_mean_not_the_mean_of_normalised_ones(information):
    encoder = _encoder(information)
    videos = _maps(2, 7)
    expected = encoder.normalization(encoder.encode_raw(videos))
    np.testing.assert_allclose(encoder(videos), np.reshape(expected, (2, 9)), rtol=1e-5)
    frames = np.array(encoder(videos.reshape(14, 4, 5, 3))).reshape(2, 7, 9).mean(axis=1)
    assert not np.allclose(encoder(videos), frames, atol=1e-3)


def test_vectors_have_unit_length_and_the_promised_dimension():
    encoder = _encoder()
    for inputs in (_maps(4), _maps(4, 2)):
        vectors = np.array(encoder(inputs))
        assert vectors.shape == encoder.compute_output_shape(inputs.shape) == (4, encoder.output_dim) == (4, 9)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


def test_video_of_one_frame_is_an_image():
    encoder = _encoder()
    np.testing.assert_allclose(encoder(_maps(3)[:, np.newaxis]), encoder(_maps(3)), rtol=1e-5)


def _mask():
    return np.array([[True, False, True, True, False], [False, False, False, False, True]])


@pytest.mark.parametrize("hidden", [1e6, np.nan])
def test_masked_frames_do_not_count(hidden):
    encoder = _encoder()
    videos, mask = _maps(2, 5), _mask()
    expected = [encoder(video[np.newaxis, keep])[0] for video, keep in zip(videos, mask, strict=True)]
    videos[~mask] = hidden
    np.testing.assert_allclose(encoder(videos, mask=mask), expected, rtol=1e-5, atol=1e-6)


def test_masked_frames_behind_a_backbone():
    inputs = keras.Input((4, 5, 3))
    encoder = _encoder(backbone=keras.Model(inputs, keras.layers.Conv2D(3, 3, padding="same")(inputs)))
    videos, mask = _maps(2, 5), _mask()
    expected = [encoder(video[np.newaxis, keep])[0] for video, keep in zip(videos, mask, strict=True)]
    videos[~mask] = np.nan
    np.testing.assert_allclose(encoder(videos, mask=mask), expected, rtol=1e-5, atol=1e-6)


def test_video_without_a_frame_is_a_zero_vector():
    vectors = _encoder()(np.full((2, 5, 4, 5, 3), np.nan, "float32"), mask=np.array([[False] * 5] * 2))
    np.testing.assert_array_equal(vectors, np.zeros((2, 9)))


def test_one_graph_for_any_number_of_videos_and_frames():
    encoder = _encoder()
    signature = [tf.TensorSpec((None, None, 4, 5, 3)), tf.TensorSpec((None, None), tf.bool)]
    traced = tf.function(lambda videos, mask: encoder(videos, mask=mask), input_signature=signature)
    for frames in (1, 4):
        videos = _maps(3, frames)
        np.testing.assert_allclose(traced(videos, np.ones((3, frames), bool)), encoder(videos), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("leading", [(), (6,), (None,)])
def test_symbolic_call(leading):
    encoder = _encoder()
    inputs = keras.Input((*leading, 4, 5, 3))
    model = keras.Model(inputs, encoder(inputs))
    assert model.output.shape == (None, 9)
    maps = _maps(2, *([6] if leading else []))
    np.testing.assert_allclose(model(maps), encoder(maps), rtol=1e-5)


def test_frozen_backbone_runs_at_inference():
    """Dropout and the statistics of the batch have no part in a representation, even inside of `fit`."""
    inputs = keras.Input((4, 5, 3))
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(inputs))
    encoder = _encoder(backbone=keras.Model(inputs, x))
    expected = np.array(encoder(_maps(4)))
    encoder.backbone.trainable = False
    np.testing.assert_array_equal(encoder(_maps(4), training=True), expected)
    encoder.backbone.trainable = True  # it learns under a softmax
    assert np.abs(np.array(encoder(_maps(4), training=True)) - expected).max() > 0.01


def test_shares_what_it_is_made_of_with_the_trained_model():
    encoder = _encoder("none")
    trained = FVVAE(encoder.descriptors, encoder.head.fvvae)
    before = np.array(encoder(_maps(4)))
    trained.fvvae.encoder[0].kernel.assign_add(np.ones((3, 3)))
    assert not np.allclose(encoder(_maps(4)), before)


@pytest.mark.parametrize("policy", HALF_PRECISION)
def test_mixed_precision(policy):
    expected = _encoder()
    keras.config.set_dtype_policy(policy)
    encoder = _encoder()
    symbolic = encoder(keras.Input((4, 5, 3)))
    vectors = encoder(_maps(4))
    assert vectors.dtype == symbolic.dtype == "float32"
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3)
    cosine = np.sum(np.array(vectors) * np.array(expected(_maps(4))), axis=1)
    np.testing.assert_allclose(cosine, 1.0, atol=2e-2)


@pytest.mark.parametrize("information", ["diagonal", "kronecker", "none"])
def test_saved_and_loaded(tmp_path, information):
    encoder = _encoder(information)
    expected = [encoder(_maps(4)), encoder(_maps(2, 5))]
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras", safe_mode=True)
    assert loaded.normalization.is_adapted
    for vectors, inputs in zip(expected, (_maps(4), _maps(2, 5)), strict=True):
        np.testing.assert_allclose(loaded(inputs), vectors, rtol=1e-6)


def test_saved_with_a_backbone(tmp_path):
    inputs = keras.Input((4, 5, 3))
    encoder = _encoder(backbone=keras.Model(inputs, keras.layers.Conv2D(3, 3, padding="same")(inputs)))
    expected = encoder(_maps(4))
    encoder.save(tmp_path / "encoder.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "encoder.keras")(_maps(4)), expected, rtol=1e-5)


def test_config_round_trip():
    encoder = _encoder("kronecker")
    clone = FisherEncoder.from_config(json.loads(json.dumps(encoder.get_config())))
    for name in FisherEncoder.nested[:3]:
        assert type(getattr(clone, name)) is type(getattr(encoder, name))
    assert clone.normalization.information == "kronecker"
    assert clone.backbone is None


@pytest.mark.parametrize("leading", [(2,), (2, 3, 4)])
def test_wrong_rank(leading):
    shape = (*leading, 5, 3) if len(leading) == 1 else (*leading, 4, 5, 3)
    message = r"expects images \(batch, height, width, channels\) or videos .* Received: shape=\(2, "
    with pytest.raises(ValueError, match=message):
        _encoder()(np.zeros(shape, "float32"))
    with pytest.raises(ValueError, match=message):
        _encoder().encode_raw(np.zeros(shape, "float32"))
