import numpy as np
import pytest

from keras_fvvae.layers.global_activations import GlobalActivations
from tests.support.layer_harness import check_layer


def _vectors():
    return np.random.default_rng(0).normal(size=(3, 6)).astype("float32")


@pytest.mark.parametrize("shape", [(3, 6), (3, 1, 1, 6)])
def test_harness(shape):
    check_layer(GlobalActivations, _vectors().reshape(shape))


@pytest.mark.parametrize("shape", [(3, 6), (3, 1, 1, 6)])
def test_is_the_vector_itself(shape):
    layer = GlobalActivations()
    np.testing.assert_array_equal(layer(_vectors().reshape(shape)), _vectors())
    assert layer.output_dim == 6
    assert layer.compute_output_shape((None, *shape[1:])) == (None, 6)


@pytest.mark.parametrize("shape", [(None, 7, 7, 6), (None, 1, 2, 6), (None, None, None, 6), (None, 1, 6), (None, None)])
def test_wrong_shape(shape):
    with pytest.raises(ValueError, match="`GlobalActivations` expects vectors .* Received: shape="):
        GlobalActivations().build(shape)


def test_output_dim_before_build():
    with pytest.raises(ValueError, match="`output_dim` depends on the channels of the input"):
        _ = GlobalActivations().output_dim
