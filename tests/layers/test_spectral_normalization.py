import numpy as np
import pytest

from keras_fvvae.layers import SpectralNormalization
from tests.support.layer_harness import check_layer


def _vectors(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize(("num_rows", "inputs"), [(None, (3, 6, 4)), (4, (3, 20))])
def test_harness(num_rows, inputs):
    check_layer(lambda **kwargs: SpectralNormalization(num_rows, **kwargs), _vectors(inputs))


def test_steps():
    """Singular values 16 and 1 become 4 and 1, their roots 2 and 1, and the length one."""
    vectors = SpectralNormalization()(np.diag([16.0, 1.0]).astype("float32")[None])
    np.testing.assert_allclose(vectors[0], np.diag([2.0, 1.0]) / np.sqrt(5), atol=1e-6)


def test_flat_vectors_are_matrices_row_by_row():
    raw = _vectors((2, 6, 4))
    flat = SpectralNormalization(6)(raw.reshape(2, -1))
    np.testing.assert_allclose(flat, np.reshape(SpectralNormalization()(raw), (2, -1)), atol=1e-6)


def test_turned_matrices_have_turned_roots():
    raw = _vectors((2, 6, 4))
    turned = SpectralNormalization()(raw.swapaxes(1, 2))
    np.testing.assert_allclose(turned, np.swapaxes(SpectralNormalization()(raw), 1, 2), atol=1e-5)


def test_a_factor_of_the_raw_matrix_does_not_matter():
    raw = _vectors((2, 6, 4))
    np.testing.assert_allclose(SpectralNormalization()(1e4 * raw), SpectralNormalization()(raw), atol=1e-5)


@pytest.mark.parametrize("num_rows", [0, 2.5, (4, 5)])
def test_wrong_number_of_rows(num_rows):
    with pytest.raises(ValueError, match="`num_rows` must be a positive integer"):
        SpectralNormalization(num_rows)


@pytest.mark.parametrize(("num_rows", "inputs"), [(None, (2, 24)), (6, (2, 6, 4)), (6, (2, 25))])
def test_inputs_that_do_not_fit(num_rows, inputs):
    with pytest.raises(ValueError, match="expects raw vectors"):
        SpectralNormalization(num_rows)(np.zeros(inputs, "float32"))
