"""Which stream of a file is its film, how it is turned, and what counts as truncated."""

import os
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition

from keras_fvvae.data.readers.video import read_video
from keras_fvvae.errors import DataError
from tests.support.video_files import numbered_frames, read_number, write_video

ONE = 1 << 16
COUNT = 30


def numbers(path):
    return list(read_video(path, range, read_number).frames.values())


def two_streams(path, pictures, frames, disposition=None):
    """A file whose first video stream holds JPEG pictures, and whose second one the frames."""
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 90, 120, "yuvj420p"
        if disposition:
            cover.disposition = disposition
        film = container.add_stream("libx264", rate=25, options={"crf": "10"})
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        for stream, images in ((cover, pictures), (film, frames)):
            for index, pixels in enumerate(images):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                if stream is cover:
                    frame = frame.reformat(format="yuvj420p")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov", "a.wmv", "a.avi"])
def test_a_film_behind_a_picture(tmp_path, name):
    path = two_streams(tmp_path / name, np.full((1, 120, 90, 3), 200, "uint8"), numbered_frames(COUNT))
    assert numbers(path) == list(range(COUNT))


def test_a_film_behind_an_attached_picture_that_is_longer_than_one_frame(tmp_path):
    pictures = np.full((2, 120, 90, 3), 200, "uint8")
    path = two_streams(tmp_path / "a.mp4", pictures, numbered_frames(COUNT), Disposition.attached_pic)
    assert numbers(path) == list(range(COUNT))


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov"])
def test_a_film_behind_a_short_preview(tmp_path, name):
    path = two_streams(tmp_path / name, np.full((3, 120, 90, 3), 200, "uint8"), numbered_frames(COUNT))
    assert numbers(path) == list(range(COUNT))


def test_sound_with_a_cover_is_no_video(tmp_path):
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        sound = container.add_stream("aac", rate=16000)
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), "float32"), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux([*sound.encode(frame), *sound.encode()])
        picture = av.VideoFrame.from_ndarray(numbered_frames(1)[0], format="rgb24").reformat(format="yuvj420p")
        container.mux([*cover.encode(picture), *cover.encode()])
    with pytest.raises(DataError, match="^it has no video stream, only audio, a cover picture$"):
        read_video(tmp_path / "song.mp4", range)


# Columns a, b, c, d of the matrix: a step to the right is shown as (a, b), a step down as (c, d).
ORIENTATIONS = {
    "upright": ((1, 0, 0, 1), lambda p: p),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "flipped": ((1, 0, 0, -1), lambda p: p[::-1]),
    "upside down": ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    "clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "counterclockwise": ((0, -1, 1, 0), lambda p: np.rot90(p)),
    "transposed": ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
    "transposed upside down": ((0, -1, -1, 0), lambda p: p[::-1, ::-1].transpose(1, 0, 2)),
}


@pytest.mark.parametrize("scale", [1, 0.5])
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_every_orientation_is_shown_as_players_do(tmp_path, name, scale):
    path = write_video(tmp_path / "a.mp4", numbered_frames(2))
    plain = read_video(path, range).frames[1].astype(int)
    (a, b, c, d), turned = ORIENTATIONS[name]
    content = bytearray(path.read_bytes())
    a, b, c, d = (round(value * scale * ONE) for value in (a, b, c, d))
    offset = content.index(b"tkhd") + 44  # of the matrix in the track's header
    struct.pack_into(">9i", content, offset, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    shown, expected = read_video(path, range).frames[1].astype(int), turned(plain)
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).max() < 3
    others = [other(plain) for key, (_, other) in ORIENTATIONS.items() if key != name]
    assert all(one.shape != shown.shape or np.abs(shown - one).mean() > 5 for one in others)


def trimmed(source, path, first):
    """As `ffmpeg -ss TIME -i source -c copy path`: packets before the time are kept, and left out by an edit list."""
    with av.open(str(source)) as whole, av.open(str(path), "w") as part:
        stream = whole.streams.video[0]
        copy = part.add_stream_from_template(stream)
        start = int(Fraction(first, 25) / stream.time_base)
        whole.seek(start, stream=stream)
        for packet in whole.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, copy
                part.mux(packet)
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
@pytest.mark.parametrize("first", [5, 20])
def test_an_edit_list_is_no_truncation(tmp_path, name, first):
    whole = write_video(tmp_path / "whole.mp4", numbered_frames(60))
    decoded = read_video(trimmed(whole, tmp_path / name, first), range, read_number)
    assert list(decoded.frames.values()) == list(range(first, 60))
    assert (decoded.damage, decoded.expected) == ("", decoded.total)


def test_a_negative_start_is_no_truncation(tmp_path):
    times = [(number - 10) / 25 for number in range(COUNT)]
    path = write_video(tmp_path / "a.mp4", numbered_frames(COUNT), times=times)
    decoded = read_video(path, range, read_number)
    assert list(decoded.frames.values()) == list(range(10, COUNT))
    assert decoded.damage == ""


def with_gaps(path, step, codec="mpeg4"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index, pixels in enumerate(numbered_frames(COUNT)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = step * index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg"])
@pytest.mark.parametrize("step", [2, 3])
def test_dropped_frames_are_no_truncation(tmp_path, step, codec):
    path = with_gaps(tmp_path / "a.avi", step, "mpeg4")
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames > COUNT + 2
    assert read_video(path, range).damage == ""


@pytest.mark.parametrize("kind", ["whole", "trimmed", "gaps"])
@pytest.mark.parametrize("share", [0.7, 0.85])
def test_a_file_that_is_cut_off_is_truncated(tmp_path, kind, share):
    """Also where its header counts frames that are not to be shown."""
    if kind == "gaps":
        path = with_gaps(tmp_path / "a.avi", 3)
    else:
        options = {"movflags": "faststart"}  # the index first, so that a part of the file can be opened
        source = write_video(tmp_path / "source.mp4", numbered_frames(60))
        path = trimmed(source, tmp_path / "part.mp4", 20) if kind == "trimmed" else source
        with av.open(str(path)) as whole, av.open(str(tmp_path / "a.mp4"), "w", options=options) as copy:
            stream = copy.add_stream_from_template(whole.streams.video[0])
            for packet in whole.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    copy.mux(packet)
        path = tmp_path / "a.mp4"
        assert read_video(path, range).damage == ""
    content = path.read_bytes()
    # Between the headers and, in AVI, the index behind the frames.
    begin, end = (content.index(b"movi"), content.rindex(b"idx1")) if kind == "gaps" else (0, len(content))
    path.write_bytes(content[: begin + int(share * (end - begin))])
    assert read_video(path, range).damage.startswith("truncated: its header promises ")


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "mpeg4"), ("a.flv", "flv"), ("a.mxf", "mpeg2video")])
@pytest.mark.parametrize("share", [0.5, 0.7])
def test_a_file_without_a_count_is_cut_off(tmp_path, name, codec, share):
    """Its header says how long it is."""
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), dtype="uint8")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 25, width=32, height=32, pix_fmt="yuv420p")
        for pixels in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 0
    assert read_video(path, range).damage == ""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert read_video(path, range).damage.startswith("truncated: its header promises 60 frames")


@pytest.mark.parametrize("name", ["a.avi", "img_00001.jpg"])
def test_a_named_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="it is a named pipe, not a file|no frame that can be decoded"):
        read_video(tmp_path if name.endswith("jpg") else tmp_path / name, range)
