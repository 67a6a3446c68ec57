"""Fixtures: small real images (scikit-learn's digits) and videos, recipes trained in seconds, small disks."""

import subprocess

import numpy as np
import pytest

from keras_fvvae.recipes import Recipe

VIDEO_FRAMES = 6
# Where a test needs a run, and not what it learnt.
TINIEST = Recipe(
    name="tiny",
    backbone="DigitsConvNet",
    backbone_options={"filters": 4},
    input_size=[8, 8],
    descriptors="dense",
    latent_dim=2,
    batch_size=8,
    steps=2,
)


@pytest.fixture(scope="session")
def recipe():
    return TINIEST.replace(backbone_options={"filters": 8}, sampled_descriptors=20, latent_dim=3, steps=6)


@pytest.fixture
def folder(tmp_path):
    """`data/<digit>/<number>.png`, three classes of eight."""
    return write_digits(tmp_path / "data")


def write_digits(directory, classes=(0, 1, 7), count=8):
    import tensorflow as tf

    from keras_fvvae.data import load_digits

    digits = load_digits()
    for label in classes:
        (directory / str(label)).mkdir(parents=True)
        for index in np.flatnonzero(digits.labels == label)[:count]:
            content = tf.io.encode_png(digits.read(index)).numpy()
            (directory / str(label) / f"{index:04d}.png").write_bytes(content)
    return directory


@pytest.fixture(scope="session")
def video_recipe(recipe):
    return recipe.replace(
        name="tiny_videos",
        backbone_options={"filters": 4, "strides": [2, 2, 1]},
        input_size=[32, 32],
        frames=3,
        latent_dim=2,
        steps=4,
    )


def videos_in_memory(lengths, size=32):
    """A `Collection` of random frames, so many a video."""
    from keras_fvvae.data import Collection

    arrays = [np.random.default_rng(i).integers(0, 256, (n, size, size, 3), "uint8") for i, n in enumerate(lengths)]
    names = [f"v{i}" for i in range(len(arrays))]
    return Collection(arrays, names, [0, 1] * (len(arrays) // 2) + [0] * (len(arrays) % 2), ["train"] * len(arrays),
                      ["x", "y"], kind="video")  # fmt: skip


@pytest.fixture(scope="session")
def _video_files(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture
def videos(_video_files):
    """Moving digits: eight classes of two training videos and a test video; the files are shared by all tests."""
    from keras_fvvae.data import load_moving_digits

    return load_moving_digits(_video_files, 2, 1, VIDEO_FRAMES, 32, verbose=0)


@pytest.fixture
def small_disk(tmp_path):
    """A function that gives a folder a file system of so many kilobytes, or another size, and returns it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = []

    def resize(kilobytes):
        options = f"{'remount,' if mounted else ''}size={kilobytes}k"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("a full disk needs the right to mount one")
        mounted.append(kilobytes)
        return disk

    yield resize
    if mounted:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def noise_images(count=8):
    """Noise, of the size of digits."""
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3)).astype("float32")
