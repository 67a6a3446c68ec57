import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers.bilinear_pooling import BilinearPooling
from keras_fvvae.layers.random_maclaurin import RandomMaclaurin
from tests.support.layer_harness import check_layer
from tests.support.numpy_reference import in_channels_of_their_own


def _descriptors(shape=(2, 3, 6), seed=0):
    return np.random.default_rng(seed).normal(0.3, 1.0, size=shape)


def _inner_products(output_dim, draws, x):
    """Inner products of the vectors of two images, for so many draws: the images' channels have signs of their own."""
    vectors = np.array(RandomMaclaurin(output_dim, dtype="float64")(in_channels_of_their_own(x, draws)))
    first, second = vectors.reshape(2, draws, output_dim)
    return np.sum(first * second, axis=1)


GOLDEN = [[1, -1, -1, -1], [1, 1, 1, 1], [1, 1, 1, -1], [1, -1, 1, -1]]


@pytest.mark.parametrize("normalization", [None, "improved"])
def test_harness(normalization):
    inputs = np.abs(_descriptors()).astype("float32")
    check_layer(lambda **kwargs: RandomMaclaurin(7, seed=3, normalization=normalization, **kwargs), inputs)


def test_is_a_loop_over_descriptors():
    layer, x = RandomMaclaurin(5, dtype="float64"), _descriptors()
    vectors = np.array(layer(x))
    first, second = layer.x_signs.numpy(), layer.y_signs.numpy()
    expected = np.zeros((2, 5))
    for image, t, m in np.ndindex(2, 3, 5):
        expected[image, m] += (first[:, m] @ x[image, t]) * (second[:, m] @ x[image, t]) / np.sqrt(5)
    np.testing.assert_allclose(vectors, expected, rtol=1e-12)
    assert layer.output_dim == 5
    assert not layer.trainable_variables


@pytest.mark.once
def test_inner_products_are_unbiased():
    x = _descriptors((2, 1, 6))
    x[1] = x[0] + 0.3 * x[1]  # nearly parallel: the kernel is large against the spread of its estimates
    kernel = (x[0, 0] @ x[1, 0]) ** 2
    estimates = _inner_products(16, 500, x)
    # Four standard errors; a bias of 20 % would be seen.
    error = estimates.std() / np.sqrt(len(estimates))
    assert error < 0.2 * kernel / 4
    assert abs(estimates.mean() - kernel) < 4 * error


@pytest.mark.once
def test_error_falls_with_the_root_of_the_output_dim():
    x = _descriptors((2, 1, 6))
    kernel = (x[0, 0] @ x[1, 0]) ** 2
    errors = [np.sqrt(np.mean((_inner_products(m, 100, x) - kernel) ** 2)) for m in (16, 128, 1024)]
    slopes = np.diff(np.log(errors)) / np.log(8)
    np.testing.assert_allclose(slopes, -0.5, atol=0.1)


def test_many_descriptors_converge_to_bilinear_pooling():
    x = _descriptors((2, 9, 6))
    first, second = np.array(BilinearPooling(dtype="float64")(x))
    estimate = _inner_products(100_000, 1, x)[0]
    assert abs(estimate - first @ second) < 0.03 * np.linalg.norm(first) * np.linalg.norm(second)


def test_two_streams_are_the_product_of_their_kernels():
    """E <phi(x, y), phi(u, v)> = <x, u> <y, v>: what compresses Eq. 11 without forming it."""
    x, y = _descriptors((2, 4, 6)), _descriptors((2, 4, 3), seed=1)
    first, second = np.array(BilinearPooling(dtype="float64")([x, y]))
    layer = RandomMaclaurin(100_000, dtype="float64")
    compact = np.array(layer([x, y]))
    assert abs(compact[0] @ compact[1] - first @ second) < 0.03 * np.linalg.norm(first) * np.linalg.norm(second)
    assert layer.compute_output_shape([(None, 4, 6), (None, 4, 3)]) == (None, 100_000)


def test_projections_are_the_same_everywhere():
    """The first signs of seed 0, written down: another backend, platform or NumPy must draw them, too."""
    layer = RandomMaclaurin(4)
    layer.build((None, None, 2))
    np.testing.assert_array_equal(layer.x_signs, GOLDEN[:2])
    np.testing.assert_array_equal(layer.y_signs, GOLDEN[2:])
    other = RandomMaclaurin(4, seed=1)
    other.build((None, None, 2))
    assert not np.array_equal(other.x_signs, layer.x_signs)


@pytest.mark.parametrize("normalization", [None, "improved"])
def test_masked_and_zero_descriptors(normalization):
    x, mask = _descriptors((3, 4, 6)), np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    x[2] = 0.0
    layer = RandomMaclaurin(9, normalization=normalization, dtype="float64")
    expected = layer(x[:1, ::2])
    x[~mask] = np.nan
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        vectors = layer(inputs, mask=mask)
    np.testing.assert_allclose(vectors[:1], expected, rtol=1e-12)
    np.testing.assert_array_equal(vectors[1:], np.zeros((2, 9)))
    assert np.isfinite(tape.gradient(vectors, inputs)).all()


@pytest.mark.parametrize("output_dim", [0, -1, 2.5, None])
def test_wrong_output_dim(output_dim):
    with pytest.raises(ValueError, match="`output_dim` must be a positive integer. Received: output_dim="):
        RandomMaclaurin(output_dim)


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_wrong_seed(seed):
    with pytest.raises(ValueError, match="`seed` must be an integer, 0 or more. Received: seed="):
        RandomMaclaurin(4, seed=seed)


def test_wrong_rank():
    with pytest.raises(ValueError, match="`RandomMaclaurin` expects descriptors .* Received: shape="):
        RandomMaclaurin(4)(np.zeros((2, 4)))
