"""Exports of an untrained classifier, made once."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.data import Views, load_digits
from keras_fvvae.export import export_saved_model
from keras_fvvae.recipes import load_recipe
from keras_fvvae.tasks.verify import encoded_images
from tests.support.served import outputs_by_keras, random_classifier


@pytest.fixture(scope="session")
def classifier():
    return random_classifier()


@pytest.fixture(scope="session")
def saved_model(classifier, tmp_path_factory):
    recipe = load_recipe("digits_conv", information="none")
    return export_saved_model(classifier, tmp_path_factory.mktemp("export"), top_k=3, recipe=recipe)


@pytest.fixture(scope="session")
def images():
    digits = load_digits()
    pixels = np.stack([digits.read(i) for i in range(7)]).astype("float32")
    return encoded_images(digits, range(7)), pixels


@pytest.fixture(scope="session")
def loaded(saved_model):
    return tf.saved_model.load(str(saved_model))


@pytest.fixture(scope="session")
def expected(classifier, images):
    """What every signature must give for the images, by Keras."""
    return outputs_by_keras(classifier, images[1])


@pytest.fixture(scope="session")
def videos(classifier, tmp_path_factory):
    """A model of videos that flags what it cannot decode; frames, their numbers, pixels and mask."""
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (3, 4, 8, 8, 3)).astype("uint8")
    mask = np.arange(4) < np.array([[4], [2], [1]])
    encoded = np.array([[tf.io.encode_png(one).numpy() for one in video] for video in frames], object)
    encoded[~mask] = b"not an image"
    directory = tmp_path_factory.mktemp("videos")
    path = export_saved_model(classifier, directory, Views((8, 8)), "video", top_k=3, valid_output=True)
    return path, encoded, np.array([4, 2, 1], np.int32), frames.astype("float32"), mask


@pytest.fixture(scope="session")
def flow_classifier():
    return random_classifier(seed=1, class_names=[f"digit {i}" for i in range(10)][::-1])
