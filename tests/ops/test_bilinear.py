"""Both forms of the compact bilinear ops, from descriptors and from the sum of outer products, in blocks and whole."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.ops import bilinear


def _streams(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, count, 5)), rng.normal(size=(2, count, 3))


def _signs(*shape, seed=1):
    return np.where(np.random.default_rng(seed).random(shape) < 0.5, -1.0, 1.0)


def _hashes(dimension):
    rng = np.random.default_rng(2)
    return [(rng.integers(0, dimension, channels), _signs(channels, seed=channels)) for channels in (5, 3)]


def _random_maclaurin_loop(x, y, x_signs, y_signs):
    features = np.zeros((len(x), x_signs.shape[1]))
    for image, t in np.ndindex(*x.shape[:2]):
        features[image] += (x[image, t] @ x_signs) * (y[image, t] @ y_signs)
    return features / np.sqrt(x_signs.shape[1])


@pytest.mark.parametrize("features", [1, 511, 512, 513, 1024, 1300])
def test_random_maclaurin_in_blocks(features):
    x_signs, y_signs = _signs(5, features), _signs(3, features, seed=2)
    # One graph for any number of descriptors; called as it is, the function knows theirs.
    shapes = [tf.TensorSpec((None, None, channels), tf.float64) for channels in (5, 3)]
    traced = tf.function(lambda x, y: bilinear.random_maclaurin(x, y, x_signs, y_signs), input_signature=shapes)
    for count in (1, 2, 9):  # of 5 and 3 channels the outer product is projected for more than 15 / 8 descriptors
        x, y = _streams(count)
        expected = _random_maclaurin_loop(x, y, x_signs, y_signs)
        for result in (traced(x, y), bilinear.random_maclaurin(x, y, x_signs, y_signs)):
            np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("static", [True, False])
def test_random_maclaurin_holds_no_feature_of_every_descriptor(static):
    """No tensor of the graph has all features of a descriptor, nor, for many descriptors, of a channel."""
    shapes = [tf.TensorSpec((4, 50 if static else None, channels)) for channels in (5, 3)]
    signs = [_signs(channels, 2048).astype("float32") for channels in (5, 3)]
    graph = tf.function(lambda x, y: bilinear.random_maclaurin(x, y, *signs)).get_concrete_function(*shapes).graph
    bodies = [graph, *(function.graph for function in graph._functions.values() if hasattr(function, "graph"))]
    tensors = [out for body in bodies for operation in body.get_operations() for out in operation.outputs]
    assert any(tensor.shape.rank == 3 for tensor in tensors)
    assert not [tensor for tensor in tensors if tensor.shape.rank == 3 and tensor.shape[-1] == 2048]


@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("features", [7, 600])
def test_gradient_of_random_maclaurin(count, features):
    x, y = (tf.constant(one) for one in _streams(count))
    signs = _signs(5, features), _signs(3, features, seed=2)
    direction = np.random.default_rng(3).normal(size=(2, features))

    @tf.function
    def value(x, y):
        return tf.reduce_sum(bilinear.random_maclaurin(x, y, *signs) * direction)

    with tf.GradientTape() as tape:
        tape.watch([x, y])
        result = value(x, y)
    by_x, by_y = tape.gradient(result, [x, y])
    for gradient, moved in ((by_x, lambda step: value(x + step, y)), (by_y, lambda step: value(x, y + step))):
        step = np.zeros(gradient.shape)
        step[1, 0, 2] = 1e-6
        np.testing.assert_allclose(gradient[1, 0, 2], (moved(step) - moved(-step)) / 2e-6, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("masked", [True, False])
def test_tensor_sketch_is_a_loop_over_pairs_of_channels(masked):
    x_hash, y_hash = _hashes(8)

    def sketch(x, y, mask):
        return bilinear.tensor_sketch(x, y, x_hash, y_hash, 8, mask if masked else None)

    # One graph for any number of descriptors; called as it is, the function knows theirs.
    shapes = [tf.TensorSpec((None, None, channels), tf.float64) for channels in (5, 3)]
    traced = tf.function(sketch, input_signature=[*shapes, tf.TensorSpec((None, None), tf.bool)])
    for count in (1, 4, 5, 9):  # of 5 and 3 channels and 8 entries the outer product is sketched for more than 4
        x, y = _streams(count)
        mask = np.random.default_rng(5).random((2, count)) < 0.6 if masked else np.ones((2, count), bool)
        expected = np.zeros((2, 8))
        for image, t, i, j in np.ndindex(2, count, 5, 3):
            bucket = (x_hash[0][i] + y_hash[0][j]) % 8
            expected[image, bucket] += mask[image, t] * x_hash[1][i] * y_hash[1][j] * x[image, t, i] * y[image, t, j]
        if masked:
            x[~mask] = np.nan
        for result in (traced(x, y, mask), sketch(x, y, mask)):
            np.testing.assert_allclose(result, expected, atol=1e-12)


def test_gradient_of_the_sketch_of_a_product(monkeypatch):
    x, y = (tf.constant(one) for one in _streams(9))
    gradients = []
    for limit in (bilinear.SKETCHES_PER_PRODUCT, np.inf):  # of the product, and by Fourier transforms
        monkeypatch.setattr(bilinear, "SKETCHES_PER_PRODUCT", limit)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(tf.square(bilinear.tensor_sketch(x, y, *_hashes(8), 8)))
        gradients.append(tape.gradient(value, x))
    np.testing.assert_allclose(*gradients, rtol=1e-9)
