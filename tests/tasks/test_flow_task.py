"""Flow computed beforehand: the flow that is computed on the fly, resumable, and never half of it."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_fvvae.data import Collection, FlowSettings, Views, load_folder, read_video
from keras_fvvae.data.readers.flow import FlowFolder, optical_flow, quantize_flow
from keras_fvvae.data.views import read_resized
from keras_fvvae.errors import DataError
from keras_fvvae.tasks import flow as task_flow
from keras_fvvae.tasks.flow import compute_flow
from tests.support.small_data import VIDEO_FRAMES
from tests.support.video_files import broken_videos, numbered_frames, write_video

SIZE = (32, 32)
# Of 255 levels, by JPEG at quality 95: measured 0.52 and 6.
MEAN_LOSS, LARGEST_LOSS = 0.8, 12
KILLED = """
import sys
from keras_fvvae.data import FlowSettings, load_folder
from keras_fvvae.tasks.flow import compute_flow
compute_flow(load_folder(sys.argv[1]), sys.argv[2], FlowSettings(), (32, 32), workers=2, verbose=0)
"""


def compute(collection, out, settings=None, size=SIZE, **options):
    return compute_flow(collection, out, settings or FlowSettings(), size, verbose=0, **options)


def contents(out):
    """Every file but the settings, by its path."""
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*.jpg"))}


def collect(sources, names):
    count = len(names)
    return Collection(sources, names, [0] * count, ["train"] * count, ["x", "y"], kind="video")


@pytest.mark.parametrize("settings", [FlowSettings(), FlowSettings("farneback", 6.0)], ids=str)
@pytest.mark.parametrize(("size", "resize"), [(SIZE, "squeeze"), ((40, 24), "pad")])
def test_equal_to_flow_on_the_fly(videos, tmp_path, settings, size, resize):
    """As a data set of its own, with the same names, classes and splits."""
    out = tmp_path / "flow"
    assert compute(videos, out, settings, size, resize=resize) == {"written": 24, "present": 0, "skipped": {}}
    stored = load_folder(out)
    assert stored.kind == "video"
    assert stored.class_names == sorted(videos.class_names)
    position = {name: i for i, name in enumerate(stored.names)}
    views = Views(size, resize=resize, modality="flow", frames=25, flow=settings)
    moved = 0
    for index, name in enumerate(videos.names):
        other = position[name.rsplit(".", 1)[0]]
        assert stored.splits[other] == videos.splits[index]
        assert stored.class_names[stored.labels[other]] == videos.class_names[videos.labels[index]]
        (direct,), (read,) = (read_resized(c, i, [views]) for c, i in ((videos, index), (stored, other)))
        assert direct.shape == read.shape == (VIDEO_FRAMES - 1, *size, 3)
        loss = np.abs(direct[..., :2].astype(int) - read[..., :2])
        assert loss.mean() < MEAN_LOSS
        assert loss.max() <= LARGEST_LOSS
        moved = max(moved, np.abs(direct[..., :2].astype(int) - 128).mean())
    assert moved > 1  # there is motion to be lost


def test_x_comes_before_y_and_pairs_are_in_order(videos, tmp_path):
    index = videos.names.index("train/move_left/move_left_000.avi")
    compute(videos.subset([index]), tmp_path / "flow", size=(32, 40))
    folder = FlowFolder(tmp_path / "flow" / "train" / "move_left" / "move_left_000")
    assert folder.pairs == VIDEO_FRAMES - 1
    frames = read_video(videos.sources[index], range).frames
    from keras_fvvae.data.readers.image import resize_image

    images = [np.round(resize_image(frames[i], (32, 40)).numpy()).astype("uint8") for i in range(VIDEO_FRAMES)]
    for position in range(folder.pairs):
        expected = quantize_flow(optical_flow(images[position], images[position + 1])).astype(int)
        assert np.abs(folder.read(position) - expected).mean() < MEAN_LOSS
        assert expected[..., 0].min() < 122, "it moves to the left"


def test_frames_equal_those_decoded(tmp_path):
    video = write_video(tmp_path / "v.avi", numbered_frames(12, 32, 32))
    compute(collect([video], ["v.avi"]), tmp_path / "flow", frames=True)
    names = sorted(path.name for path in (tmp_path / "flow" / "v").iterdir())
    assert names == [
        f"{stem}_{n:05d}.jpg"
        for stem, count in (("flow_x", 11), ("flow_y", 11), ("img", 12))
        for n in range(1, count + 1)
    ]
    decoded = read_video(video, range).frames
    written = read_video(tmp_path / "flow" / "v", range).frames
    assert written.keys() == decoded.keys()
    for position, frame in decoded.items():
        difference = np.abs(frame.astype(int) - written[position])
        assert difference.mean() < 4
        assert np.argmin([np.abs(frame.astype(int) - other).mean() for other in written.values()]) == position


def test_broken_videos(tmp_path):
    names = list(broken_videos(tmp_path / "data"))
    sources = [tmp_path / "data" / name for name in names]
    collection = collect(sources, ["mp4/" * name.endswith("mp4") + name for name in names])  # of two called truncated
    result = compute(collection, tmp_path / "flow")
    assert result["skipped"] == {
        "mp4/truncated.mp4": "not a video that FFmpeg reads: invalid data found when processing input",
        "zero.avi": "the file is empty",
        "mp4/text.mp4": "not a video that FFmpeg reads: invalid data found when processing input",
        "mp4/audio_only.mp4": "it has no video stream, only audio",
        "one_frame.avi": "it has a single frame; optical flow needs two",
        "flow1": "the folder holds no numbered frames such as img_00001.jpg",
    }
    pairs = {
        "vfr.mkv": 11,
        "mp4/rotated.mp4": 9,
        "odd.avi": 9,
        "mp4/uhd.mp4": 2,
        "blanks and Ünïcode.avi": 9,
        "frames0": 9,
    }
    for name, count in pairs.items():
        assert FlowFolder(tmp_path / "flow" / name.rsplit(".", 1)[0]).pairs == count
    total = read_video(tmp_path / "data" / "truncated.avi", range).total
    assert FlowFolder(tmp_path / "flow" / "truncated").pairs == total - 1 < 29
    assert not any(".partial" in str(path) for path in (tmp_path / "flow").rglob("*"))
    again = compute(collection, tmp_path / "flow")
    assert again == {**result, "written": 0, "present": result["written"]}


def test_a_truncated_video_leaves_no_frames_of_the_first_pass(tmp_path):
    """It is read twice, since its header lied: the flow is that of the frames there are."""
    broken_videos(tmp_path / "data")
    video = tmp_path / "data" / "truncated.avi"
    compute(collect([video], ["v.avi"]), tmp_path / "flow", frames=True)
    total = read_video(video, range).total
    assert len(list((tmp_path / "flow" / "v").glob("img_*"))) == total
    assert len(list((tmp_path / "flow" / "v").glob("flow_x_*"))) == total - 1


@pytest.mark.system
def test_resumed_after_kill(tmp_path):
    """Killed with -9 in the middle of a video; what is there then is whole, and the rest is added."""
    frames = np.random.default_rng(0).integers(0, 256, (120, 32, 32, 3), "uint8")
    for name in ("a/1", "a/2", "a/3", "b/1", "b/2", "b/3"):
        (tmp_path / "data" / name[0]).mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / "data" / f"{name}.avi", frames)
    out = tmp_path / "flow"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "data"), str(out)])
    deadline = time.monotonic() + 120
    while not (done := list(out.glob("*/[123]"))) or not list(out.glob("*/.partial-*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = list(out.glob("*/[123]"))
    half = list(out.glob("*/.partial-*"))
    assert 0 < len(done) < 6
    assert half, "killed in the middle of a video"
    assert all(FlowFolder(folder).pairs == 119 for folder in done)
    collection = load_folder(tmp_path / "data")
    for folder in half:
        os.utime(folder, (0, 0))  # as a day later: a younger one could be another process's
    assert compute(collection, out) == {"written": 6 - len(done), "present": len(done), "skipped": {}}
    assert not list(out.glob("*/.partial-*"))
    compute(collection, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


def test_interrupted(videos, tmp_path, monkeypatch):
    original, calls = task_flow._write_video, []

    def interrupting(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        original(*arguments)

    monkeypatch.setattr(task_flow, "_write_video", interrupting)
    with pytest.raises(KeyboardInterrupt):
        compute(videos, tmp_path / "flow", workers=1)
    monkeypatch.undo()
    result = compute(videos, tmp_path / "flow")
    assert 4 <= result["present"] < 24
    assert result["present"] + result["written"] == 24


@pytest.mark.parametrize(
    "other",
    [
        {"settings": FlowSettings("farneback")},
        {"settings": FlowSettings(bound=15)},
        {"size": (32, 40)},
        {"resize": "pad"},
        {"frames": True},
    ],
    ids=str,
)
def test_other_settings_are_refused(videos, tmp_path, other):
    compute(videos.subset([0]), tmp_path / "flow")
    before = contents(tmp_path / "flow")
    with pytest.raises(DataError, match="holds flow of other settings .*; choose another folder"):
        compute(videos, tmp_path / "flow", **other)
    assert contents(tmp_path / "flow") == before
    assert compute(videos.subset([0]), tmp_path / "flow", FlowSettings(bound=20))["present"] == 1


def test_damaged_settings(videos, tmp_path):
    compute(videos.subset([0]), tmp_path / "flow")
    (tmp_path / "flow" / "flow.json").write_text("{")
    with pytest.raises(DataError, match=r"cannot be used: its flow.json is damaged\."):
        compute(videos, tmp_path / "flow")


def test_names_that_would_share_a_folder(tmp_path):
    video = write_video(tmp_path / "v.avi", numbered_frames(3, 32, 32))
    for names, match in [
        (["a/v.avi", "b.avi", "a/v.mp4"], "a/v.avi and a/v.mp4 would both go to"),
        (["v.avi", "v/1.avi"], "v/1.avi would go into .*, the folder of v.avi"),
        (["../v.avi", "v.avi"], "v.avi and v.avi would both go to"),
    ]:
        with pytest.raises(DataError, match=match):
            compute(collect([video] * len(names), names), tmp_path / "flow")
    assert not (tmp_path / "flow").exists()
    frames = broken_videos(tmp_path / "data") and tmp_path / "data" / "frames0"
    compute(collect([frames, frames, video], ["v.1", "v.2", "v.3.avi"]), tmp_path / "flow")
    assert sorted(p.name for p in (tmp_path / "flow").iterdir()) == ["flow.json", "v.1", "v.2", "v.3"]


def test_nothing_is_written_outside(tmp_path):
    video = write_video(tmp_path / "v.avi", numbered_frames(3, 32, 32))
    compute(collect([video, video], ["../../one.avi", str(tmp_path / "two.avi")]), tmp_path / "deep" / "flow")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "v.avi"]
    assert (tmp_path / "deep" / "flow" / "one" / "flow_x_00002.jpg").is_file()


def test_folders_that_cannot_be_used(videos, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"The flow folder .*file/flow cannot be used: Not a directory\."):
        compute(videos, tmp_path / "file" / "flow")
    (tmp_path / "photos" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match=r"holds other files than optical flow \('train'\); choose an empty folder"):
        compute(videos, tmp_path / "photos")
    assert not (tmp_path / "photos" / "flow.json").exists()
    compute(videos.subset([0]), tmp_path / "flow")
    (tmp_path / "flow" / "train" / "move_right").write_text("in the place of a folder")
    with pytest.raises(DataError, match=r"The flow cannot be written to .*: (File exists|Not a directory)"):
        compute(videos, tmp_path / "flow")


def test_full_disk(videos, small_disk, tmp_path):
    out = small_disk(200) / "flow"  # a video's ten files take a page of 4 KB each
    with pytest.raises(DataError, match=r"cannot be written to .*: No space left on device\. The videos done are kept"):
        compute(videos, out)
    done = [folder.parent for folder in out.rglob("flow_x_00001.jpg") if ".partial" not in folder.parent.name]
    assert 0 < len(done) < 24
    assert all(FlowFolder(folder).pairs == VIDEO_FRAMES - 1 for folder in done)
    assert not [path for path in out.rglob("*") if ".partial" in path.name], "space is given back"
    small_disk(20000)
    assert compute(videos, out) == {"written": 24 - len(done), "present": len(done), "skipped": {}}
    compute(videos, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


def test_images_have_no_flow(folder, tmp_path):
    with pytest.raises(DataError, match="Optical flow needs videos"):
        compute(load_folder(folder), tmp_path / "flow")
    assert not (tmp_path / "flow").exists()


def test_settings_are_written_whole(videos, tmp_path):
    compute(videos.subset([0]), tmp_path / "flow")
    assert json.loads((tmp_path / "flow" / "flow.json").read_text()) == {
        "method": "dis",
        "bound": 20.0,
        "size": [32, 32],
        "resize": "squeeze",
        "frames": False,
    }
