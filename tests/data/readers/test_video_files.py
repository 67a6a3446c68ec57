"""The videos that other tests rely on are what they claim to be."""

import av
import cv2
import numpy as np
import pytest

from tests.support.video_files import broken_videos, numbered_frames, read_number, vfr_times, write_video


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    return folder, broken_videos(folder)


def decode(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.frames, stream.codec.name, list(container.decode(stream))


def numbers(frames):
    return [read_number(frame.to_ndarray(format="rgb24")) for frame in frames]


def test_numbers_are_read_back_and_frames_are_asymmetric():
    frames = numbered_frames(256, height=51, width=37)
    assert [read_number(frame) for frame in frames] == list(range(256))
    assert [read_number(cv2.resize(frame, (200, 120))) for frame in frames] == list(range(256))
    below = frames[0, 20:]
    assert below[0, 0, 0] < below[0, -1, 0]
    assert below[0, 0, 1] < below[-1, 0, 1]


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.mp4", "h264"), ("a.mkv", "h264")])
def test_written_videos_decode_to_their_frames_and_repeat(tmp_path, name, codec):
    frames = numbered_frames(40)
    content = write_video(tmp_path / name, frames).read_bytes()
    counted, written_codec, decoded = decode(tmp_path / name)
    assert written_codec == codec
    assert counted in (0, 40)  # Matroska has no count
    assert numbers(decoded) == list(range(40))
    pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])
    assert np.abs(pixels.astype(int) - frames).mean() < 4
    assert write_video(tmp_path / name, frames).read_bytes() == content


def test_h264_is_coded_in_another_order_than_it_is_shown(tmp_path):
    with av.open(str(write_video(tmp_path / "a.mp4", numbered_frames(12)))) as container:
        shown = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert shown != sorted(shown)


def test_frame_rate(tmp_path):
    frames = decode(write_video(tmp_path / "slow.mp4", numbered_frames(5), fps=10))[2]
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_is_what_pyav_reads(tmp_path, rotation):
    frames = decode(write_video(tmp_path / "turned.mp4", numbered_frames(3), rotation=rotation))[2]
    assert {abs(frame.rotation) if rotation == 180 else frame.rotation for frame in frames} == {rotation}


def test_every_described_video_exists_and_no_other(folder):
    folder, described = folder
    assert {path.name for path in folder.iterdir()} == set(described)
    assert all(described.values())


@pytest.mark.parametrize("name", ["truncated.mp4", "zero.avi", "text.mp4"])
def test_unreadable_videos_cannot_be_opened(folder, name):
    with pytest.raises(av.error.InvalidDataError):
        av.open(str(folder[0] / name))
    assert ((folder[0] / name).stat().st_size == 0) == (name == "zero.avi")


def test_truncated_avi_counts_more_than_it_holds(folder):
    counted, _, frames = decode(folder[0] / "truncated.avi")
    assert counted == 30
    assert 5 < len(frames) < 25
    assert numbers(frames)[:-1] == list(range(len(frames) - 1))


def test_audio_only_has_sound_and_no_pictures(folder):
    with av.open(str(folder[0] / "audio_only.mp4")) as container:
        assert not container.streams.video
        assert container.streams.audio[0].codec.name == "aac"
        assert sum(frame.samples for frame in container.decode(audio=0)) >= 16000


def test_corrupt_middle_decodes_at_both_ends(folder):
    counted, _, frames = decode(folder[0] / "corrupt_middle.avi")
    found = numbers(frames)
    assert counted == 30
    assert found[:5] == [0, 1, 2, 3, 4]
    assert found[-5:] == [25, 26, 27, 28, 29]
    assert found != list(range(30))


def test_uneven_times(folder):
    _, _, frames = decode(folder[0] / "vfr.mkv")
    assert numbers(frames) == list(range(12))
    assert [frame.time for frame in frames] == pytest.approx(vfr_times(12))
    assert len(set(np.diff(vfr_times(12)).round(3))) == 2


@pytest.mark.parametrize(
    ("name", "count", "size"),
    [
        ("one_frame.avi", 1, (64, 48)),
        ("rotated.mp4", 10, (64, 48)),
        ("odd.avi", 10, (37, 51)),
        ("uhd.mp4", 3, (3840, 2160)),
        ("blanks and Ünïcode.avi", 10, (64, 48)),
    ],
)
def test_good_but_unusual_videos(folder, name, count, size):
    _, _, frames = decode(folder[0] / name)
    assert numbers(frames) == list(range(count))
    assert {(frame.width, frame.height) for frame in frames} == {size}
    assert {frame.rotation for frame in frames} == {-90 if name == "rotated.mp4" else 0}


@pytest.mark.parametrize(("name", "first"), [("frames0", 0), ("frames1", 1)])
def test_folders_of_frames(folder, name, first):
    paths = sorted((folder[0] / name).iterdir())
    assert [path.name for path in paths] == [f"img_{number:05d}.jpg" for number in range(first, first + 10)]
    pictures = [cv2.imread(str(path))[..., ::-1] for path in paths]
    assert [read_number(picture) for picture in pictures] == list(range(10))
    assert pictures[0][30, -1, 0] > pictures[0][30, 0, 0] + 100


def test_folder_with_one_damaged_frame(folder):
    readable = {path.name: cv2.imread(str(path)) is not None for path in (folder[0] / "frames_corrupt").iterdir()}
    assert len(readable) == 9
    assert [name for name, good in readable.items() if not good] == ["img_00005.jpg"]


def test_folder_of_flow(folder):
    for axis, sign in (("x", 1), ("y", -1)):
        paths = sorted((folder[0] / "flow1").glob(f"flow_{axis}_*.jpg"))
        means = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED).mean() for path in paths]
        assert means == pytest.approx(128 + sign * 4 * np.arange(10), abs=1)
