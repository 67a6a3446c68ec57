import keras
import numpy as np
import pytest

from keras_fvvae.ops.spectral import NULL_SINGULAR_VALUE, matrix_square_root
from tests.support import backends


def _matrices(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def _by_svd(matrices):
    u, s, vt = np.linalg.svd(matrices, full_matrices=False)
    return (u * np.sqrt(s)[:, None, :]) @ vt


@pytest.mark.parametrize("shape", [(3, 7, 4), (3, 4, 7), (2, 5, 5), (1, 6, 1)])
def test_root_of_the_singular_values(shape):
    matrices = _matrices(shape)
    np.testing.assert_allclose(matrix_square_root(matrices), _by_svd(matrices), atol=1e-12)


def test_of_a_positive_matrix_it_is_the_matrix_square_root():
    half = _matrices((2, 5, 8))
    matrices = half @ half.swapaxes(1, 2)
    root = keras.ops.convert_to_numpy(matrix_square_root(matrices))
    np.testing.assert_allclose(root @ root, matrices, atol=1e-10)


def test_float32_of_few_descriptors():
    """Sums of three outer products of 40 x 30: 27 singular values are rounding noise and must stay small."""
    matrices = (_matrices((2, 40, 3)) @ _matrices((2, 3, 30), 1)).astype("float32")
    expected = _by_svd(matrices.astype("float64"))
    np.testing.assert_allclose(matrix_square_root(matrices), expected, atol=2e-3 * np.abs(expected).max())


def test_small_singular_values_are_dropped():
    values = np.array([1.0, 3 * NULL_SINGULAR_VALUE, NULL_SINGULAR_VALUE / 3])
    roots = np.diagonal(keras.ops.convert_to_numpy(matrix_square_root(np.diag(values)[None]))[0])
    np.testing.assert_allclose(roots, [1.0, np.sqrt(values[1]), 0.0], atol=1e-9)


def test_zero_stays_zero():
    assert not np.any(keras.ops.convert_to_numpy(matrix_square_root(np.zeros((2, 4, 3), "float32"))))


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 3, 5)])
@pytest.mark.skipif(not backends.on_tensorflow(), reason="the tape is TensorFlow's; the harness trains on each backend")
def test_gradient_by_differences(shape):
    import tensorflow as tf

    matrices, weights, step = _matrices(shape), _matrices(shape, 1), 1e-6
    with tf.GradientTape() as tape:
        variable = tf.constant(matrices)
        tape.watch(variable)
        loss = tf.reduce_sum(matrix_square_root(variable) * weights)
    changes = step * np.eye(matrices.size).reshape(-1, *shape)  # one for each number
    moved = np.reshape([matrices + changes, matrices - changes], (-1, *shape[1:]))
    above, below = np.reshape(matrix_square_root(moved), (2, matrices.size, *shape))
    expected = np.sum((above - below) * weights, axis=(1, 2, 3)).reshape(shape) / (2 * step)
    np.testing.assert_allclose(tape.gradient(loss, variable), expected, atol=1e-6)


@pytest.mark.parametrize(
    "matrix",
    [np.eye(4), np.zeros((4, 3)), np.diag([2.0, 2.0, 0.0, 0.0]), np.ones((3, 5))],
    ids=["equal", "zero", "equal and zero", "rank one"],
)
@pytest.mark.skipif(not backends.on_tensorflow(), reason="the tape is TensorFlow's; the harness trains on each backend")
def test_gradient_is_finite(matrix):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        variable = tf.constant(matrix[None].astype("float32"))
        tape.watch(variable)
        loss = tf.reduce_sum(matrix_square_root(variable) ** 3)
    assert np.isfinite(tape.gradient(loss, variable)).all()
