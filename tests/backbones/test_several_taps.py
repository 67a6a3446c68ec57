"""One network tapped at several layers gives what single taps give."""

import keras
import numpy as np
import pytest

from keras_fvvae.backbones import build_backbone
from keras_fvvae.backbones.several_taps import build_tapped_backbone, up_to_tap
from keras_fvvae.errors import RecipeError, WeightsError
from keras_fvvae.utils.model_digests import architecture_digest

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


def test_a_network_of_ones_own_gives_tokens_and_maps_in_one_pass(tmp_path):
    images = keras.Input((12, 12, 3))
    early = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="early")(images)
    tokens = keras.layers.Reshape((9, 16), name="tokens")(early)
    keras.Model(images, keras.layers.Dense(5, name="late")(tokens)).save(tmp_path / "own.keras")
    name = str(tmp_path / "own.keras")
    whole = build_tapped_backbone(name, ["early", "tokens", None], (12, 12))
    assert [tuple(maps.shape[1:]) for maps in whole.outputs] == [(6, 6, 4), (3, 3, 16), (3, 3, 5)]
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 12, 12, 3)).astype("float32")
    for number, (tap, maps) in enumerate(zip(["early", "tokens", None], whole(pixels), strict=True)):
        expected = build_backbone(name, tap, (12, 12))(pixels)
        np.testing.assert_allclose(maps, expected, rtol=1e-6)
        np.testing.assert_allclose(up_to_tap(whole, number)(pixels), expected, rtol=1e-6)
        if tap is not None:  # layers of other names make maps of tokens of a second shape
            # By it its cached activations are found.
            alone = architecture_digest(build_backbone(name, tap, (12, 12)))
            assert architecture_digest(up_to_tap(whole, number)) == alone
    with pytest.raises(WeightsError, match="none.h5 are not a file"):
        build_tapped_backbone(name, ["early", None], (12, 12), weights="none.h5")
