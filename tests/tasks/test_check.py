"""What `check_collection` reports is what is in the files."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.data import Collection, load_folder, load_list, read_video
from keras_fvvae.errors import DataError
from keras_fvvae.tasks.check import check_collection
from tests.support.video_files import broken_videos, numbered_frames, write_video


def check(collection, **options):
    return check_collection(collection, verbose=0, **options)


@pytest.fixture
def broken(tmp_path):
    names = list(broken_videos(tmp_path / "data"))
    count = len(names)
    return Collection(
        [tmp_path / "data" / name for name in names], names, [0] * count, ["train"] * count, ["x", "y"], kind="video"
    )


def _whole(source):
    try:
        return read_video(source, range)
    except DataError:
        return None


@pytest.mark.parametrize("workers", [1, 4])
def test_broken_videos(broken, workers, tmp_path):
    report = check(broken, workers=workers)
    assert (report["kind"], report["items"], report["usable"]) == ("video", 16, 12)
    assert report["unusable"] == {
        "truncated.mp4": "not a video that FFmpeg reads: invalid data found when processing input",
        "zero.avi": "the file is empty",
        "text.mp4": "not a video that FFmpeg reads: invalid data found when processing input",
        "audio_only.mp4": "it has no video stream, only audio",
    }
    warnings = report["warnings"]
    total = read_video(tmp_path / "data" / "truncated.avi", range).total
    assert warnings["truncated.avi"].startswith(f"truncated: its header promises 30 frames, {total} decode")
    assert "damaged: " in warnings["corrupt_middle.avi"]
    assert warnings["one_frame.avi"] == "a single frame: it has no optical flow"
    assert warnings["frames_corrupt"] == "damaged: 1 of its packets or frames do not decode"
    assert warnings.keys() == {"truncated.avi", "corrupt_middle.avi", "one_frame.avi", "frames_corrupt"}
    decoded = [found.total for found in map(_whole, broken.sources) if found]
    assert report["frames"] == [1, int(np.median(decoded)), max(decoded)]
    assert max(decoded) < 30, "what decodes is counted, not what headers promise"
    sizes = {(height, width): count for height, width, count in report["sizes"]}
    assert sizes[64, 48] == 1, "turned by 90 degrees"
    assert sizes[51, 37] == sizes[2160, 3840] == 1
    assert sum(sizes.values()) == report["usable"]
    assert report["classes"] == {"x": {"train": 12, "test": 0}, "y": {"train": 0, "test": 0}}


def test_the_order_of_frame_folders_does_not_matter_but_content_does(broken):
    """frames0 and frames1 show the same, under other numbers."""
    duplicates = check(broken)["duplicates"]
    assert [group["names"] for group in duplicates] == [["frames0", "frames1"]]


def test_counts_sizes_lengths(tmp_path):
    for name, frames, height in (("a/1", 4, 48), ("a/2", 9, 48), ("b/1", 5, 32), ("b/2", 5, 48)):
        for split in ("train", "test") if name != "b/2" else ("train",):
            path = tmp_path / split / f"{name}.avi"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, numbered_frames(frames, height))
    report = check(load_folder(tmp_path))
    assert report["classes"] == {"a": {"train": 2, "test": 2}, "b": {"train": 2, "test": 1}}
    assert report["sizes"] == [[48, 64, 5], [32, 64, 2]]
    assert report["frames"] == [4, 5, 9]
    assert report["unusable"] == report["warnings"] == {}
    assert [(group["names"], group["across_splits"], group["across_classes"]) for group in report["duplicates"]] == [
        (["train/a/1.avi", "test/a/1.avi"], True, False),
        (["train/a/2.avi", "test/a/2.avi"], True, False),
        (["train/b/1.avi", "test/b/1.avi"], True, False),
    ]


def test_duplicates_across_classes(folder):
    one = folder / "0" / "0000.png"
    shutil.copy(one, folder / "0" / "copy.png")
    shutil.copy(one, folder / "1" / "other name.png")
    collection = load_folder(folder, test_fraction=0.0)
    (group,) = check(collection)["duplicates"]
    assert group == {
        "names": ["0/0000.png", "0/copy.png", "1/other name.png"],
        "across_splits": False,
        "across_classes": True,
    }
    # Broken files are broken, not duplicates of each other.
    for name in "ab":
        (folder / "0" / f"{name}.png").write_bytes(b"")
    report = check(load_folder(folder, test_fraction=0.0))
    assert len(report["duplicates"]) == 1
    assert report["unusable"] == {"0/a.png": "the file is empty", "0/b.png": "the file is empty"}
    assert report["frames"] is None


def test_missing_unlabelled_and_absent(folder):
    (folder / "list.csv").write_text("file,label,split\n0/0000.png,x,train\n1/0001.png,,train\nnone.png,y,test\n")
    collection = load_list(folder / "list.csv")
    report = check(collection)
    assert report["missing"] == ["none.png"]
    assert report["classes"]["(unlabelled)"] == {"train": 1, "test": 0}
    assert report["classes"]["x"] == {"train": 1, "test": 0}
    (folder / "0" / "0000.png").unlink()  # between listing and reading
    report = check(collection)
    assert report["unusable"] == {"0/0000.png": "cannot be opened: No such file or directory"}
    assert report["usable"] == 1


def test_nothing_usable(tmp_path):
    collection = Collection([tmp_path / "a.avi"], ["a.avi"], [0], ["train"], ["x"], kind="video")
    report = check(collection)
    assert (report["usable"], report["frames"], report["sizes"]) == (0, None, [])


def test_frame_folder_with_other_things_in_it(tmp_path):
    broken_videos(tmp_path)
    (tmp_path / "frames0" / "thumbnails").mkdir()
    os.symlink(tmp_path, tmp_path / "frames0" / "loop")
    collection = Collection([tmp_path / "frames0"], ["frames0"], [0], ["train"], ["x"], kind="video")
    report = check(collection)
    assert (report["usable"], report["unusable"]) == (1, {})
    assert report["frames"] == [10, 10, 10]


def test_flow_folders(tmp_path):
    broken_videos(tmp_path)
    sources = [
        tmp_path / "flow1",
        shutil.copytree(tmp_path / "flow1", tmp_path / "flow2"),
        shutil.copytree(tmp_path / "flow1", tmp_path / "flow3"),
        shutil.copytree(tmp_path / "flow1", tmp_path / "flow4"),
    ]
    (sources[1] / "flow_y_00003.jpg").write_bytes(b"nothing")
    (sources[2] / "flow_y_00003.jpg").unlink()
    for path in sources[3].iterdir():
        path.write_bytes(b"nothing")
    collection = Collection(sources, [s.name for s in sources], [0] * 4, ["train"] * 4, ["x"], kind="video")
    report = check(collection)
    assert report["warnings"] == {"flow2": "damaged: 1 of its packets or frames do not decode"}
    assert report["unusable"] == {
        "flow3": "the folder holds 10 flow_x and 9 flow_y frames; both are needed for every number",
        "flow4": "none of its flow frames can be decoded",
    }
    assert report["frames"] == [11, 11, 11], "ten pairs of eleven frames"
    assert report["sizes"] == [[48, 64, 2]]


def test_truncated_images_and_arrays(tmp_path):
    content = tf.io.encode_jpeg(np.random.default_rng(0).integers(0, 256, (64, 64, 3), "uint8")).numpy()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    array = np.zeros((8, 9, 3), "uint8")
    collection = Collection(
        [tmp_path / "cut.jpg", array, array], ["cut", "a", "b"], [0, 0, 1], ["train"] * 3, ["x", "y"]
    )
    report = check(collection)
    assert report["unusable"] == {"cut": "truncated or damaged"}
    assert report["sizes"] == [[8, 9, 2]]
    assert report["duplicates"] == [{"names": ["a", "b"], "across_splits": False, "across_classes": True}]
