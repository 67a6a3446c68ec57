"""A tiny finished run with a fixed, untrained encoder, and images and videos that it encodes in milliseconds."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.builders.encoders import build_classifier, build_encoder
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
from keras_fvvae.data import Collection, load_digits
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.results import RunResults
from tests.support.video_files import numbered_frames, write_video

SIZE = 16
RECIPE = {
    "backbone": "DigitsConvNet",
    "backbone_options": {"filters": 4},
    "input_size": [SIZE, SIZE],
    "descriptors": "dense",
    "latent_dim": 3,
    "frames": 3,
}


def write_run(path, seed=0, kind="video", **settings):
    """Writes a finished run whose weights are drawn from a seed."""
    keras.utils.set_random_seed(seed)
    recipe = Recipe(name="tiny", **{**RECIPE, **settings})
    backbone = build_recipe_backbone(recipe, None)
    fvvae = build_fvvae(recipe, backbone, 2)
    encoder = build_encoder(recipe, backbone, fvvae)
    images = np.random.default_rng(seed).uniform(0, 255, (12, SIZE, SIZE, 3)).astype("float32")
    encoder.adapt(images)
    sources = [np.zeros((2, 8, 8, 3), "uint8")] * 2
    collection = Collection(sources, ["a", "b"], [0, 1], ["train"] * 2, ["a", "b"], kind=kind)
    run = RunFolder.create(path, recipe, collection)
    build_classifier(encoder, ["a", "b"]).save(run.path / "model.keras")
    run.write_results(RunResults("none", "FV-VAE"), {})
    run.finish()
    return run.path


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Forty digits and a file that is no image, in three folders."""
    folder = tmp_path_factory.mktemp("images")
    digits = load_digits()
    for index in range(40):
        path = folder / f"part{index % 3}" / f"{index:03d}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tf.io.encode_png(digits.read(index)).numpy())
    (folder / "part0" / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Nine videos of 2 to 6 frames, and one that is none."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(9):
        write_video(folder / f"{number}.avi", numbered_frames(2 + number % 5)[:, :, ::-1] // (1 + number))
    (folder / "broken.avi").write_bytes(b"no video")
    return folder
