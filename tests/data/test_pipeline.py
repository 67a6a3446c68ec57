"""Broken files are reported and change nothing for the others."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_fvvae.data import Collection, image_batches, unreadable_images
from keras_fvvae.data.augmentation import augment


@pytest.fixture
def files(tmp_path):
    """Nine files of which five are broken, and the reason expected for each."""
    paths = {}
    for index in range(4):
        image = Image.fromarray(np.full((6, 5, 3), 50 * index, "uint8"))
        paths[f"good{index}.png"] = None
        image.save(tmp_path / f"good{index}.png")
    whole = (tmp_path / "good1.png").read_bytes()
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = whole[:8] + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + whole[33:]
    Image.new("RGB", (1, 1)).save(tmp_path / "pixel.png")
    for name, content, reason in (
        ("empty.jpg", b"", "the file is empty"),
        ("text.jpg", b"hello", "not a JPEG"),
        ("truncated.png", whole[:60], "truncated or damaged"),
        ("bomb.png", bomb, "3,600,000,000 pixels"),
    ):
        (tmp_path / name).write_bytes(content)
        paths[name] = reason
    paths["pixel.png"] = "1x1 pixels"
    paths["absent.png"] = "No such file"
    names = sorted(paths)
    return Collection([tmp_path / n for n in names], names, [0] * len(names), ["train"] * len(names), []), paths


def test_reasons_and_order(files):
    collection, expected = files
    batches = list(image_batches(collection, range(len(collection)), (4, 4), batch_size=3))
    indices = np.concatenate([b["index"] for b in batches])
    reasons = [r.decode() for b in batches for r in b["reason"].numpy()]
    images = np.concatenate([b["image"] for b in batches])
    assert indices.tolist() == list(range(len(collection)))
    for name, reason, image in zip(collection.names, reasons, images, strict=True):
        if expected[name] is None:
            assert reason == ""
            assert np.allclose(image, 50 * int(name[4]))
        else:
            assert expected[name] in reason


def test_unreadable_images(files):
    collection, expected = files
    reasons = unreadable_images(collection, np.arange(len(collection)))
    assert {collection.names[i] for i in reasons} == {name for name, reason in expected.items() if reason}


def test_pixels_in_memory():
    images = [np.full((8, 8, 3), i, "uint8") for i in range(3)]
    collection = Collection(images, "abc", [0, 1, 0], ["train"] * 3, ["x", "y"])
    batch = next(iter(image_batches(collection, [2, 0], (8, 8), 2)))
    assert batch["image"].numpy()[:, 0, 0, 0].tolist() == [2, 0]


def test_key_changes_with_the_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    collection = Collection([path], ["a"], [0], ["train"], ["x"])
    before = collection.key(0)
    path.write_bytes(b"12")
    assert collection.key(0) != before


def test_augment_is_a_function_of_the_seed():
    image = np.random.default_rng(0).random((8, 8, 3)).astype("float32")
    changed = [augment(image, np.array([1, s]), shift=1, mirror=True).numpy() for s in range(20)]
    again = [augment(image, np.array([1, s]), shift=1, mirror=True).numpy() for s in range(20)]
    assert np.array_equal(changed, again)
    assert len({c.tobytes() for c in changed}) > 8
    assert np.array_equal(augment(image, np.array([1, 2])), image)


def test_augment_shifts_by_at_most_the_given_pixels():
    image = np.zeros((9, 9, 1), "float32")
    image[4, 4] = 1
    positions = {tuple(np.argwhere(augment(image, np.array([0, s]), shift=2).numpy())[0][:2]) for s in range(200)}
    assert positions == {(y, x) for y in range(2, 7) for x in range(2, 7)}
