import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers.bilinear_pooling import BilinearPooling
from keras_fvvae.layers.tensor_sketch import TensorSketch
from tests.support.layer_harness import check_layer
from tests.support.numpy_reference import in_channels_of_their_own


def _descriptors(shape=(2, 3, 6), seed=0):
    return np.random.default_rng(seed).normal(0.3, 1.0, size=shape)


def _inner_products(output_dim, draws, x):
    """Inner products of the vectors of two images, for so many draws: the images' channels have hashes of their own."""
    vectors = np.array(TensorSketch(output_dim, dtype="float64")(in_channels_of_their_own(x, draws)))
    first, second = vectors.reshape(2, draws, output_dim)
    return np.sum(first * second, axis=1)


GOLDEN = [[71, 17, 24], [1, 1, 1], [33, 71, 94], [1, 1, -1]]


@pytest.mark.parametrize("output_dim", [8, 9])
def test_harness(output_dim):
    inputs = np.abs(_descriptors()).astype("float32")
    check_layer(lambda **kwargs: TensorSketch(output_dim, seed=3, **kwargs), inputs)


@pytest.mark.parametrize("output_dim", [1, 2, 8, 9])
@pytest.mark.parametrize("pair", [False, True])
def test_is_the_count_sketch_of_the_sum_of_outer_products(pair, output_dim):
    """A loop over pairs of channels, without any Fourier transform."""
    x, y = _descriptors(), _descriptors((2, 3, 4), seed=1)
    layer = TensorSketch(output_dim, dtype="float64")
    vectors = np.array(layer([x, y] if pair else x))
    y = y if pair else x
    (x_buckets, x_signs), (y_buckets, y_signs) = ([w.numpy() for w in pair] for pair in (layer.x_hash, layer.y_hash))
    expected = np.zeros((2, output_dim))
    for image, t, i, j in np.ndindex(2, 3, x.shape[2], y.shape[2]):
        bucket = (x_buckets[i] + y_buckets[j]) % output_dim
        expected[image, bucket] += x_signs[i] * y_signs[j] * x[image, t, i] * y[image, t, j]
    np.testing.assert_allclose(vectors, expected, atol=1e-12)
    assert layer.output_dim == output_dim
    assert not layer.trainable_variables


@pytest.mark.parametrize("output_dim", [8, 9])
def test_gradient_is_that_of_finite_differences(output_dim):
    x, direction = _descriptors(), np.random.default_rng(1).normal(size=(2, output_dim))
    layer, inputs = TensorSketch(output_dim, dtype="float64"), tf.constant(_descriptors())
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = tf.reduce_sum(layer(inputs) * direction)
    steps = 1e-6 * np.eye(x.size).reshape(x.size, *x.shape)  # one for each number of x
    moved = np.reshape(layer(np.reshape([x + steps, x - steps], (-1, *x.shape[1:]))), (2, x.size, *direction.shape))
    numeric = np.sum((moved[0] - moved[1]) * direction, axis=(1, 2)).reshape(x.shape) / 2e-6
    np.testing.assert_allclose(tape.gradient(value, inputs), numeric, atol=1e-7)


@pytest.mark.once
def test_inner_products_are_unbiased():
    x = _descriptors((2, 1, 6))
    x[1] = x[0] + 0.3 * x[1]  # nearly parallel: the kernel is large against the spread of its estimates
    kernel = (x[0, 0] @ x[1, 0]) ** 2
    estimates = _inner_products(16, 250, x)
    # Four standard errors; a bias of 30 % would be seen.
    error = estimates.std() / np.sqrt(len(estimates))
    assert error < 0.3 * kernel / 4
    assert abs(estimates.mean() - kernel) < 4 * error


@pytest.mark.once
def test_error_falls_with_the_root_of_the_output_dim():
    """Dimensions below the C * C pairs: far above, most sketches have no collision and no error at all."""
    x = _descriptors((2, 1, 48))
    kernel = (x[0, 0] @ x[1, 0]) ** 2
    errors = [np.sqrt(np.mean((_inner_products(d, 100, x) - kernel) ** 2)) for d in (8, 512)]
    assert np.log(errors[1] / errors[0]) / np.log(64) == pytest.approx(-0.5, abs=0.1)


def test_many_descriptors_converge_to_bilinear_pooling():
    x = _descriptors((2, 9, 6))
    first, second = np.array(BilinearPooling(dtype="float64")(x))
    estimate = _inner_products(2**15, 1, x)[0]
    assert abs(estimate - first @ second) < 0.03 * np.linalg.norm(first) * np.linalg.norm(second)


def test_hashes_are_the_same_everywhere():
    """Those of seed 0, written down: another backend, platform or NumPy must draw them, too."""
    layer = TensorSketch(100)
    layer.build((None, None, 3))
    drawn = [[int(value) for value in weight.numpy()] for weight in (*layer.x_hash, *layer.y_hash)]
    assert drawn == GOLDEN
    other = TensorSketch(100, seed=1)
    other.build((None, None, 3))
    assert not np.array_equal(other.x_hash[0], layer.x_hash[0])


@pytest.mark.parametrize("normalization", [None, "improved"])
def test_masked_and_zero_descriptors(normalization):
    x, mask = _descriptors((3, 4, 6)), np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    x[2] = 0.0
    layer = TensorSketch(9, normalization=normalization, dtype="float64")
    expected = layer(x[:1, ::2])
    x[~mask] = np.nan
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        vectors = layer(inputs, mask=mask)
    np.testing.assert_allclose(vectors[:1], expected, atol=1e-7)
    np.testing.assert_array_equal(vectors[1:], np.zeros((2, 9)))
    assert np.isfinite(tape.gradient(vectors, inputs)).all()


@pytest.mark.parametrize("output_dim", [0, 2.5, None])
def test_wrong_output_dim(output_dim):
    with pytest.raises(ValueError, match="`output_dim` must be a positive integer. Received: output_dim="):
        TensorSketch(output_dim)


def test_wrong_rank():
    with pytest.raises(ValueError, match="`TensorSketch` expects descriptors .* Received: shape="):
        TensorSketch(4)(np.zeros((2, 4)))
