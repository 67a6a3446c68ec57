import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers import DescriptorNormalization
from tests.support.backends import dtype_of
from tests.support.layer_harness import check_layer


def _maps(shape=(3, 4, 6, 5)):
    return np.random.default_rng(0).normal(scale=3.0, size=shape).astype("float32")


@pytest.mark.parametrize("arguments", [("map",), ("map", 12.5), ("descriptor",), ("none",)])
def test_harness(arguments):
    check_layer(lambda **kwargs: DescriptorNormalization(*arguments, **kwargs), _maps())


@pytest.mark.parametrize("scale", [None, 158.0])
@pytest.mark.parametrize("shape", [(3, 4, 6, 5), (3, 7, 5)])
def test_map_scheme_gives_every_example_one_norm(shape, scale):
    maps = _maps(shape)
    expected = np.empty_like(maps)
    for i, one in enumerate(maps):
        norm = np.sqrt(np.prod(shape[1:])) if scale is None else scale
        expected[i] = one / np.sqrt(np.sum(one.astype("float64") ** 2)) * norm
    np.testing.assert_allclose(DescriptorNormalization("map", scale)(maps), expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 4, 6, 5), (3, 7, 5)])
def test_descriptor_scheme_gives_every_descriptor_unit_length(shape):
    maps = _maps(shape)
    expected = maps / np.sqrt(np.sum(maps.astype("float64") ** 2, axis=-1, keepdims=True))
    np.testing.assert_allclose(DescriptorNormalization("descriptor")(maps), expected, rtol=1e-5)


def test_release_scale_is_the_default_rounded_down():
    maps = _maps((1, 7, 7, 512))
    ratio = np.array(DescriptorNormalization("map")(maps)) / np.array(DescriptorNormalization("map", 158.0)(maps))
    np.testing.assert_allclose(ratio, np.sqrt(7 * 7 * 512) / 158.0, rtol=1e-5)


def test_default_norm_of_dynamic_maps():
    layer = DescriptorNormalization("map")
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 5))])
    for shape in ((3, 4, 6, 5), (2, 9, 2, 5)):
        maps = _maps(shape)
        np.testing.assert_allclose(traced(maps), layer(maps), rtol=1e-5)


@pytest.mark.parametrize("scheme", ["map", "descriptor"])
@pytest.mark.parametrize("compiled", [False, True])
def test_zeros_stay_zero_in_values_and_gradients(scheme, compiled):
    maps = _maps((2, 4, 6, 5))
    maps[0] = 0.0  # a whole map
    maps[1, 2, 3] = 0.0  # a descriptor
    layer = DescriptorNormalization(scheme)

    def normalize_and_differentiate(maps):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            outputs = layer(maps)
            loss = tf.reduce_sum(outputs * tf.sin(outputs + 1.0))
        return outputs, tape.gradient(loss, maps)

    function = tf.function(normalize_and_differentiate) if compiled else normalize_and_differentiate
    outputs, gradient = (np.array(tensor) for tensor in function(tf.constant(maps)))
    assert not outputs[0].any()
    assert not outputs[1, 2, 3].any()
    assert np.isfinite(gradient).all()
    assert not gradient[0].any()
    assert gradient[1].any()


@pytest.mark.parametrize("scheme", ["map", "descriptor"])
def test_float16_neither_overflows_nor_underflows(scheme):
    """Squares of both magnitudes leave the range of float16: 6e4 squared, and 1e-4 squared."""
    layer = DescriptorNormalization(scheme, dtype="mixed_float16")
    expected = np.array(DescriptorNormalization(scheme)(_maps()))
    for magnitude in (6e4, 1e-3):
        maps = _maps() / np.abs(_maps()).max() * magnitude
        outputs = layer(maps.astype("float16"))
        assert dtype_of(outputs) == "float16"
        np.testing.assert_allclose(outputs, expected, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("l2",), "`scheme` must be one of .* Received: scheme='l2'"),
        (("map", 0.0), "`scale` must be positive .* Received: scale=0.0"),
        (("map", -1.0), "`scale` must be positive"),
        (("map", float("nan")), "`scale` must be positive"),
        (("descriptor", 2.0), "goes with `scheme='map'`. Received: scale=2.0, scheme='descriptor'"),
        (("none", 2.0), "goes with `scheme='map'`"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DescriptorNormalization(*arguments)
