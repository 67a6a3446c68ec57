"""Videos: what a player shows is what is read, and what is none, or not to be waited for, is refused at once."""

import os
import shutil
import struct
import warnings

import numpy as np
import pytest

from keras_fvvae.data.readers.media import is_video_file
from keras_fvvae.data.readers.video import read_video
from keras_fvvae.errors import DataError
from keras_fvvae.serving.media import read_frames
from tests.support.hostile import check_sentence
from tests.support.video_files import broken_videos, numbered_frames, read_number, write_video

COUNT = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of videos that real collections hold, and a whole one of each container."""
    folder = tmp_path_factory.mktemp("videos")
    broken_videos(folder)
    for name in ("whole.avi", "whole.mp4", "whole.mkv"):
        write_video(folder / name, numbered_frames(COUNT))
    return folder


def numbers(path):
    return list(read_video(path, range, read_number).frames.values())


def copied(name, new):
    def make(made, folder):
        (folder / new).write_bytes((made / name).read_bytes())
        return folder / new

    return make


def changed(name, change):
    def make(made, folder):
        content = bytearray((made / name).read_bytes())
        (folder / name).write_bytes(bytes(change(content) or content))
        return folder / name

    return make


def given(name):
    return lambda made, folder: made / name


def naming(content):
    """A text beside a video that it names."""

    def make(made, folder):
        shutil.copyfile(made / "whole.avi", folder / "whole.avi")
        (folder / "a.mp4").write_bytes(content)
        return folder / "a.mp4"

    return make


def holding(name, content):
    def make(made, folder):
        (folder / name).write_bytes(content)
        return folder / name

    return make


def frames_in(*names, content=None):
    """A folder of frames of such names, each showing its position."""

    def make(made, folder):
        import cv2

        (folder / "frames").mkdir()
        for name, frame in zip(names, numbered_frames(len(names)), strict=True):
            encoded = cv2.imencode(".png", frame[:, :, ::-1])[1].tobytes()
            (folder / "frames" / name).write_bytes(encoded if content is None else content)
        return folder / "frames"

    return make


WHOLE = {
    "AVI": (given("whole.avi"), COUNT),
    "MP4": (given("whole.mp4"), COUNT),
    "Matroska": (given("whole.mkv"), COUNT),
    "uneven times": (given("vfr.mkv"), 12),
    "one frame": (given("one_frame.avi"), 1),
    "a name with blanks and letters": (given("blanks and Ünïcode.avi"), 10),
    "an AVI called MP4": (copied("whole.avi", "a.mp4"), COUNT),
    "an MP4 without ending": (copied("whole.mp4", "film"), COUNT),
    "an MP4 called text": (copied("whole.mp4", "a.txt"), COUNT),
    "a name that is a pattern": (copied("whole.mp4", "a%03d[1]*.mp4"), COUNT),
    "a name like an address": (copied("whole.mp4", "http:a.mp4"), COUNT),
    "a name with a line end": (copied("whole.mp4", "a\nb.mp4"), COUNT),
    "a name that is no Unicode": (copied("whole.mp4", os.fsdecode(b"caf\xe9.mp4")), COUNT),
    "1 MB behind its end": (changed("whole.mp4", lambda content: content + b"\0" * 1_000_000), COUNT),
    "frames from 0": (given("frames0"), 10),
    "frames from 1": (given("frames1"), 10),
    "frames by number, not by letter": (frames_in("8.png", "9.png", "10.png", "11.png"), 4),
    "hidden files among frames": (frames_in("1.png", "2.png", "3.png"), 3),
}
DAMAGED = {
    "a truncated AVI": (given("truncated.avi"), "truncated: its header promises 30 frames, 1[0-9] decode"),
    "noise in the middle": (given("corrupt_middle.avi"), "damaged|truncated"),
    "a frame of a folder": (given("frames_corrupt"), "damaged: 1 of its packets or frames do not decode"),
}
REFUSED = {
    "nothing": (given("zero.avi"), "the file is empty"),
    "text": (given("text.mp4"), "not a video that FFmpeg reads"),
    "sound alone": (given("audio_only.mp4"), "it has no video stream, only audio"),
    "half an MP4": (given("truncated.mp4"), "not a video that FFmpeg reads"),
    "a header alone": (holding("a.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"), "not a video|no video stream"),
    "a box of 4 GB": (
        holding("a.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\xff\xff\xff\xffmoov"),
        "not a video|no video",
    ),
    "zeros": (holding("a.avi", b"\0" * 5000), "not a video that FFmpeg reads"),
    "a page of a server": (
        holding("a.mp4", b"<!DOCTYPE html><title>404</title>" * 50),
        "not a video that FFmpeg reads",
    ),
    "a list of other files": (holding("a.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n/etc/passwd\n"), "not a video"),
    "a script of FFmpeg": (holding("a.ffconcat", b"ffconcat version 1.0\nfile /etc/passwd\n"), "not a video"),
    "a script that names a video beside it": (naming(b"ffconcat version 1.0\nfile whole.avi\n"), "not a video"),
    "a list that names a video beside it": (
        naming(b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nwhole.avi\n#EXT-X-ENDLIST\n"),
        "not a video",
    ),
    "a description of a stream": (
        holding(
            "a.mp4",
            b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
            b"a=rtpmap:96 H264/90000\n",
        ),
        "not a video",
    ),
    "a manifest of DASH": (
        holding(
            "a.mp4",
            b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
            b"<AdaptationSet><Representation><BaseURL>whole.avi</BaseURL></Representation></AdaptationSet></Period></MPD>",
        ),
        "not a video",
    ),
    "a pickle": (holding("a.avi", b"\x80\x04}\x94."), "not a video that FFmpeg reads"),
    "an AVI without frames": (
        changed("whole.avi", lambda content: content[: content.index(b"movi") + 4]),
        "none of|not a video|no frame|do not decode|decode",
    ),
    "a Matroska of nothing": (holding("a.mkv", b"\x1a\x45\xdf\xa3" + b"\xff" * 500), "not a video that FFmpeg reads"),
    "a folder without frames": (lambda made, folder: folder, "no numbered frames|no frames|holds no"),
    "frames that are no images": (frames_in("1.png", "2.png", content=b"text"), "none of the frames|no frame|decode"),
    "what is not there": (lambda made, folder: folder / "nowhere.mp4", "No such file"),
}


def pipe(made, folder):
    os.mkfifo(folder / "a.mp4")
    return folder / "a.mp4"


SPECIAL = {
    "a named pipe": pipe,
    "a device": lambda made, folder: "/dev/zero",
    "a link to a device": lambda made, folder: (folder / "a.mp4").symlink_to("/dev/zero") or folder / "a.mp4",
    "a link to itself": lambda made, folder: (folder / "a.mp4").symlink_to("a.mp4") or folder / "a.mp4",
    "a link to nothing": lambda made, folder: (folder / "a.mp4").symlink_to("nowhere") or folder / "a.mp4",
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole(made, tmp_path, name):
    make, count = WHOLE[name]
    path = make(made, tmp_path)
    if name == "hidden files among frames":
        (path / ".4.png").write_bytes(b"hidden")
        (path / "Thumbs.db").write_bytes(b"of Windows")
    assert numbers(path) == list(range(count))


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(made, tmp_path, name):
    """Used as far as they decode, and said so."""
    make, pattern = DAMAGED[name]
    video = read_video(make(made, tmp_path), range, read_number)
    assert len(video.frames) > 5
    check_sentence(video.damage, pattern)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(made, tmp_path, name):
    make, pattern = REFUSED[name]
    with pytest.raises((DataError, OSError)) as caught:
        numbers(make(made, tmp_path))
    check_sentence(str(caught.value), pattern)


@pytest.mark.parametrize("name", SPECIAL)
def test_what_is_no_file(made, tmp_path, name):
    """Neither waited for nor read for ever, whoever asks."""
    path = SPECIAL[name](made, tmp_path)
    assert not is_video_file(path) or str(path).endswith(".mp4")
    for read in (numbers, read_frames):
        with pytest.raises((DataError, OSError)) as caught:
            read(path)
        check_sentence(str(caught.value), r"it is a (named pipe|device), not a file|No such file|symbolic links")


DIMENSIONS = {
    "60,000 x 60,000": (60_000, 60_000),
    "no width": (0, 48),
    "no height": (64, 0),
}


@pytest.mark.parametrize("name", DIMENSIONS)
def test_sizes_that_a_header_claims(made, tmp_path, name):
    """Of an MP4's sample entry; the coded frames are what they were, and nothing of the claim is allocated."""
    width, height = DIMENSIONS[name]
    content = bytearray((made / "whole.mp4").read_bytes())
    place = content.index(b"avc1", content.index(b"stsd")) + 28
    content[place : place + 4] = struct.pack(">HH", width, height)
    (tmp_path / "a.mp4").write_bytes(bytes(content))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            shapes = read_video(tmp_path / "a.mp4", range, np.shape).frames
        except DataError as error:
            check_sentence(str(error), ".")
            return
    assert set(shapes.values()) == {(48, 64, 3)}
