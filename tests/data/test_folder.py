"""Layouts of image folders."""

import numpy as np
import pytest

from keras_fvvae.data import Collection, load_digits, load_image_folder
from keras_fvvae.errors import DataError


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_random_split_is_stratified_and_repeatable(tmp_path):
    _touch(tmp_path, *(f"{c}/{i}.jpg" for c in "ab" for i in range(8)))
    first, second = load_image_folder(tmp_path), load_image_folder(tmp_path)
    assert first.class_names == ["a", "b"]
    assert first.names == second.names
    assert np.array_equal(first.splits, second.splits)
    assert [int(((first.labels == k) & (first.splits == "test")).sum()) for k in (0, 1)] == [2, 2]
    assert not np.array_equal(first.splits, load_image_folder(tmp_path, seed=1).splits)


def test_a_new_class_does_not_move_the_others(tmp_path):
    _touch(tmp_path, *(f"{c}/{i}.jpg" for c in "bc" for i in range(8)))
    before = dict(zip(*(lambda c: (c.names, c.splits))(load_image_folder(tmp_path)), strict=True))
    _touch(tmp_path, "a/1.jpg", "a/2.jpg")
    after = load_image_folder(tmp_path)
    assert {n: s for n, s in zip(after.names, after.splits, strict=True) if n[0] != "a"} == before


def test_train_and_test_folders(tmp_path):
    _touch(tmp_path, "train/a/1.jpg", "train/b/deep/2.PNG", "val/a/3.webp", "val/b/4.jpeg", ".hidden/x.jpg")
    collection = load_image_folder(tmp_path)
    assert dict(zip(collection.names, collection.splits, strict=True)) == {
        "train/a/1.jpg": "train",
        "train/b/deep/2.PNG": "train",
        "val/a/3.webp": "test",
        "val/b/4.jpeg": "test",
    }


def test_a_train_folder_alone_is_a_class(tmp_path):
    _touch(tmp_path, "train/1.jpg", "plane/2.jpg")
    assert load_image_folder(tmp_path, test_fraction=0).class_names == ["plane", "train"]


def test_notes(tmp_path):
    _touch(tmp_path, "a/1.jpg", "a/2.jpg", "a/3.jpg", "a/4.jpg", "b/1.jpg", "c/readme.txt")
    (tmp_path / "empty").mkdir()
    collection = load_image_folder(tmp_path)
    notes = " ".join(collection.notes)
    assert collection.class_names == ["a", "b"]
    assert "empty holds no images" in notes
    assert "1 file below" in notes
    assert "'b' has too few images (1)" in notes


def test_test_only_class_is_noted(tmp_path):
    _touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "test/new/1.jpg")
    assert any("'new' has test images but no training images" in note for note in load_image_folder(tmp_path).notes)


def test_symlink_loop_ends(tmp_path):
    _touch(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a", target_is_directory=True)
    assert load_image_folder(tmp_path, test_fraction=0).names == ["a/1.jpg", "b/1.jpg"]


def test_unicode_and_blanks(tmp_path):
    _touch(tmp_path, "Möwe groß/bild 1.jpg", "鸟/二.jpg")
    assert load_image_folder(tmp_path, test_fraction=0).class_names == ["Möwe groß", "鸟"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["only/1.jpg", "only/2.jpg"], "holds images of 1 class; at least two"),
        (["1.jpg"], "holds images of 0 classes"),
        (["train/a/1.jpg", "test/b/1.jpg"], "fewer than two classes with training images"),
    ],
)
def test_too_few_classes(tmp_path, names, message):
    _touch(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        load_image_folder(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match="does not exist or is not a folder"):
        load_image_folder(tmp_path / "nowhere")


def test_empty_collection():
    with pytest.raises(DataError, match="no images"):
        Collection([], [], [], [], [])


def test_digits():
    digits = load_digits()
    assert len(digits.indices("train")) == 898
    assert len(digits.indices("test")) == 899
    assert digits.read(0).shape == (8, 8, 3)
    assert digits.read(0).max() == 239  # 15 of 16
    assert np.bincount(digits.labels).min() > 170


def test_official_birds(shared):
    collection = load_image_folder(shared / "data" / "CUB_200_2011" / "images")
    assert len(collection) == 837
    assert len(collection.class_names) == 15
