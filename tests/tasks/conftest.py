"""A small folder of real images (scikit-learn's digits) and a recipe that trains on it in a second."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.data import load_digits
from keras_fvvae.recipes import Recipe


@pytest.fixture
def recipe():
    return Recipe(
        name="tiny",
        backbone="DigitsConvNet",
        backbone_options={"filters": 8},
        input_size=[8, 8],
        descriptors="dense",
        sampled_descriptors=20,
        latent_dim=3,
        batch_size=8,
        steps=6,
    )


@pytest.fixture
def folder(tmp_path):
    """`data/<digit>/<number>.png`, three classes of eight."""
    return write_digits(tmp_path / "data")


def write_digits(directory, classes=(0, 1, 7), count=8):
    digits = load_digits()
    for label in classes:
        (directory / str(label)).mkdir(parents=True)
        for index in np.flatnonzero(digits.labels == label)[:count]:
            content = tf.io.encode_png(digits.read(index)).numpy()
            (directory / str(label) / f"{index:04d}.png").write_bytes(content)
    return directory
