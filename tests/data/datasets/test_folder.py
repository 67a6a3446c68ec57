"""Layouts of image folders."""

import numpy as np
import pytest

from keras_fvvae.data import Collection, load_digits
from keras_fvvae.data.datasets.folder import load_folder
from keras_fvvae.errors import DataError


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_random_split_is_stratified_and_repeatable(tmp_path):
    _touch(tmp_path, *(f"{c}/{i}.jpg" for c in "ab" for i in range(8)))
    first, second = load_folder(tmp_path), load_folder(tmp_path)
    assert first.class_names == ["a", "b"]
    assert first.names == second.names
    assert np.array_equal(first.splits, second.splits)
    assert [int(((first.labels == k) & (first.splits == "test")).sum()) for k in (0, 1)] == [2, 2]
    assert not np.array_equal(first.splits, load_folder(tmp_path, seed=1).splits)


def test_a_new_class_does_not_move_the_others(tmp_path):
    _touch(tmp_path, *(f"{c}/{i}.jpg" for c in "bc" for i in range(8)))
    before = dict(zip(*(lambda c: (c.names, c.splits))(load_folder(tmp_path)), strict=True))
    _touch(tmp_path, "a/1.jpg", "a/2.jpg")
    after = load_folder(tmp_path)
    assert {n: s for n, s in zip(after.names, after.splits, strict=True) if n[0] != "a"} == before


def test_train_and_test_folders(tmp_path):
    _touch(tmp_path, "train/a/1.jpg", "train/b/deep/2.PNG", "val/a/3.webp", "val/b/4.jpeg", ".hidden/x.jpg")
    collection = load_folder(tmp_path)
    assert dict(zip(collection.names, collection.splits, strict=True)) == {
        "train/a/1.jpg": "train",
        "train/b/deep/2.PNG": "train",
        "val/a/3.webp": "test",
        "val/b/4.jpeg": "test",
    }


def test_a_train_folder_alone_is_a_class(tmp_path):
    _touch(tmp_path, "train/1.jpg", "plane/2.jpg")
    assert load_folder(tmp_path, test_fraction=0).class_names == ["plane", "train"]


def test_notes(tmp_path):
    _touch(tmp_path, "a/1.jpg", "a/2.jpg", "a/3.jpg", "a/4.jpg", "b/1.jpg", "c/readme.txt")
    (tmp_path / "empty").mkdir()
    collection = load_folder(tmp_path)
    notes = " ".join(collection.notes)
    assert collection.class_names == ["a", "b"]
    assert "empty holds no images" in notes
    assert "1 file below" in notes
    assert "'b' has too few images (1)" in notes


def test_test_only_class_is_noted(tmp_path):
    _touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "test/new/1.jpg")
    assert any("1 class has test images but no training images: 'new'" in note for note in load_folder(tmp_path).notes)


def test_symlink_loop_ends(tmp_path):
    _touch(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a", target_is_directory=True)
    assert load_folder(tmp_path, test_fraction=0).names == ["a/1.jpg", "b/1.jpg"]


def test_unicode_and_blanks(tmp_path):
    _touch(tmp_path, "Möwe groß/bild 1.jpg", "鸟/二.jpg")
    assert load_folder(tmp_path, test_fraction=0).class_names == ["Möwe groß", "鸟"]


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
        load_folder(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match="does not exist or is not a folder"):
        load_folder(tmp_path / "nowhere")


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


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/deep/1.AVI", "a/2.mp4", "b/3.mkv"], ["a/2.mp4", "a/deep/1.AVI", "b/3.mkv"]),
        # A folder of frames is one video, from 0 or from 1, with flow beside it, and is not entered.
        (["a/v/img_00000.jpg", "a/v/img_00001.jpg", "a/v/more/x.avi", "b/w/img_00001.jpg"], ["a/v", "b/w"]),
        (["a/v/flow_x_00001.jpg", "a/v/flow_y_00001.jpg", "b/w/x/frame_0001.png"], ["a/v", "b/w/x"]),
        (["a/v/img_00001.jpg", "a/2.mp4", "b/3.avi"], ["a/2.mp4", "a/v", "b/3.avi"]),
    ],
)
def test_videos_are_recognised(tmp_path, names, expected):
    _touch(tmp_path, *names)
    collection = load_folder(tmp_path, test_fraction=0)
    assert collection.kind == "video"
    assert collection.names == expected
    assert load_folder(tmp_path, test_fraction=0, kind="video").names == expected


def test_plain_numbers_are_videos_only_on_request(tmp_path):
    _touch(tmp_path, *(f"{c}/{v}/{i:06d}.jpg" for c in "ab" for v in "xy" for i in range(3)))
    images = load_folder(tmp_path, test_fraction=0)
    assert (images.kind, len(images)) == ("image", 12)
    videos = load_folder(tmp_path, test_fraction=0, kind="video")
    assert (videos.kind, videos.names) == ("video", ["a/x", "a/y", "b/x", "b/y"])


def test_numbered_images_in_class_folders_are_images(tmp_path):
    _touch(tmp_path, *(f"{c}/img_{i:03d}.jpg" for c in "ab" for i in range(3)))
    assert load_folder(tmp_path, test_fraction=0).kind == "image"
    # On request a class folder of frames is one video, unless there are videos below it.
    assert load_folder(tmp_path, test_fraction=0, kind="video").names == ["a", "b"]
    _touch(tmp_path, "a/deep/clip.avi")
    assert load_folder(tmp_path, test_fraction=0, kind="video").names == ["a/deep/clip.avi", "b"]


def test_thumbnails_beside_videos_are_passed_over(tmp_path):
    _touch(tmp_path, "a/x/clip1.avi", "a/x/clip2.avi", "a/x/clip1.jpg", "a/x/clip2.jpg", "b/clip1.avi")
    collection = load_folder(tmp_path, test_fraction=0)
    assert collection.names == ["a/x/clip1.avi", "a/x/clip2.avi", "b/clip1.avi"]
    assert [note for note in collection.notes if "2 files below" in note and "not videos" in note]


def test_separate_images_are_no_video(tmp_path):
    _touch(tmp_path, "a/x/cat_7.jpg", "a/y/dog 1.jpg", "a/y/bird 2.jpg", "a/1.avi", "b/2.avi")
    assert load_folder(tmp_path, test_fraction=0).names == ["a/1.avi", "b/2.avi"]


def test_images_on_request_from_a_folder_with_videos(tmp_path):
    _touch(tmp_path, "a/1.jpg", "a/1.avi", "b/2.jpg")
    collection = load_folder(tmp_path, test_fraction=0, kind="image")
    assert collection.names == ["a/1.jpg", "b/2.jpg"]
    assert any("1 file below" in note for note in collection.notes)


def test_video_messages(tmp_path):
    _touch(tmp_path, "a/1.avi", "b/readme.txt")
    with pytest.raises(DataError, match=r"videos of 1 class; .*folders of frames"):
        load_folder(tmp_path)
    with pytest.raises(ValueError, match="`kind` must be"):
        load_folder(tmp_path, kind="film")
    with pytest.raises(ValueError, match="`test_fraction` must be"):
        load_folder(tmp_path, test_fraction=1)


def test_a_third_part_is_noted(tmp_path):
    _touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "val/a/2.jpg")
    collection = load_folder(tmp_path)
    assert len(collection) == 3
    assert any(note.startswith(f"The folder {tmp_path / 'val'} is neither") for note in collection.notes)


def test_video_folders_that_loop(tmp_path):
    _touch(tmp_path, "a/1.avi", "b/v/img_00001.jpg")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a", target_is_directory=True)
    assert load_folder(tmp_path, test_fraction=0).names == ["a/1.avi", "b/v"]


def test_real_clips(shared):
    collection = load_folder(shared / "data" / "ucf101" / "UCF-101")
    assert (collection.kind, len(collection), len(collection.class_names)) == ("video", 104, 64)


def test_official_birds(shared):
    collection = load_folder(shared / "data" / "CUB_200_2011" / "images")
    assert len(collection) == 837
    assert len(collection.class_names) == 15


def test_unlabelled(tmp_path):
    for name in ("a.jpg", "deep/er/b.png", "deep/note.txt", ".hidden/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    collection = load_folder(tmp_path, unlabelled=True)
    assert collection.names == ["a.jpg", "deep/er/b.png"]
    assert (collection.labels.tolist(), collection.splits.tolist()) == ([-1, -1], ["train", "train"])
    assert (collection.class_names, collection.kind) == ([], "image")
    assert "1 other file" in collection.notes[0]
    with pytest.raises(DataError, match="holds no videos"):
        load_folder(tmp_path, unlabelled=True, kind="video")
    (tmp_path / "deep" / "a.mp4").write_bytes(b"")
    assert load_folder(tmp_path, unlabelled=True).names == ["deep/a.mp4"]
