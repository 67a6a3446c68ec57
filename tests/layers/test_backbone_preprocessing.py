import keras
import numpy as np
import pytest

from keras_fvvae.layers import BackbonePreprocessing
from tests.support.backends import dtype_of
from tests.support.layer_harness import check_layer


def _images(shape=(2, 3, 5, 3)):
    return np.random.default_rng(0).integers(0, 256, shape).astype("float32")


@pytest.mark.parametrize("scheme", ["caffe", "torch", "tf", "lite", "none"])
def test_harness(scheme):
    check_layer(lambda **kwargs: BackbonePreprocessing(scheme, **kwargs), _images())


@pytest.mark.parametrize("scheme", ["caffe", "torch", "tf"])
def test_is_the_preprocessing_of_keras_applications(scheme):
    images = _images()
    expected = keras.applications.imagenet_utils.preprocess_input(images.copy(), mode=scheme)
    np.testing.assert_allclose(BackbonePreprocessing(scheme)(images), expected, atol=1e-4)


def test_lite_is_what_its_authors_subtract_and_divide_by():
    """`MEAN_RGB` and `STDDEV_RGB` of `efficientnet_lite_builder.py` (github.com/tensorflow/tpu)."""
    images = _images()
    np.testing.assert_allclose(BackbonePreprocessing("lite")(images), (images - 127) / 128, atol=1e-6)


def test_none_changes_nothing():
    images = _images()
    np.testing.assert_array_equal(BackbonePreprocessing("none")(images), images)


@pytest.mark.parametrize("scheme", ["caffe", "torch", "tf", "lite", "none"])
def test_takes_bytes(scheme):
    images = _images()
    layer = BackbonePreprocessing(scheme)
    outputs = layer(images.astype("uint8"))
    assert dtype_of(outputs) == "float32"
    np.testing.assert_allclose(outputs, layer(images), atol=1e-5)


def test_unknown_scheme():
    with pytest.raises(ValueError, match="`scheme` must be one of .* Received: scheme='Caffe'"):
        BackbonePreprocessing("Caffe")


# Of optical flow: value 128, no motion, and one scale for all channels, that of the scheme (its mean where there are
# three).
FLOW_SCALES = {"caffe": 1.0, "torch": 255 * (0.229 + 0.224 + 0.225) / 3, "tf": 127.5, "lite": 128.0}


@pytest.mark.parametrize("scheme", FLOW_SCALES)
@pytest.mark.parametrize("channels", [2, 20])
def test_stacks_of_flow_are_centred_on_no_motion(scheme, channels):
    flow = _images((2, 3, 5, channels))
    flow[0] = 128
    outputs = np.asarray(BackbonePreprocessing(scheme)(flow))
    assert not outputs[0].any()
    np.testing.assert_allclose(outputs, (flow - 128) / FLOW_SCALES[scheme], rtol=1e-5)


def test_none_changes_no_flow():
    flow = _images((2, 3, 5, 20))
    np.testing.assert_array_equal(BackbonePreprocessing("none")(flow), flow)


@pytest.mark.parametrize("scheme", ["caffe", "torch", "tf", "lite", "none"])
def test_harness_with_flow(scheme):
    check_layer(lambda **kwargs: BackbonePreprocessing(scheme, **kwargs), _images((2, 3, 5, 20)))
