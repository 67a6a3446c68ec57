"""The frames asked for are the frames got, whatever the container, and however broken the file."""

import csv
import struct

import numpy as np
import pytest

from keras_fvvae.data import read_video, uniform_positions
from keras_fvvae.data.readers.video import every_position
from keras_fvvae.data.readers.video_file import VideoFile
from keras_fvvae.errors import DataError
from tests.support.video_files import broken_videos, numbered_frames, read_number, write_video

COUNT = 40
REASONS = {
    "truncated.mp4": "not a video that FFmpeg reads: invalid data found when processing input",
    "text.mp4": "not a video that FFmpeg reads: invalid data found when processing input",
    "zero.avi": "the file is empty",
    "audio_only.mp4": "it has no video stream, only audio",
    "flow1": "the folder holds no numbered frames such as img_00001.jpg",
}
CHOICES = {
    "uniform": lambda total: uniform_positions(total, 7),
    "every 9th": lambda total: every_position(total, 9, offset=2),
    "random": lambda total: np.random.default_rng(3).integers(0, total, 5),
    "the last": lambda total: [total - 1],
    "all": range,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    broken_videos(folder)
    return folder


@pytest.fixture(scope="module")
def sources(folder):
    frames = numbered_frames(COUNT)
    paths = {name: write_video(folder / f"whole.{name}", frames) for name in ("avi", "mp4", "mkv")}
    return {**paths, "array": frames}


@pytest.fixture
def passes(monkeypatch):
    """The arguments of every pass over a video file."""
    made, pick = [], VideoFile.pick
    monkeypatch.setattr(VideoFile, "pick", lambda self, *args: made.append(args) or pick(self, *args))
    return made


def numbers(source, choose=range, **options):
    """Painted number of every frame, by its position."""
    return read_video(source, choose, read_number, **options).frames


@pytest.mark.parametrize(("total", "count"), [(100, 25), (101, 25), (7, 3), (25, 25), (26, 25), (1, 1)])
def test_uniform_positions_are_the_middles_of_equal_parts(total, count):
    positions = uniform_positions(total, count)
    assert positions.tolist() == [int((part + 0.5) * total / count) for part in range(count)]
    assert len(set(positions.tolist())) == count


@pytest.mark.parametrize("total", [0, 1, 4])
def test_short_videos_give_every_frame_once(total):
    assert uniform_positions(total, 5).tolist() == list(range(total))


@pytest.mark.parametrize("to_the_end", [True, False])
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", ["avi", "mp4", "mkv", "array"])
def test_exact_frames_in_one_pass(sources, passes, name, choice, to_the_end):
    wanted = sorted({int(position) for position in CHOICES[choice](COUNT)})
    decoded = read_video(sources[name], CHOICES[choice], read_number, to_the_end)
    assert decoded.frames == {position: position for position in wanted}
    assert list(decoded.frames) == wanted  # in order
    assert (decoded.total, decoded.bad_packets) == (COUNT, 0)
    assert decoded.expected == (0 if name == "mkv" else COUNT)  # Matroska has no count
    assert len(passes) == (name != "array")


def test_random_frames_end_the_pass(sources):
    seen = [VideoFile(sources["avi"]).pick({3}, read_number, to_the_end)[:2] for to_the_end in (False, True)]
    assert seen == [({3: 3}, 4), ({3: 3}, COUNT)]


def test_frames_are_the_pixels(sources):
    frames = numbered_frames(COUNT)
    for name, tolerance in (("avi", 4), ("mp4", 4), ("mkv", 4), ("array", 0)):
        decoded = read_video(sources[name], lambda total: [0, 17]).frames
        assert np.abs(decoded[17].astype(int) - frames[17]).mean() <= tolerance, name
        assert np.abs(decoded[17][30, -1].astype(int) - frames[17][30, -1]).max() < 12  # RGB, not BGR


@pytest.mark.parametrize(("first", "digits"), [(0, 5), (1, 5), (1, 1), (7, 3)])
def test_folders_of_frames_in_the_order_of_their_numbers(tmp_path, folder, first, digits):
    for number in range(10):
        content = (folder / "frames0" / f"img_{number:05d}.jpg").read_bytes()
        (tmp_path / f"img_{number + first:0{digits}d}.jpg").write_bytes(content)
    (tmp_path / "cover.jpg").write_bytes(b"no frame")
    assert numbers(tmp_path, lambda total: uniform_positions(total, 5)) == {p: p for p in (1, 3, 5, 7, 9)}
    assert numbers(tmp_path) == {p: p for p in range(10)}


@pytest.mark.parametrize("name", ["frames0", "frames1"])
def test_folders_counted_from_0_or_1(folder, name):
    assert numbers(folder / name) == {p: p for p in range(10)}


def test_a_damaged_frame_of_a_folder_is_left_out(folder):
    decoded = read_video(folder / "frames_corrupt", range, read_number)
    assert decoded.frames == {p: p for p in range(9) if p != 4}
    assert (decoded.total, decoded.bad_packets) == (9, 1)


@pytest.mark.parametrize("name", REASONS)
def test_reasons(folder, name):
    with pytest.raises(DataError) as raised:
        read_video(folder / name, range)
    assert str(raised.value) == REASONS[name]


def test_absent_files_and_empty_folders(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_video(tmp_path / "absent.avi", range)
    with pytest.raises(DataError, match="holds no numbered frames"):
        read_video(tmp_path, range)


def test_unknown_codec(tmp_path, folder):
    content = (folder / "odd.avi").read_bytes()
    (tmp_path / "unknown.avi").write_bytes(content.replace(b"FMP4", b"ZZZZ"))
    with pytest.raises(DataError, match="its video is coded in a way that FFmpeg cannot decode"):
        read_video(tmp_path / "unknown.avi", range)


def test_a_stream_without_a_single_good_packet(tmp_path, folder):
    content = bytearray((folder / "whole.avi").read_bytes())
    first, last = content.index(b"movi") + 4, content.rindex(b"idx1")
    while first < last:  # the chunks of the pictures: type, size, data
        size = struct.unpack_from("<I", content, first + 4)[0]
        content[first + 8 : first + 8 + size] = bytes(size)
        first += 8 + size + size % 2
    (tmp_path / "zeros.avi").write_bytes(content)
    with pytest.raises(DataError, match=r"no frame that can be decoded \(\d+ damaged parts\)"):
        read_video(tmp_path / "zeros.avi", range)


def test_a_truncated_file_gives_its_frames_uniformly_in_a_second_pass(folder, passes):
    decoded = read_video(folder / "truncated.avi", lambda total: uniform_positions(total, 5), read_number)
    assert decoded.expected == 30
    assert 5 < decoded.total < 25
    assert len(passes) == 2
    assert decoded.frames == {p: p for p in uniform_positions(decoded.total, 5).tolist()}


@pytest.mark.parametrize("part", [0, 0.3, 0.6, 0.99])
def test_a_random_frame_of_a_truncated_file(folder, passes, part):
    """The count that the positions are chosen for is kept, though the second pass ends early."""
    decoded = read_video(folder / "truncated.avi", lambda total: [int(part * total)], to_the_end=False)
    total = 30 if int(part * 30) < 13 else read_video(folder / "truncated.avi", range, len).total
    assert decoded.total == total
    assert list(decoded.frames) == [int(part * total)]


@pytest.mark.parametrize("claimed", [0, 10, 1000])
def test_headers_that_lie(tmp_path, sources, passes, claimed):
    content = bytearray(sources["avi"].read_bytes())
    struct.pack_into("<I", content, content.index(b"strh") + 8 + 32, claimed)  # dwLength of the stream's header
    (tmp_path / "liar.avi").write_bytes(content)
    decoded = read_video(tmp_path / "liar.avi", lambda total: uniform_positions(total, 4), read_number)
    assert (decoded.expected, decoded.total) == (claimed, COUNT)
    assert decoded.frames == {5: 5, 15: 15, 25: 25, 35: 35}
    assert len(passes) == (1 if claimed == 0 else 2)  # 0: the packets are counted first


def test_noise_in_the_middle_costs_the_middle_alone(folder):
    found = numbers(folder / "corrupt_middle.avi")
    total = len(found)
    assert [found[p] for p in range(5)] == [0, 1, 2, 3, 4]
    assert [found[p] for p in range(total - 5, total)] == [25, 26, 27, 28, 29]


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_videos_are_upright(tmp_path, rotation):
    stored = numbered_frames(3)
    path = write_video(tmp_path / "turned.mp4", stored, rotation=rotation)
    shown = read_video(path, range).frames[2]
    upright = np.rot90(stored[2], rotation // 90)
    assert shown.shape == upright.shape
    assert np.abs(shown.astype(int) - upright).mean() < 5


def test_the_telephone_held_upright(folder):
    frame = read_video(folder / "rotated.mp4", lambda total: [9]).frames[9]
    assert frame.shape == (64, 48, 3)
    assert read_number(np.rot90(frame)) == 9  # stored lying, turned clockwise to be shown


@pytest.mark.parametrize(
    ("name", "count", "shape"),
    [
        ("vfr.mkv", 12, (48, 64, 3)),
        ("one_frame.avi", 1, (48, 64, 3)),
        ("odd.avi", 10, (51, 37, 3)),
        ("uhd.mp4", 3, (2160, 3840, 3)),
        ("blanks and Ünïcode.avi", 10, (48, 64, 3)),
    ],
)
def test_unusual_videos(folder, name, count, shape):
    decoded = read_video(folder / name, range, lambda frame: (read_number(frame), frame.shape))
    assert decoded.frames == {p: (p, shape) for p in range(count)}


def test_a_colon_in_a_relative_path_is_no_protocol(monkeypatch, tmp_path, sources):
    (tmp_path / "a:b.avi").write_bytes(sources["avi"].read_bytes())
    monkeypatch.chdir(tmp_path)
    assert numbers("a:b.avi", lambda total: [3]) == {3: 3}


def test_counts_of_ucf101(shared):
    """All 104 clips, ten seconds."""
    with open(shared / "data" / "ucf101" / "videos.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 104
    counts = {}
    for row in rows:
        (path,) = (shared / "data" / "ucf101").rglob(row["file"])
        counts[row["file"]] = read_video(path, lambda total: ()).total
    assert counts == {row["file"]: int(row["frames"]) for row in rows}
