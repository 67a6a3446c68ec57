"""What makes whole commands quick without changing them: less embedded data, a narrow VGG19, small embeddings."""

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
def narrow_vgg19():
    """While it lasts, `VGG19` has its layers with fewer channels. The tests of the zoo's entries train the wide one."""
    with pytest.MonkeyPatch.context() as patched:
        info = dataclasses.replace(BACKBONES["VGG19"], build=f"{__name__}:build_vgg19")
        patched.setitem(BACKBONES, "VGG19", info)
        yield


def build_vgg19(input_shape=(32, 32, 3), weights=None, include_top=False):
    inputs = x = keras.Input(input_shape)
    for block, (convolutions, channels) in enumerate(BLOCKS, start=1):
        for number in range(1, convolutions + 1):
            name = f"block{block}_conv{number}"
            x = keras.layers.Conv2D(channels, 3, padding="same", activation="relu", name=name)(x)
        x = keras.layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return keras.Model(inputs, x)
