"""The root by products of matrices against NumPy's singular values."""

import keras
import numpy as np
import pytest

from keras_fvvae.ops.spectral import NULL_SINGULAR_VALUE, matrix_square_root, without_eigenvalues
from keras_fvvae.ops.spectral_products import multiplier_by_products, polynomials

generator = np.random.default_rng


def _by_svd(matrices, cut=NULL_SINGULAR_VALUE):
    u, s, vt = np.linalg.svd(np.asarray(matrices, "float64"), full_matrices=False)
    return (u * np.where(s > cut * s[:, :1], np.sqrt(s), 0)[:, None, :]) @ vt


def _with_values(values, rows, seed=0):
    """A matrix `(1, rows, len(values))` of these singular values."""
    left, right = (np.linalg.qr(generator(seed).normal(size=(side, len(values))))[0] for side in (rows, len(values)))
    return (left * values @ right.T)[None]


def _root(matrices):
    return keras.ops.convert_to_numpy(multiplier_by_products(matrices, NULL_SINGULAR_VALUE)(matrices))


@pytest.mark.parametrize("shape", [(3, 7, 4), (3, 4, 7), (2, 5, 5), (1, 6, 1), (2, 40, 64)])
def test_root_of_the_singular_values(shape):
    matrices = generator(0).normal(size=shape)
    np.testing.assert_allclose(_root(matrices), _by_svd(matrices), atol=1e-7 * shape[1])


@pytest.mark.parametrize("shape", [(2, 60, 30), (2, 30, 60)])
@pytest.mark.parametrize("rank", [1, 3, 20])
def test_float32_of_few_descriptors(shape, rank):
    """Singular values that are rounding noise stay small, those over four orders of magnitude are right."""
    terms = generator(0).normal(size=(2, shape[1], rank)) * np.logspace(0, -3, rank)
    matrices = (terms @ generator(1).normal(size=(2, rank, shape[2]))).astype("float32")
    expected = _by_svd(matrices)
    root = _root(matrices)
    assert root.dtype == np.float32
    np.testing.assert_allclose(root, expected, atol=1e-5 * np.linalg.norm(expected))


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
@pytest.mark.parametrize("values", [[1.0] * 6, [1.0] * 5 + [0.99], [2.0, 2.0, 1e-3, 1e-3, 0.0, 0.0]], ids=str)
def test_repeated_values(values, scale):
    matrices = (scale * _with_values(np.array(values), 9)).astype("float32")
    expected = _by_svd(matrices)
    np.testing.assert_allclose(_root(matrices), expected, atol=1e-5 * expected.max())


def test_the_cut_is_sharp():
    """A thousandth above it is kept, a thousandth below dropped; the largest value is not the first one's alone."""
    near = NULL_SINGULAR_VALUE * np.array([1.002, 0.998, 0.5, 0.01])
    matrices = _with_values(np.array([1.0, 0.98, 0.9, *near]), 8)
    found = np.linalg.svd(_root(matrices)[0], compute_uv=False)
    np.testing.assert_allclose(found, [1.0, 0.98**0.5, 0.9**0.5, 0.01001, 0, 0, 0], atol=2e-6)


def test_zero_stays_zero_beside_others():
    matrices = np.stack([np.zeros((4, 3)), generator(0).normal(size=(4, 3))]).astype("float32")
    root = _root(matrices)
    assert not root[0].any()
    np.testing.assert_allclose(root[1:], _by_svd(matrices[1:]), atol=1e-5)


def test_polynomials_rise_to_one():
    """Whatever is above the cut comes to 1, and stays above what is at the cut where that is told apart."""
    x = np.logspace(-4, 0, 1001)
    for a, b in polynomials(NULL_SINGULAR_VALUE):
        x = x * (a * (1 - b * x**2)) ** 2
        assert x.max() < 1 + 1e-9
    np.testing.assert_allclose(x, 1, atol=1e-6)
    with pytest.raises(ValueError, match="steps can bring to 1, such as 1e-4. Received: 1e-09"):
        polynomials(1e-9)


def test_it_takes_the_place_of_eigenvalues():
    matrices = generator(0).normal(size=(2, 6, 4))
    by_values = keras.ops.convert_to_numpy(matrix_square_root(matrices))
    with without_eigenvalues():
        by_products = keras.ops.convert_to_numpy(matrix_square_root(matrices))
    assert (by_products == _root(matrices)).all()
    assert (keras.ops.convert_to_numpy(matrix_square_root(matrices)) == by_values).all()
    assert (by_products != by_values).any()
