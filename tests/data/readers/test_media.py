"""What a video is: by its name, or by what is in it."""

import os
import shutil

import av
import numpy as np
import pytest
from PIL import Image

from keras_fvvae.data import Collection, Views, load_folder
from keras_fvvae.data.pipeline import read
from keras_fvvae.data.readers.media import is_image, is_video, is_video_file
from tests.support.video_files import numbered_frames, write_video

# FFmpeg's muxer, codec, and a name that these videos have in the wild.
KINDS = {
    "mp4": "libx264", "mov": "libx264", "avi": "mpeg4", "matroska": "libx264", "webm": "libvpx", "asf": "wmv2",
    "flv": "libx264", "mpegts": "libx264", "mpeg": "mpeg2video", "vob": "mpeg2video", "3g2": "libx264",
    "ogg": "libvpx", "mxf": "mpeg2video", "yuv4mpegpipe": "rawvideo", "h264": "libx264", "nut": "mpeg4",
    "ivf": "libvpx", "mpeg2video": "mpeg2video",
}  # fmt: skip


def write(path, muxer, codec):
    with av.open(str(path), "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for pixels in numbered_frames(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("muxer", KINDS)
def test_the_container_tells_where_the_name_does_not(tmp_path, muxer):
    path = write(tmp_path / "clip.dat", muxer, KINDS[muxer])
    assert not is_video(path.name)
    assert is_video_file(path)
    assert is_video_file(shutil.copy(path, tmp_path / "no_extension"))


def test_other_files_are_no_videos(tmp_path):
    image = Image.fromarray(numbered_frames(1)[0])
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF"):
        try:
            image.save(tmp_path / f"{kind}.dat", kind)
        except (KeyError, OSError):
            continue  # a Pillow without it
    (tmp_path / "notes.txt").write_text("a text, which FFmpeg takes for pictures of a terminal\n" * 50)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "zeros").write_bytes(bytes(5000))
    np.save(tmp_path / "array.npy", np.zeros(1000))
    (tmp_path / "begins_so").write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    os.mkfifo(tmp_path / "pipe")
    os.symlink(tmp_path / "nothing", tmp_path / "dangling")
    for muxer, codec, dtype in (("ogg", "flac", "int16"), ("mp4", "aac", "float32")):
        with av.open(str(tmp_path / f"sound.{muxer}.dat"), "w", format=muxer) as container:
            stream = container.add_stream(codec, rate=48000, layout="mono")
            sound = np.zeros((1, 4608), dtype)
            frame = av.AudioFrame.from_ndarray(sound, format="s16" if dtype == "int16" else "fltp", layout="mono")
            frame.sample_rate = 48000
            container.mux([*stream.encode(frame), *stream.encode()])
    found = list(tmp_path.iterdir())
    assert len(found) >= 13
    assert [path.name for path in found if is_video_file(path)] == []


@pytest.mark.parametrize(
    "extension", ["mts", "m2ts", "vob", "asf", "3g2", "divx", "f4v", "mpe", "qt", "m2v", "MTS", "mxf", "mp4"]
)
def test_names_of_videos(extension):
    assert is_video(f"a.{extension}")
    assert not is_image(f"a.{extension}")


def test_a_folder_of_videos_by_their_content(tmp_path):
    for name in ("a/0.clip", "a/1", "b/0.clip", "b/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.move(write_video(tmp_path / "new.avi", numbered_frames(3)), tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("nothing")
    collection = load_folder(tmp_path)
    assert collection.kind == "video"
    assert sorted(collection.names) == ["a/0.clip", "a/1", "b/0.clip", "b/1"]
    assert collection.notes[0] == (f"1 file below {tmp_path / 'a'} are not videos or frames of one by their names.")


@pytest.mark.parametrize(("kind", "name"), [("image", "a.png"), ("video", "a.avi")])
def test_pipes_among_the_items_are_reported(tmp_path, kind, name):
    os.mkfifo(tmp_path / name)
    collection = Collection([tmp_path / name], [name], [0], ["test"], ["a"], kind=kind)
    *_, reason = read(collection, 0, [Views((8, 8))])
    assert reason == b"it is a named pipe, not a file"
