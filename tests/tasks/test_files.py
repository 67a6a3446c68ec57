"""The files that a user names for a model."""

import pytest

from keras_fvvae.errors import DataError
from keras_fvvae.tasks.files import input_files, results_of
from tests.support.video_files import numbered_frames, write_video


@pytest.fixture
def folder(tmp_path):
    """Images and videos at two depths, a folder of frames, and what is neither."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "frames").mkdir()
    for name in ("b.jpg", "deep/a.PNG", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).touch()
    for number in (1, 2):
        (tmp_path / "frames" / f"img_{number:05d}.jpg").touch()
    write_video(tmp_path / "deep" / "clip.avi", numbered_frames(2))
    return tmp_path


def _names(folder, paths, kind):
    return [(path.removeprefix(f"{folder}/"), objection) for path, objection in input_files(paths, kind)]


def test_a_video_is_told_by_its_content_where_its_name_does_not(folder):
    (folder / "film").write_bytes((folder / "deep" / "clip.avi").read_bytes())
    assert _names(folder, [folder / "film"], "image") == [("film", "this model takes images, and this is a video")]


def test_an_empty_list_is_an_error(folder):
    (folder / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match=r"empty.txt lists no files\.$"):
        list(input_files([folder / "empty.txt"], "image"))


def test_a_folder_of_images_is_searched(folder):
    found = ["b.jpg", "deep/a.PNG", "frames/img_00001.jpg", "frames/img_00002.jpg"]
    assert _names(folder, [folder], "image") == [(name, "") for name in found]
    assert _names(folder, ["x.jpg", folder / "deep"], "image") == [("x.jpg", ""), ("deep/a.PNG", "")]


def test_a_folder_of_videos_is_searched_and_frames_are_one(folder):
    assert _names(folder, [folder], "video") == [("deep/clip.avi", ""), ("frames", "")]
    assert _names(folder, [folder / "frames"], "video") == [("frames", "")]


def test_the_wrong_kind_is_told(folder):
    assert _names(folder, ["a.avi", "a.dat"], "image") == [
        ("a.avi", "this model takes images, and this is a video"),
        ("a.dat", ""),
    ]
    assert _names(folder, ["a.jpg", "a.gif"], "video") == [
        ("a.jpg", "this model takes videos, and this is an image"),
        ("a.gif", ""),
    ]
    (folder / "empty").mkdir()
    assert _names(folder, [folder / "empty"], "image") == [
        ("empty", "there are no images in this folder, and this model takes images")
    ]


def test_results_keep_the_order(folder):
    def judge(files):
        yield from ({"file": file, "labels": ["x"]} for file in files)

    results = list(results_of(["1.jpg", "2.avi", "3.jpg"], "image", judge))
    assert [result["file"] for result in results] == ["1.jpg", "2.avi", "3.jpg"]
    assert ["error" in result for result in results] == [False, True, False]
    assert next(results_of(["2.avi"], "image", None))["error"] == "this model takes images, and this is a video"


def test_patterns_and_lists_stand_for_files(folder):
    found = ["b.jpg", "deep/a.PNG", "frames/img_00001.jpg", "frames/img_00002.jpg"]
    assert _names(folder, [f"{folder}/*.jpg", f"{folder}/**/*.PNG"], "image") == [("b.jpg", ""), ("deep/a.PNG", "")]
    assert _names(folder, [f"{folder}/*.png"], "image") == [("*.png", "")]  # as it is: who reads it says that it is not
    (folder / "a[1].jpg").touch()
    assert _names(folder, [f"{folder}/a[1].jpg"], "image") == [("a[1].jpg", "")]
    (folder / "list.txt").write_text("# chosen\nb.jpg\n\ndeep\nabsent.jpg\nb.jpg\n")
    (folder / "list.csv").write_text("file,label\nb.jpg,x\ndeep/clip.avi,\n")
    (folder / "list.jsonl").write_text('{"file": "deep/a.PNG"}\n')
    assert [name for name, _ in _names(folder, [folder / "list.txt"], "image")] == ["b.jpg", "deep/a.PNG", "absent.jpg"]
    assert _names(folder, [folder / "list.csv", folder / "list.jsonl"], "image") == [
        ("b.jpg", ""),
        ("deep/clip.avi", "this model takes images, and this is a video"),
        ("deep/a.PNG", ""),
    ]
    (folder / "bad.csv").write_text("name\nb.jpg\n")
    with pytest.raises(DataError, match="must name the columns"):
        _names(folder, [folder / "bad.csv"], "image")
    assert [name for name, _ in _names(folder, [folder], "image")][1:] == found
