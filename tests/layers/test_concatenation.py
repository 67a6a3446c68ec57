import numpy as np
import pytest

from keras_fvvae.layers.concatenation import Concatenation
from tests.support.layer_harness import check_layer


def _maps(shape=(3, 2, 5, 4)):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_harness():
    check_layer(Concatenation, _maps())


def test_keeps_every_activation_in_its_place():
    layer = Concatenation()
    vectors = np.array(layer(_maps()))
    assert vectors.shape == (3, layer.output_dim) == (3, 40)
    for row, column, channel in np.ndindex(2, 5, 4):
        np.testing.assert_array_equal(vectors[:, (row * 5 + column) * 4 + channel], _maps()[:, row, column, channel])


@pytest.mark.parametrize("shape", [(None, None, 5, 4), (None, 5, 4), (None, 2, 5, None)])
def test_needs_maps_of_one_size(shape):
    with pytest.raises(ValueError, match="`Concatenation` expects activation maps .* of one fixed size.* Received"):
        Concatenation().build(shape)


def test_another_size_is_refused():
    layer = Concatenation()
    layer(_maps())
    with pytest.raises(ValueError, match="expected shape"):
        layer(_maps((3, 4, 5, 4)))


def test_output_dim_before_build():
    with pytest.raises(ValueError, match="`output_dim` depends on the channels of the input"):
        _ = Concatenation().output_dim
