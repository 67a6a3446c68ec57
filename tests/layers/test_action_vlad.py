import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers.action_vlad import ActionVLAD
from keras_fvvae.layers.net_vlad import NetVLAD
from keras_fvvae.ops import residuals
from tests.support.layer_harness import check_layer
from tests.support.numpy_reference import randomize


def _frames(shape=(3, 4, 6, 5), seed=0):
    """Videos `(batch, frames, descriptors, channels)`, one descriptor all zero."""
    frames = np.random.default_rng(seed).normal(0.3, 1.0, size=shape)
    frames[0, 0, 1] = 0.0
    return frames


def _pair(dropout=0.0, normalize_descriptors=True):
    """An `ActionVLAD` and a `NetVLAD` with the same, independent random weights, in float64."""
    video = ActionVLAD(3, 1.0, normalize_descriptors, dropout=dropout, dtype="float64")
    image = NetVLAD(3, 1.0, normalize_descriptors, dtype="float64")
    video.build((None, None, None, 5))
    image.build((None, None, 5))
    randomize(image)
    for weight, value in zip((video.kernel, video.bias, video.centroids), image.get_weights()[:3], strict=True):
        weight.assign(value)
    return video, image


@pytest.mark.parametrize(("normalization", "dropout"), [(None, 0.0), ("improved", 0.5)])
def test_harness(normalization, dropout):
    """Under the unit norm the harness's loss, a mean square, is constant unless dropout breaks the norm."""
    settings = {"alpha": 2.0, "normalization": normalization, "dropout": dropout}
    check_layer(lambda **kwargs: ActionVLAD(3, **settings, **kwargs), _frames().astype("float32"))


def test_one_frame_is_net_vlad():
    video, image = _pair()
    np.testing.assert_allclose(video(_frames()[:, :1]), image(_frames()[:, 0]), atol=1e-12)


def test_frames_are_summed_before_normalisation():
    """One bag: NetVLAD of all frames' descriptors, and not the mean of the frames' NetVLAD vectors."""
    video, image = _pair(normalize_descriptors=False)
    bag = _frames().reshape(3, -1, 5)
    np.testing.assert_allclose(video(_frames()), image(bag), atol=1e-12)
    weights = video.kernel, video.bias, video.centroids
    per_frame = [residuals.sum_residuals(_frames()[:, f], *weights) for f in range(4)]
    np.testing.assert_allclose(sum(per_frame), residuals.sum_residuals(bag, *weights), atol=1e-12)
    np.testing.assert_allclose(video(_frames()), residuals.normalize_residuals(sum(per_frame)), atol=1e-12)
    mean = np.mean([image(_frames()[:, f]) for f in range(4)], axis=0)
    assert np.abs(video(_frames()) - mean).max() > 0.01


def test_mask_drops_frames():
    video, _ = _pair()
    frames, mask = _frames(), np.array([[1, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    expected = [video(frames[:1, [0, 2, 3]]), video(frames[1:2, :1]), np.zeros((1, 15))]
    frames[~mask] = np.nan
    inputs = tf.constant(frames)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        vectors = video(inputs, mask=mask)
    np.testing.assert_allclose(vectors, np.concatenate(expected), atol=1e-12)
    gradients = tape.gradient(vectors, [inputs, *video.trainable_variables])
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_dynamic_frames_and_descriptors_with_a_mask():
    layer = ActionVLAD(3, alpha=2.0)
    signature = [tf.TensorSpec((None, None, None, 5)), tf.TensorSpec((None, None), tf.bool)]
    traced = tf.function(lambda x, mask: layer(x, mask=mask), input_signature=signature)
    for frames in (_frames().astype("float32"), _frames((2, 1, 3, 5)).astype("float32")):
        mask = np.random.default_rng(0).random(frames.shape[:2]) < 0.7
        np.testing.assert_allclose(traced(frames, mask), layer(frames, mask=mask), atol=1e-6)


def test_dropout_while_training_only():
    video, image = _pair(dropout=0.4)
    bag = _frames((200, 2, 3, 5))
    expected = np.array(image(bag.reshape(200, -1, 5)))
    np.testing.assert_allclose(video(bag), expected, atol=1e-12)
    np.testing.assert_allclose(video(bag, training=False), expected, atol=1e-12)
    dropped = np.array(video(bag, training=True))
    kept = dropped != 0
    # Six standard errors of a share of 0.6 of 3000.
    np.testing.assert_allclose(kept.mean(), 0.6, atol=6 * np.sqrt(0.24 / kept.size))
    np.testing.assert_allclose(dropped[kept], expected[kept] / 0.6, rtol=1e-6)
    assert not np.array_equal(video(bag, training=True) != 0, kept)


def test_adapt_is_that_of_net_vlad_on_all_frames():
    frames = _frames((8, 3, 10, 5), seed=1)
    video, image = ActionVLAD(4, alpha=None), NetVLAD(4)
    video.adapt(tf.data.Dataset.from_tensor_slices(frames).batch(4))
    image.adapt(frames.reshape(8, 30, 5))
    np.testing.assert_allclose(video.centroids, image.centroids, atol=1e-5)
    np.testing.assert_allclose(video.kernel, image.kernel, rtol=1e-3, atol=1e-3)
    assert int(video.seen) == 240


def test_adapt_leaves_masked_frames_out():
    frames, mask = _frames((8, 3, 10, 5), seed=1), np.random.default_rng(0).random((8, 3)) < 0.5
    frames[~mask] = np.nan
    layer = ActionVLAD(4)
    layer.adapt([{"inputs": frames, "mask": mask}])
    assert int(layer.seen) == 10 * mask.sum()
    assert np.isfinite(layer.centroids).all()


def test_defaults_are_the_papers():
    layer = ActionVLAD()
    assert (layer.num_centroids, layer.alpha) == (64, 1000.0)
    layer.adapt(_frames((8, 4, 10, 5)))
    assert layer.output_dim == 320
    assert np.isfinite(layer(_frames())).all()


def test_needs_adapt_where_alpha_comes_from_the_data():
    with pytest.raises(ValueError, match="This `ActionVLAD` has no centroids yet: call `adapt`"):
        ActionVLAD(3, alpha=None)(_frames())


@pytest.mark.parametrize("shape", [(2, 6, 5), (2, 4, 2, 3, 5)])
def test_wrong_rank(shape):
    with pytest.raises(ValueError, match="`ActionVLAD` expects descriptors of frames .* Received: shape="):
        ActionVLAD(3)(np.zeros(shape))


def test_wrong_mask():
    with pytest.raises(ValueError, match="`mask` must be boolean .batch, F., one per frame. Received: shape="):
        ActionVLAD(3)(_frames(), mask=np.ones((3, 4, 6), bool))


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_wrong_dropout(dropout):
    with pytest.raises(ValueError, match="`dropout` must be at least 0 and below 1. Received: dropout="):
        ActionVLAD(dropout=dropout)
