import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers.average_pooling import AveragePooling
from tests.support.layer_harness import check_layer


def _descriptors(shape=(3, 5, 4), seed=0):
    return np.random.default_rng(seed).normal(2.0, 3.0, size=shape)


def test_harness():
    check_layer(AveragePooling, _descriptors().astype("float32"))


def test_is_the_mean_over_descriptors():
    layer = AveragePooling(dtype="float64")
    np.testing.assert_allclose(layer(_descriptors()), _descriptors().mean(axis=1), rtol=1e-12)
    assert layer.output_dim == 4


def test_mask_drops_descriptors():
    descriptors, mask = _descriptors(), np.array([[1, 0, 1, 1, 0], [0, 0, 0, 1, 0], [1, 1, 1, 1, 1]], bool)
    expected = [image[keep].mean(axis=0) for image, keep in zip(descriptors, mask, strict=True)]
    descriptors[~mask] = np.nan
    np.testing.assert_allclose(AveragePooling(dtype="float64")(descriptors, mask=mask), expected, rtol=1e-12)


def test_all_masked_is_zero_with_finite_gradient():
    descriptors, mask = tf.constant(_descriptors()), np.zeros((3, 5), bool)
    with tf.GradientTape() as tape:
        tape.watch(descriptors)
        vectors = AveragePooling(dtype="float64")(descriptors, mask=mask)
    np.testing.assert_array_equal(vectors, np.zeros((3, 4)))
    np.testing.assert_array_equal(tape.gradient(vectors, descriptors), np.zeros((3, 5, 4)))


def test_sums_in_float32_under_mixed_precision():
    """1000 descriptors of 60,000 overflow float16 a thousand times over."""
    vectors = AveragePooling(dtype="mixed_float16")(np.full((1, 1000, 2), 6e4, "float32"))
    assert vectors.dtype == tf.float32
    np.testing.assert_allclose(vectors, np.full((1, 2), 6e4), rtol=1e-6)


def test_dynamic_number_of_descriptors():
    traced = tf.function(AveragePooling(), input_signature=[tf.TensorSpec((None, None, 4))])
    for count in (1, 5):
        descriptors = _descriptors((2, count, 4)).astype("float32")
        np.testing.assert_allclose(traced(descriptors), descriptors.mean(axis=1), rtol=1e-5)


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 3, 4)])
def test_wrong_rank(shape):
    with pytest.raises(ValueError, match="`AveragePooling` expects descriptors .* Received: shape="):
        AveragePooling()(np.zeros(shape))


def test_wrong_mask():
    with pytest.raises(ValueError, match="`mask` must be boolean .batch, T., one per descriptor"):
        AveragePooling()(_descriptors(), mask=np.ones((3, 5, 1), bool))


def test_output_dim_before_build():
    with pytest.raises(ValueError, match="`output_dim` depends on the channels of the input"):
        _ = AveragePooling().output_dim
