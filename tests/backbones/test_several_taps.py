"""One network tapped at several layers gives what single taps give."""

import keras
import numpy as np
import pytest

from keras_fvvae.backbones import build_backbone
from keras_fvvae.backbones.several_taps import build_tapped_backbone, up_to_tap
from keras_fvvae.errors import RecipeError

TAPS = ["conv2", None, "conv2"]


def _seeded(build):
    keras.utils.set_random_seed(3)
    return build()


def test_maps_and_parts_are_those_of_single_taps():
    whole = _seeded(lambda: build_tapped_backbone("DigitsConvNet", TAPS, (8, 8)))
    images = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype("float32")
    for number, (tap, maps) in enumerate(zip(TAPS, whole(images), strict=True)):
        alone = _seeded(lambda tap=tap: build_backbone("DigitsConvNet", tap, (8, 8)))
        part = up_to_tap(whole, number)
        expected = alone(images)
        assert np.std(expected) > 0
        for found in (maps, part(images)):
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        for one, other in zip(part.weights, alone.weights, strict=True):  # by which their cached activations are found
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("tap", ["conv2+conv3", "conv2/linear", "fc7/dense"])
def test_taps_that_are_not_one_layers_maps(tap):
    with pytest.raises(RecipeError, match="cannot be one of several: only the maps that a layer gives"):
        build_tapped_backbone("DigitsConvNet", [tap, None], (8, 8))


def test_unknown_taps_and_backbones():
    with pytest.raises(RecipeError, match="tap of DigitsConvNet 'conv9'; did you mean"):
        build_tapped_backbone("DigitsConvNet", ["conv9", None], (8, 8))
    with pytest.raises(RecipeError, match="backbone 'DigitConvNet'; did you mean 'DigitsConvNet'"):
        build_tapped_backbone("DigitConvNet", [None, None], (8, 8))
