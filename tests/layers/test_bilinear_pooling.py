import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers.bilinear_pooling import BilinearPooling
from tests.support.layer_harness import check_layer


def _descriptors(shape=(3, 5, 4), seed=0):
    """Asymmetric in every axis, one descriptor all zero."""
    descriptors = np.random.default_rng(seed).normal(0.5, 2.0, size=shape)
    descriptors[0, 1] = 0.0
    return descriptors


def _loop(x, y, keep=None):
    """Sum of outer products, one descriptor and one pair of channels at a time."""
    vectors = np.zeros((len(x), x.shape[2] * y.shape[2]))
    for image, t in np.ndindex(*x.shape[:2]):
        if keep is None or keep[image, t]:
            for i, j in np.ndindex(x.shape[2], y.shape[2]):
                vectors[image, i * y.shape[2] + j] += x[image, t, i] * y[image, t, j]
    return vectors


@pytest.mark.parametrize("normalization", [None, "improved"])
def test_harness(normalization):
    descriptors = np.abs(_descriptors()).astype("float32")
    check_layer(lambda **kwargs: BilinearPooling(normalization, **kwargs), descriptors)


def test_is_an_outer_product_loop():
    layer = BilinearPooling(dtype="float64")
    np.testing.assert_allclose(layer(_descriptors()), _loop(_descriptors(), _descriptors()), rtol=1e-12)
    assert layer.output_dim == 16


def test_two_streams_are_an_outer_product_loop():
    x, y = _descriptors(), _descriptors((3, 5, 2), seed=1)
    layer = BilinearPooling(dtype="float64")
    np.testing.assert_allclose(layer([x, y]), _loop(x, y), rtol=1e-12)
    assert layer.output_dim == 8
    assert layer.compute_output_shape([(None, 5, 4), (None, 5, 2)]) == (None, 8)


@pytest.mark.parametrize("pair", [False, True])
def test_mask_drops_descriptors(pair):
    x, y = _descriptors(), _descriptors((3, 5, 2), seed=1)
    mask = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], bool)
    expected = _loop(x, y if pair else x, mask)
    x[~mask] = y[~mask] = np.nan
    vectors = BilinearPooling(dtype="float64")([x, y] if pair else x, mask=mask)
    np.testing.assert_allclose(vectors, expected, rtol=1e-12)
    assert not np.array(vectors)[2].any()


def test_streams_with_a_mask_each():
    x, y = _descriptors(), _descriptors((3, 5, 2), seed=1)
    first, second = np.random.default_rng(0).random((2, 3, 5)) < 0.6
    layer = BilinearPooling(dtype="float64")
    np.testing.assert_allclose(
        layer([x, y], mask=[tf.constant(first), tf.constant(second)]), _loop(x, y, first & second)
    )
    np.testing.assert_allclose(layer([x, y], mask=[None, tf.constant(second)]), _loop(x, y, second))
    np.testing.assert_allclose(layer([x, y], mask=[None, None]), _loop(x, y))


def test_normalize_is_signed_square_root_and_unit_norm():
    expected = _loop(_descriptors(), _descriptors())
    expected = np.sign(expected) * np.sqrt(np.abs(expected))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(BilinearPooling("improved", dtype="float64")(_descriptors()), expected, rtol=1e-10)


@pytest.mark.parametrize("normalization", [None, "improved"])
@pytest.mark.parametrize("case", ["zero", "zero channel", "masked", "one", "repeated"])
def test_degenerate_images_have_finite_vectors_and_gradients(case, normalization):
    descriptors, mask = _descriptors((2, 3, 4)), np.ones((2, 3), bool)
    if case == "zero":
        descriptors[:] = 0.0
    elif case == "zero channel":
        descriptors[..., 1] = 0.0
    elif case == "masked":
        mask[:] = False
    elif case == "one":
        descriptors, mask = descriptors[:, :1], mask[:, :1]
    else:
        descriptors[:] = descriptors[:1, :1]
    inputs = tf.constant(descriptors, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        vectors = BilinearPooling(normalization)(inputs, mask=mask)
    assert np.isfinite(vectors).all()
    assert np.isfinite(tape.gradient(vectors, inputs)).all()
    if case == "zero channel":
        assert not np.reshape(vectors, (2, 4, 4))[:, 1].any()


def test_sums_in_float32_under_mixed_precision():
    vectors = BilinearPooling(dtype="mixed_float16")(np.full((1, 100, 2), 1e3, "float32"))
    np.testing.assert_allclose(vectors, np.full((1, 4), 1e8), rtol=1e-6)


def test_two_streams_in_a_saved_model(tmp_path):
    inputs = [keras.Input((None, 4)), keras.Input((None, 2))]
    model = keras.Model(inputs, BilinearPooling()(inputs))
    streams = [_descriptors().astype("float32"), _descriptors((3, 5, 2), 1).astype("float32")]
    expected = model(streams)
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "model.keras")(streams), expected, rtol=1e-6)
    model.export(tmp_path / "exported", verbose=False)
    np.testing.assert_allclose(tf.saved_model.load(tmp_path / "exported").serve(streams), expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 3, 4), (2, 3, None)])
def test_wrong_shape(shape):
    with pytest.raises(ValueError, match="`BilinearPooling` expects descriptors .* Received: shape="):
        BilinearPooling().build(shape)


def test_streams_of_different_positions():
    with pytest.raises(ValueError, match="both streams must have the same number T. Received: shapes="):
        BilinearPooling()([_descriptors(), _descriptors((3, 6, 2))])


def test_three_streams():
    with pytest.raises(ValueError, match="takes one stream or a pair. Received: 3 streams"):
        BilinearPooling()([_descriptors()] * 3)


def test_output_dim_before_build():
    with pytest.raises(ValueError, match="`output_dim` depends on the channels of the input"):
        _ = BilinearPooling().output_dim
