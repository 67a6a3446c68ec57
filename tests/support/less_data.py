"""What makes whole commands quick without changing them: less embedded data, narrow networks, small embeddings."""

import contextlib
import dataclasses

import keras
import numpy as np
import pytest

from keras_fvvae.backbones import BACKBONES
from keras_fvvae.data.datasets import digits as digits_module
from keras_fvvae.reporting import figures, tested_items, worst_errors

EVERY = 3
# Of the five blocks: convolutions and channels, a sixteenth of VGG19's.
BLOCKS = ((2, 4), (2, 8), (4, 16), (4, 32), (4, 32))


@contextlib.contextmanager
def fewer_digits():
    """While it lasts, the data set `digits` is a third of itself, of both splits, and reports show fewer items."""
    load = digits_module.load_digits
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(digits_module, "load_digits", lambda: _part(load()))
        patched.setattr(figures, "EMBEDDED_IMAGES", 50)
        patched.setattr(tested_items, "EXAMPLES", 8)
        patched.setattr(tested_items, "QUERIES", 2)
        patched.setattr(worst_errors, "EXPLAINED", 2)
        yield


def _part(digits):
    return digits.subset(np.arange(0, len(digits), EVERY))


@contextlib.contextmanager
def narrow_networks():
    """While it lasts, `VGG19` has its layers with fewer channels, and `EfficientNetLite2` those that recipes tap.

    The tests of the zoo's entries, and of the demo, have the whole ones.
    """
    with pytest.MonkeyPatch.context() as patched:
        for name, build in (("VGG19", "build_vgg19"), ("EfficientNetLite2", "build_lite2")):
            patched.setitem(BACKBONES, name, dataclasses.replace(BACKBONES[name], build=f"{__name__}:{build}"))
        yield


def build_vgg19(input_shape=(32, 32, 3), weights=None, include_top=False):
    inputs = x = keras.Input(input_shape)
    for block, (convolutions, channels) in enumerate(BLOCKS, start=1):
        for number in range(1, convolutions + 1):
            name = f"block{block}_conv{number}"
            x = keras.layers.Conv2D(channels, 3, padding="same", activation="relu", name=name)(x)
        x = keras.layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return keras.Model(inputs, x)


def build_lite2(input_shape=(32, 32, 3), weights=None, include_top=False):
    """Of stride 32 as the whole one, and with the same weights whenever it is built, as the installed ones are."""
    inputs = x = keras.Input(input_shape)
    names = ("Conv1_relu", "block_3_add", "block_6_add", "block_10_add", "block_19_add")
    for number, name in enumerate(names):
        same = keras.initializers.HeNormal(seed=number)
        x = keras.layers.Conv2D(16, 3, 2, "same", activation="relu", kernel_initializer=same, name=name)(x)
    for number, (name, channels) in enumerate((("block_20_project_BN", 24), ("out_relu", 32)), start=len(names)):
        same = keras.initializers.HeNormal(seed=number)
        x = keras.layers.Conv2D(channels, 1, activation="relu", kernel_initializer=same, name=name)(x)
    return keras.Model(inputs, x)
