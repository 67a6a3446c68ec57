"""Trainings on videos that are broken, have odd names or are listed wrongly, and predictions of such."""

import csv
import dataclasses
import os

import numpy as np
import pytest

from keras_fvvae.data import load_folder, load_list
from keras_fvvae.errors import DataError
from keras_fvvae.reporting.report import write_report
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.predict import predict
from tests.support.trained_runs import same, stopped_before, weights
from tests.support.video_files import broken_videos, numbered_frames, write_video

UNREADABLE = {
    "truncated.mp4": "not a video that FFmpeg reads: invalid data found when processing input",
    "zero.avi": "the file is empty",
    "text.mp4": "not a video that FFmpeg reads: invalid data found when processing input",
    "audio_only.mp4": "it has no video stream, only audio",
}


def skipped_in(run, name="skipped.csv"):
    with (run.path / name).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "reason"]
    return dict(rows[1:])


@pytest.fixture
def class_folders(tmp_path):
    """`data/{left,right}/<number>.avi`: six short videos a class."""
    rng = np.random.default_rng(0)
    for name in ("left", "right"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(6):
            frames = numbered_frames(4 + number)
            frames[..., 2] = 200 if name == "left" else 20
            frames[:, 20:, ::3] = rng.integers(0, 256, frames[:, 20:, ::3].shape)
            write_video(tmp_path / "data" / name / f"{number}.avi", frames)
    return tmp_path / "data"


def test_predict_names_what_cannot_be_read(finished_videos, tmp_path):
    run = finished_videos()
    names = list(broken_videos(tmp_path / "data"))
    results = {
        r["file"]: r for r in predict(run.path, [tmp_path / "data" / name for name in names] + [tmp_path / "no"])
    }
    errors = {os.path.relpath(file, tmp_path): r["error"] for file, r in results.items() if "error" in r}
    assert errors == {
        **{f"data/{name}": reason for name, reason in UNREADABLE.items()},
        "data/flow1": "the folder holds no numbered frames such as img_00001.jpg",
        "no": "cannot be opened: No such file or directory",
    }
    good = [r for r in results.values() if "labels" in r]
    assert len(good) == 12 - 1
    assert all(len(r["labels"]) == 5 and r["scores"] == sorted(r["scores"], reverse=True) for r in good)
    # Batches are of several videos: what is broken beside a file does not change it.
    one = tmp_path / "data" / "odd.avi"
    assert np.allclose(next(predict(run.path, [one]))["scores"], results[str(one)]["scores"], atol=1e-5)


@pytest.mark.parametrize("changes", [{}, pytest.param({"trainable_from": "all"}, marks=pytest.mark.slow)], ids=str)
def test_broken_videos_change_nothing(class_folders, train_videos, tmp_path, changes):
    """In a class folder, beside good ones; those that decode in part are used, and are in both trainings."""
    names = list(broken_videos(class_folders / "left"))
    (class_folders / "left" / "loop").symlink_to(class_folders / "left")
    (class_folders / "left" / "dangling.avi").symlink_to(tmp_path / "nowhere.avi")
    everything = load_folder(class_folders)
    assert set(names) <= {name.removeprefix("left/") for name in everything.names}
    assert len(everything) == 12 + len(names) + 1, "the loop is entered once"
    run = train_videos(everything, max_unreadable=0.5, **changes)
    expected = {f"left/{name}": reason for name, reason in UNREADABLE.items()}
    expected["left/flow1"] = "the folder holds no numbered frames such as img_00001.jpg"
    expected["left/dangling.avi"] = "cannot be opened: No such file or directory"
    assert skipped_in(run) == expected
    assert run.results.skipped == 6
    damaged = skipped_in(run, "damaged.csv")
    assert damaged["left/truncated.avi"].startswith("truncated: its header promises 30 frames, ")
    # Every frame of a file is decoded, of a folder those that are wanted.
    assert set(damaged) - {"left/frames_corrupt"} == {"left/truncated.avi", "left/corrupt_middle.avi"}
    assert run.results.notes[-1] == f"{len(damaged)} damaged videos are used as far as they decode; see damaged.csv."
    with stopped_before("fit"):  # from the cache, where there is one
        train_videos(everything, out="again", max_unreadable=0.5, **changes)
    assert skipped_in(RunFolder(tmp_path / "again"), "damaged.csv") == damaged

    without = everything.subset([i for i, name in enumerate(everything.names) if name not in expected])
    clean = train_videos(without, out="clean", cache="clean_cache", **changes)
    assert clean.read_json("vectors.json") == run.read_json("vectors.json")
    assert np.array_equal(np.load(clean.path / "vectors.npy"), np.load(run.path / "vectors.npy"))
    assert same(weights(clean), weights(run))
    assert dataclasses.replace(clean.results, skipped=6) == run.results
    assert np.array_equal(clean.scores()["FV-VAE"], run.scores()["FV-VAE"])
    with pytest.raises(DataError, match=r"6 of 29 videos cannot be used \(21%, allowed are 10%\)"):
        train_videos(everything, out="refused", **changes)
    assert skipped_in(RunFolder(tmp_path / "refused")) == expected, "listed also where the training is refused"


@pytest.mark.system
def test_report_shows_a_video_whose_middle_frame_is_damaged_or_that_is_gone(class_folders, train_videos):
    broken = broken_videos(class_folders / "right") and class_folders / "right" / "frames_corrupt"
    (class_folders / "right" / "frames_corrupt" / "img_00006.jpg").write_bytes(b"")
    collection = load_folder(class_folders)
    good = [i for i, name in enumerate(collection.names) if name.count(".avi") and name[-5].isdigit()]
    index = collection.names.index("right/frames_corrupt")
    collection.splits[index] = "test"
    collection = collection.subset([*good, index])
    run = train_videos(collection)
    assert "right/frames_corrupt" in run.vectors().names
    assert write_report([run.path], run.path / "report.html", collection).is_file()
    for path in broken.iterdir():
        path.unlink()
    assert write_report([run.path], run.path / "report.html", collection).is_file()


def test_names_with_blanks_and_unicode(class_folders, train_videos):
    odd = [
        "a b.avi",
        "Ünïcode 视频.avi",
        'quote".avi',
        "comma, and;semicolon.avi",
        "colon:name.avi",
        "[%05d]*.avi",
    ]
    for number, name in enumerate(odd):
        (class_folders / "right" / f"{number}.avi").rename(class_folders / "right" / name)
    (class_folders / "right" / "line\nbreak.avi").write_bytes(b"")
    (class_folders / "left" / os.fsdecode(b"caf\xe9.avi")).write_bytes((class_folders / "left" / "1.avi").read_bytes())
    run = train_videos(load_folder(class_folders))
    assert skipped_in(run) == {"right/line\nbreak.avi": "the file is empty"}
    assert {f"right/{name}" for name in odd} <= set(run.vectors().names)
    results = list(predict(run.path, [class_folders / "right" / name for name in odd]))
    assert all("labels" in result for result in results)


def test_a_list_with_absent_and_duplicated_names(class_folders, train_videos, tmp_path):
    rows = [f"{c}/{n}.avi,{c},{'test' if n > 3 else 'train'}" for c in ("left", "right") for n in range(6)]
    clean = load_list(_written(class_folders / "clean.csv", rows))
    rows[3:3] = ["left/absent.avi,left,train", "left/0.avi,left,test", rows[1], "../outside.avi,right,test"]
    collection = load_list(_written(class_folders / "list.csv", rows))
    assert collection.missing == ["left/absent.avi", "../outside.avi"]
    # What is learnt from is what the list without them holds.
    for field in ("sources", "names", "labels", "splits", "class_names"):
        np.testing.assert_array_equal(getattr(collection, field), getattr(clean, field), err_msg=field)
    run = train_videos(collection)
    assert skipped_in(run) == {}
    notes = " ".join(run.results.notes)
    assert "12 of 14 listed files of list.csv" in notes
    assert "2 lines of list.csv repeat a file; its first line counts" in notes
    assert "1 of them say another split than the first, such as line 6" in notes


def _written(path, rows):
    path.write_text("\n".join(["file,label,split", *rows]), encoding="utf-8")
    return path
