import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers.learnt_guidance_pooling import LearntGuidancePooling
from tests.support.layer_harness import check_layer


def _descriptors(shape=(3, 5, 4), seed=0):
    descriptors = np.random.default_rng(seed).normal(0.3, 1.0, shape)
    descriptors[0, 1] = 0.0
    return descriptors


def _layer(channels=6, seed=0, **arguments):
    """Random weights and biases; one channel never fires."""
    layer = LearntGuidancePooling(**{"guidance_channels": channels, "dtype": "float64", **arguments})
    layer.build((None, None, 4))
    rng = np.random.default_rng(seed)
    kernel, bias = (rng.normal(size=weight.shape) for weight in layer.get_weights())
    bias[1] = -100.0
    layer.set_weights([kernel, bias])
    return layer


def _loop(layer, descriptors, normalization="improved"):
    kernel, bias = layer.get_weights()
    vectors = []
    for image in descriptors:
        blocks = np.zeros((len(bias), image.shape[1]))
        for x in image:
            for k in range(len(bias)):
                blocks[k] += x * max(x @ kernel[:, k] + bias[k], 0.0)
        if normalization:
            blocks = np.array([block / max(np.linalg.norm(block), 1e-7) for block in blocks])
            blocks = np.sign(blocks) * np.sqrt(np.abs(blocks))
            blocks = blocks / max(np.linalg.norm(blocks), 1e-12)
        vectors.append(blocks.reshape(-1))
    return np.array(vectors)


def test_harness():
    # Its training step lowers the mean square of the vectors, which the normalisation would keep.
    data = np.abs(_descriptors()).astype("float32")
    check_layer(lambda **kwargs: LearntGuidancePooling(3, normalization=None, **kwargs), data)


@pytest.mark.parametrize("normalization", [None, "improved"])
def test_is_a_loop_over_descriptors_and_channels(normalization):
    layer = _layer(normalization=normalization)
    expected = _loop(layer, _descriptors(), normalization)
    np.testing.assert_allclose(layer(_descriptors()), expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    assert layer.output_dim == 24
    assert not expected.reshape(3, 6, 4)[:, 1].any()


def test_masked_descriptors_are_as_if_they_were_not_there():
    layer, data = _layer(), _descriptors()
    mask = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], bool)
    expected = np.concatenate([layer(image[keep][np.newaxis]) for image, keep in zip(data, mask, strict=True)])
    data[~mask] = np.nan
    with tf.GradientTape() as tape:
        vectors = layer(data, mask=mask)
        loss = tf.reduce_sum(vectors * np.arange(24))
    np.testing.assert_allclose(vectors, expected, atol=1e-12)
    assert not expected[2].any()
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(loss, layer.trainable_variables))


@pytest.mark.parametrize("data", [np.zeros((2, 3, 4)), np.ones((2, 1, 4)), np.zeros((2, 1, 4))])
def test_degenerate_descriptors_have_finite_vectors_and_gradients(data):
    layer, inputs = _layer(dtype="float32"), tf.constant(data, "float32")
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        vectors = layer(inputs)
    assert np.isfinite(vectors).all()
    assert np.isfinite(tape.gradient(vectors, inputs)).all()
    assert np.array(vectors).any() == data.any()


def test_gradient_of_the_guidance_is_that_of_finite_differences():
    layer, direction = _layer(), np.random.default_rng(1).normal(size=(3, 24))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(layer(_descriptors()) * direction)
    gradient = np.array(tape.gradient(value, layer.guidance.kernel))
    kernel, bias = layer.get_weights()
    values = []
    for step in (1e-6, -1e-6):
        moved = kernel.copy()
        moved[2, 3] += step
        layer.set_weights([moved, bias])
        values.append(np.sum(np.array(layer(_descriptors())) * direction))
    np.testing.assert_allclose(gradient[2, 3], (values[0] - values[1]) / 2e-6, rtol=1e-5)


def test_learns_with_a_softmax_on_top():
    """Classes that differ in which of two kinds of descriptors occur together, so that a mean over them is the same."""
    rng = np.random.default_rng(0)
    labels = np.arange(64) % 2
    signs = rng.choice([-1.0, 1.0], (64, 8, 1))
    partner = np.where(labels[:, np.newaxis, np.newaxis] == 1, signs, -signs)
    data = np.concatenate([signs, partner, rng.normal(size=(64, 8, 2))], axis=-1).astype("float32")
    model = keras.Sequential([LearntGuidancePooling(4), keras.layers.Dense(2)])
    model.build(data.shape)
    guidance = model.layers[0].guidance.kernel.numpy()
    optimizer = keras.optimizers.Adam(0.05)
    for _ in range(25):
        with tf.GradientTape() as tape:
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(data))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    assert (np.argmax(model(data), axis=-1) == labels).mean() > 0.9
    assert not np.allclose(guidance, model.layers[0].guidance.kernel)


def test_wrong_arguments_and_inputs():
    with pytest.raises(
        ValueError, match="`guidance_channels` must be a positive integer. Received: guidance_channels=0"
    ):
        LearntGuidancePooling(0)
    with pytest.raises(ValueError, match="`LearntGuidancePooling` expects descriptors"):
        LearntGuidancePooling(4).build((None, 7, 7, 4))
    with pytest.raises(ValueError, match="`output_dim` depends on the channels of the input"):
        _ = LearntGuidancePooling(4).output_dim
