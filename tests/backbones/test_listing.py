"""Taps of a network, and how much of an image a position of each sees."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.backbones import build_backbone
from keras_fvvae.backbones.listing import Tap, list_taps
from keras_fvvae.backbones.receptive_fields import WHOLE_IMAGE, receptive_fields
from keras_fvvae.errors import RecipeError


def _seen(model, image):
    """Side of the part of an image that a position in the middle of a map depends on, by its gradient."""
    with tf.GradientTape() as tape:
        tape.watch(image)
        maps = model(image)
        middle = maps[:, maps.shape[1] // 2, maps.shape[2] // 2]
        total = tf.reduce_sum(middle)
    rows = np.flatnonzero(np.abs(tape.gradient(total, image)[0]).sum(axis=(1, 2)))
    return rows[-1] - rows[0] + 1


def test_receptive_fields_are_what_gradients_reach():
    """Of a network with a stride, dilation, pooling and a connection that passes a block by; all weights positive."""
    positive = keras.initializers.RandomUniform(0.1, 1.0, seed=0)
    image = keras.Input((64, 64, 2))
    x = keras.layers.Conv2D(3, 3, strides=2, padding="same", kernel_initializer=positive, name="stride")(image)
    y = keras.layers.DepthwiseConv2D(3, padding="same", depthwise_initializer=positive, name="depthwise")(x)
    y = keras.layers.BatchNormalization(name="batch")(y)
    x = keras.layers.Add(name="add")([x, y])
    x = keras.layers.Conv2D(3, 3, dilation_rate=2, padding="same", kernel_initializer=positive, name="dilation")(x)
    x = keras.layers.AveragePooling2D(2, name="pool")(x)
    model = keras.Model(image, keras.layers.Conv2D(2, 3, kernel_initializer=positive, name="last")(x))
    found = receptive_fields(model.layers)
    assert (found["stride"], found["add"]) == (3, 7)
    for name in ("stride", "batch", "add", "dilation", "pool", "last"):
        part = keras.Model(image, model.get_layer(name).output)
        assert found[name] == _seen(part, tf.ones((1, 64, 64, 2))), name


def test_what_is_not_known_is_said():
    image = keras.Input((8, 8, 2))
    x = keras.layers.Conv2D(3, (3, 1), name="oblong")(image)
    y = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pooled")(image)
    z = keras.layers.Multiply(name="gated")([image, y])
    w = keras.layers.UpSampling2D(name="up")(image)
    found = receptive_fields(keras.Model(image, [x, z, w]).layers)
    assert (found["oblong"], found["up"]) == (None, None)
    assert found["pooled"] == found["gated"] == WHOLE_IMAGE


def test_ends_of_blocks():
    taps = {tap.name: tap for tap in list_taps("EfficientNetLite2", (64, 64))}
    assert list(taps)[-3:] == ["block_20_depthwise_relu", "block_20_project_BN", "out_relu"]
    assert taps["block_19_add"].is_default
    assert taps["block_19_add"].shape == (2, 2, 208)
    assert not {"block_19_expand_relu", "block_19_project_BN", "block_20_project", "Conv_1"} & taps.keys()
    every = {tap.name for tap in list_taps("EfficientNetLite2", (64, 64), every=True)}
    assert {"block_19_expand_relu", "Conv_1"} < every
    fields = [tap.receptive_field for tap in taps.values()]
    assert fields == sorted(fields)
    (tap,) = [tap for tap in list_taps("VGG19", (32, 32)) if tap.name == "block5_conv4"]
    assert (tap.short_names, tap.is_default, tap.receptive_field) == (("conv5_4",), True, 252)


def test_maps_of_a_network_of_ones_own(tmp_path):
    """The size of a map is that of images as they are given, and nothing of what comes after the end is listed."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, 2, padding="same", name="early")(images)
    x = keras.layers.BatchNormalization(name="batch")(x)
    x = keras.layers.Conv2D(6, 4, 4, name="late")(x)
    path = str(tmp_path / "own.keras")
    keras.Model(images, keras.layers.GlobalAveragePooling2D(keepdims=True, name="mean")(x)[:, 0, 0]).save(path)
    early, batch = Tap("early", (16, 16, 4), 3), Tap("batch", (16, 16, 4), 3)
    late = Tap("late", (4, 4, 6), 9, is_default=True)
    assert list_taps(path, (32, 32)) == [batch, late]
    assert list_taps(path, (32, 32), every=True) == [early, batch, late]


def test_tokens_are_taps_and_the_map_that_is_made_of_them_is_none(tmp_path):
    images = keras.Input((32, 32, 3), name="images")
    x = keras.layers.Conv2D(6, 8, 8, name="embedded")(images)
    x = keras.layers.Reshape((16, 6), name="tokens")(x)
    path = str(tmp_path / "own.keras")
    keras.Model(images, keras.layers.Dense(5, name="mixed")(x)).save(path)
    taps = [Tap("embedded", (4, 4, 6), 8), Tap("tokens", (4, 4, 6), None), Tap("mixed", (4, 4, 5), None, (), True)]
    assert list_taps(path, (32, 32)) == taps
    for tap in taps:
        assert build_backbone(path, tap.name, (32, 32)).output.shape[1:] == tap.shape


def test_unknown_backbone():
    with pytest.raises(RecipeError, match="did you mean 'VGG19'"):
        list_taps("VGG18")
