import keras
import numpy as np
import pytest

from keras_fvvae.layers import BackbonePreprocessing
from tests.layer_harness import check_layer


def _images(shape=(2, 3, 5, 3)):
    return np.random.default_rng(0).integers(0, 256, shape).astype("float32")


@pytest.mark.parametrize("scheme", ["caffe", "torch", "tf", "none"])
def test_harness(scheme):
    check_layer(lambda **kwargs: BackbonePreprocessing(scheme, **kwargs), _images())


@pytest.mark.parametrize("scheme", ["caffe", "torch", "tf"])
def test_is_the_preprocessing_of_keras_applications(scheme):
    images = _images()
    expected = keras.applications.imagenet_utils.preprocess_input(images.copy(), mode=scheme)
    np.testing.assert_allclose(BackbonePreprocessing(scheme)(images), expected, atol=1e-4)


def test_none_changes_nothing():
    images = _images()
    np.testing.assert_array_equal(BackbonePreprocessing("none")(images), images)


@pytest.mark.parametrize("scheme", ["caffe", "torch", "tf", "none"])
def test_takes_bytes(scheme):
    images = _images()
    layer = BackbonePreprocessing(scheme)
    outputs = layer(images.astype("uint8"))
    assert outputs.dtype == "float32"
    np.testing.assert_allclose(outputs, layer(images), atol=1e-5)


def test_unknown_scheme():
    with pytest.raises(ValueError, match="`scheme` must be one of .* Received: scheme='Caffe'"):
        BackbonePreprocessing("Caffe")


def test_images_must_be_rgb():
    with pytest.raises(ValueError, match=r"expects RGB images. Received: shape=\(2, 4, 4, 1\)"):
        BackbonePreprocessing("tf")(np.zeros((2, 4, 4, 1), "float32"))
