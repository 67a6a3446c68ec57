"""Images and videos as a caller has them become a collection."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_fvvae.data import load_digits
from keras_fvvae.data.items import item_collection
from keras_fvvae.errors import DataError
from tests.support.small_data import write_digits

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), "uint8")
PIXELS[:, 0, 0] = (0, 100, 255)


@pytest.mark.parametrize(
    "items",
    [
        PIXELS,
        list(PIXELS),
        PIXELS.astype("float32"),
        tf.constant(PIXELS),
        [Image.fromarray(one) for one in PIXELS],
        (Image.fromarray(one) if number % 2 else one for number, one in enumerate(PIXELS)),
        tf.data.Dataset.from_tensor_slices(PIXELS),
        tf.data.Dataset.from_tensor_slices((PIXELS, [0, 1, 2, 3])).batch(3),
    ],
    ids=["array", "list", "floats", "tensor", "Pillow", "generator", "dataset", "batches"],
)
def test_pixels(items):
    collection = item_collection(items)
    assert collection.names == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(np.stack([collection.read(number) for number in range(4)]), PIXELS)
    assert collection.splits.tolist() == ["test"] * 4
    assert collection.labels.tolist() == [-1] * 4


def test_one_item():
    for item in (PIXELS[0], Image.fromarray(PIXELS[0])):
        np.testing.assert_array_equal(item_collection(item).read(0), PIXELS[0])
    assert item_collection(PIXELS, "video").sources[0].shape == PIXELS.shape
    assert item_collection(PIXELS[np.newaxis] * 0.5, "video").sources[0].dtype == "uint8"


def test_pictures_of_pillow_become_rgb():
    gray = Image.fromarray(PIXELS[0, :, :, 0])
    np.testing.assert_array_equal(item_collection([gray]).read(0), np.repeat(PIXELS[0, :, :, :1], 3, axis=-1))


def test_paths(tmp_path):
    folder = write_digits(tmp_path / "data", count=2)
    files = sorted(folder.glob("*/*.png"))
    for items in (folder, str(folder), files, [str(file) for file in files], np.array(files, str)):
        assert item_collection(items).names == [str(file) for file in files]
    assert item_collection(tf.data.Dataset.from_tensor_slices([str(file) for file in files])).sources == list(
        map(str, files)
    )
    assert item_collection(files[0]).names == [str(files[0])]
    assert item_collection([files[0], files[0]]).names == ["0", "1"]  # unique, as reports want them


def test_labels():
    collection = item_collection(PIXELS, labels=[0, 1, 1, 0], class_names=["a", "b"])
    assert (collection.labels.tolist(), collection.splits.tolist()) == ([0, 1, 1, 0], ["train"] * 4)
    with pytest.raises(ValueError, match="There are 4 images and 3 labels"):
        item_collection(PIXELS, labels=[0, 1, 1])
    digits = load_digits()
    assert item_collection(digits) is digits


@pytest.mark.parametrize(
    ("items", "error", "message"),
    [
        ([], DataError, "There are no images"),
        (PIXELS[..., 0], ValueError, r"must hold the numbers of \(height, width, 3\). Received: shape=\(4, 5, 6\)"),
        (PIXELS[..., :2], ValueError, r"shape=\(5, 6, 2\)"),
        (PIXELS / 255, ValueError, "0 to 1; multiply them by 255"),
        (PIXELS * -1.0, ValueError, "must be 0 to 255. Received: -255.0 to"),
        (PIXELS * np.nan, ValueError, "must be 0 to 255. Received: nan"),
        (PIXELS * 2.0, ValueError, "must be 0 to 255. Received: 0.0 to 510.0"),
        ([3.5], TypeError, "must be a path, an array or a Pillow image. Received: a float"),
    ],
)
def test_what_is_refused(items, error, message):
    with pytest.raises(error, match=message):
        item_collection(items)


def test_a_folder_without_items(tmp_path):
    with pytest.raises(DataError, match="no videos in the folder .*, and this model takes videos"):
        item_collection(Path(tmp_path), "video")
