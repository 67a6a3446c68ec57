import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers import SpatialPyramidPooling
from keras_fvvae.ops.aggregation import pyramid_window
from tests.support.layer_harness import check_layer
from tests.support.numpy_reference import pyramid_pooling

SIDES = [(7, 7), (7, 10), (13, 6), (6, 14), (8, 11), (28, 9), (6, 6)]
REDUCE = {"max": np.max, "average": np.mean}


def _maps(height, width, channels=3):
    # All negative: windows that reach into a padding of zeros would show.
    return -np.random.default_rng(height * 100 + width).random((2, height, width, channels)).astype("float32") - 1.0


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_harness(pooling):
    check_layer(lambda **kwargs: SpatialPyramidPooling((3, 1), pooling, **kwargs), _maps(4, 5))


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize(("height", "width"), SIDES)
def test_is_a_loop_over_windows(height, width, pooling):
    maps = _maps(height, width)
    expected = pyramid_pooling(maps, (6, 3, 2, 1), REDUCE[pooling])
    np.testing.assert_allclose(SpatialPyramidPooling(pooling=pooling)(maps), expected, rtol=1e-6)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_one_graph_for_all_sides(pooling):
    layer = SpatialPyramidPooling((1, 4, 3), pooling)
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 3))])
    for height, width in SIDES:
        maps = _maps(height, width)
        expected = pyramid_pooling(maps, (1, 4, 3), REDUCE[pooling])
        np.testing.assert_allclose(traced(maps), expected, rtol=1e-6)


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("position", [(0, 0), (3, 4), (6, 8)])
def test_nan_shows_in_every_window_that_holds_it(position, static, pooling):
    maps, layer = _maps(7, 9), SpatialPyramidPooling((3, 2), pooling)
    maps[1, *position, 2] = np.nan
    if not static:
        layer = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 3))])
    expected = pyramid_pooling(maps, (3, 2), REDUCE[pooling])
    assert 0 < np.isnan(expected).sum() < 13
    np.testing.assert_allclose(layer(maps), expected, rtol=1e-6)


@pytest.mark.parametrize("static", [True, False])
def test_minus_infinity_is_not_passed_over(static):
    """The maximum of a window would not show it, and a training would go on with broken activations."""
    maps, layer = _maps(7, 9), SpatialPyramidPooling((3, 2))
    maps[1, 3, 4, 2] = -np.inf
    if not static:
        layer = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 3))])
    found = np.asarray(layer(maps))
    maps[1, 3, 4, 2] = np.nan
    np.testing.assert_allclose(found, pyramid_pooling(maps, (3, 2), np.max), rtol=1e-6)


def test_infinite_activations_stay_infinite():
    maps = _maps(7, 9)
    maps[0, 3, 3, 0] = np.inf
    np.testing.assert_array_equal(SpatialPyramidPooling((3, 2))(maps), pyramid_pooling(maps, (3, 2), np.max))


@pytest.mark.parametrize("dynamic", ["height", "width"])
def test_one_dynamic_side(dynamic):
    shape = (None, None, 9, 3) if dynamic == "height" else (None, 7, None, 3)
    traced = tf.function(SpatialPyramidPooling((2, 1)), input_signature=[tf.TensorSpec(shape)])
    maps = _maps(7, 9)
    np.testing.assert_array_equal(traced(maps), pyramid_pooling(maps, (2, 1), np.max))


@pytest.mark.parametrize(("level", "window", "stride"), [(6, 2, 1), (3, 3, 2), (2, 4, 3), (1, 7, 7)])
def test_windows_of_the_release(level, window, stride):
    assert pyramid_window(7, level) == (window, stride)


def test_release_pools_fifty_descriptors():
    assert SpatialPyramidPooling().compute_output_shape((None, 7, 7, 512)) == (None, 50, 512)
    assert SpatialPyramidPooling().compute_output_shape((None, None, None, 512)) == (None, 50, 512)


@pytest.mark.parametrize("side", range(1, 30))
def test_windows_cover_the_side_without_gaps(side):
    for level in range(1, side + 1):
        window, stride = pyramid_window(side, level)
        covered = {position for i in range(level) for position in range(i * stride, i * stride + window)}
        assert covered == set(range(side))


def test_static_map_too_small():
    with pytest.raises(ValueError, match=r"smaller than the finest level 6 .* width 5\. Use coarser levels"):
        SpatialPyramidPooling()(_maps(7, 5))
    with pytest.raises(ValueError, match="height 2"):
        SpatialPyramidPooling((3,)).compute_output_shape((None, 2, 8, 4))


@pytest.mark.parametrize(("height", "width"), [(7, 5), (5, 7)])
def test_dynamic_map_too_small(height, width):
    traced = tf.function(SpatialPyramidPooling(), input_signature=[tf.TensorSpec((None, None, None, 3))])
    with pytest.raises(tf.errors.InvalidArgumentError, match="smaller than the finest level 6"):
        traced(_maps(height, width))


def test_dynamic_map_too_small_in_a_functional_model():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, SpatialPyramidPooling()(inputs))
    assert model.predict(_maps(6, 9), verbose=0).shape == (2, 50, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="smaller than the finest level 6"):
        model.predict(_maps(5, 9), verbose=0)


@pytest.mark.parametrize("levels", [(), (0,), (2, -1), (1.5,), ("6",)])
def test_wrong_levels(levels):
    with pytest.raises(ValueError, match="`levels` must be a non-empty sequence of positive integers. Received"):
        SpatialPyramidPooling(levels)


def test_wrong_pooling():
    with pytest.raises(ValueError, match="`pooling` must be one of .* Received: pooling='mean'"):
        SpatialPyramidPooling(pooling="mean")


def test_wrong_rank():
    with pytest.raises(ValueError, match=r"expects activation maps .* Received: shape=\(2, 49, 3\)"):
        SpatialPyramidPooling()(np.zeros((2, 49, 3), "float32"))
