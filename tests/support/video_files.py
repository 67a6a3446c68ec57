"""Writes small real video files for tests, whole and broken ones; the same bytes every time."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

CODECS = {".avi": "mpeg4", ".mp4": "libx264", ".mkv": "libx264"}
# The finest quantiser of MPEG-4, and an H.264 quality at which painted numbers survive; `veryfast` has B-frames: coding
# and presentation order differ, as they do in real files. One thread each, and no macroblock tree: with it, x264 165
# gives other bytes in 1 of 10 to 30 runs even on one thread (measured).
ENCODER_OPTIONS = {
    "mpeg4": {"qmin": "2", "qmax": "2", "g": "6", "threads": "1"},
    "libx264": {"crf": "10", "preset": "veryfast", "g": "12", "threads": "1", "mbtree": "0"},
}
TIME_BASE = Fraction(1, 1000)  # of files with times of their own: milliseconds, what Matroska stores
NUMBER_BITS = 8
CORRUPT_SEED = 0


def write_video(path, frames, fps=25, codec=None, rotation=0, times=None):
    """Writes a video file and returns its path.

    Args:
        path: where; the extension chooses the container and, without `codec`, the codec.
        frames: uint8 array `(frames, height, width, 3)`, RGB. H.264 needs even sizes.
        fps: frames per second.
        codec: name of one of FFmpeg's encoders.
        rotation: degrees counterclockwise, a multiple of 90, by which a player turns the pictures: what PyAV gives as
            `frame.rotation`. MP4 only. The shown picture is `np.rot90(frame, rotation // 90)`.
        times: ascending presentation times in seconds, one per frame, instead of `fps`. MP4 and Matroska only.
    """
    path = Path(path)
    codec = codec or CODECS[path.suffix]
    _, height, width, _ = np.shape(frames)
    # "bitexact" keeps random identifiers and versions out of the file.
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options=dict(ENCODER_OPTIONS.get(codec, {})))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        if times is not None:
            stream.time_base = stream.codec_context.time_base = TIME_BASE
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.time_base = 1 / Fraction(fps) if times is None else TIME_BASE
            frame.pts = index if times is None else round(times[index] / TIME_BASE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if rotation:
        _rotate_mp4(path, rotation, width, height)
    return path


def _rotate_mp4(path, rotation, width, height):
    """Puts a rotation into the display matrix of an MP4's only track header."""
    content = bytearray(path.read_bytes())
    box = content.index(b"tkhd")
    # After the type: version and flags 4, times and identifiers 20, reserved 8, layer to volume 8; then the matrix.
    matrix = box + 4 + 4 + 20 + 8 + 8
    assert content[box + 4] == 0, "a version 0 track header"
    # Rows map (x, y, 1); the offset brings the turned picture back to the origin. 16.16 fixed point, 2.30 in column 3.
    a, b, x, y = {90: (0, -1, 0, width), 180: (-1, 0, width, height), -90: (0, 1, height, 0)}[
        (rotation + 90) % 360 - 90
    ]
    one = 1 << 16
    rows = (a * one, b * one, 0, -b * one, a * one, 0, x * one, y * one, 1 << 30)
    struct.pack_into(">9i", content, matrix, *rows)
    path.write_bytes(content)


def numbered_frames(count, height=48, width=64):
    """Pictures that carry their number, `(count, height, width, 3)` of uint8.

    The upper third holds the number as eight black or white blocks, highest bit left; below, red grows to the right,
    green downwards, and blue is dark: a mirrored, turned or channel-swapped picture is recognised as such.
    """
    frames = np.zeros((count, height, width, 3), "uint8")
    frames[..., 0] = np.linspace(40, 220, width)
    frames[..., 1] = np.linspace(40, 220, height)[:, np.newaxis]
    frames[..., 2] = 30
    bits = np.arange(count)[:, np.newaxis] >> np.arange(NUMBER_BITS)[::-1] & 1
    block = np.arange(width) * NUMBER_BITS // width
    frames[:, : height // 3] = 255 * bits[:, block][:, np.newaxis, :, np.newaxis]
    return frames


def read_number(frame):
    """The number of a picture of `numbered_frames`, after coding and at any size."""
    height, width = frame.shape[:2]
    centres = (np.arange(NUMBER_BITS) * 2 + 1) * width // (2 * NUMBER_BITS)
    row = np.asarray(frame, "float32")[height // 6]
    bits = row[centres].mean(axis=-1) > 127
    return int(bits @ (1 << np.arange(NUMBER_BITS)[::-1]))


def broken_videos(folder):
    """Writes videos that real collections hold: cut, empty, damaged, odd, huge, and folders of frames.

    Returns:
        Dictionary from name (of a file or a folder within `folder`) to what it is.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    frames = numbered_frames(30)
    large = numbered_frames(30, height=96, width=128)

    content = write_video(folder / "truncated.avi", large).read_bytes()
    first, last = _avi_pictures(content)
    (folder / "truncated.avi").write_bytes(content[: (first + last) // 2])
    cut = write_video(folder / "truncated.mp4", frames).read_bytes()
    (folder / "truncated.mp4").write_bytes(cut[: len(cut) // 2])
    (folder / "zero.avi").write_bytes(b"")
    (folder / "text.mp4").write_text("This is not a video.\n" * 20)
    _write_audio(folder / "audio_only.mp4")
    content = bytearray(write_video(folder / "corrupt_middle.avi", large).read_bytes())
    first, last = _avi_pictures(content)
    third = (last - first) // 3
    content[first + third : first + 2 * third] = np.random.default_rng(CORRUPT_SEED).bytes(third)
    (folder / "corrupt_middle.avi").write_bytes(content)
    write_video(folder / "vfr.mkv", frames[:12], times=vfr_times(12))
    write_video(folder / "one_frame.avi", frames[:1])
    write_video(folder / "rotated.mp4", frames[:10], rotation=-90)
    write_video(folder / "odd.avi", numbered_frames(10, height=51, width=37))
    write_video(folder / "uhd.mp4", numbered_frames(3, height=2160, width=3840))
    write_video(folder / "blanks and Ünïcode.avi", frames[:10])

    _write_frames(folder / "frames0", frames[:10], "img_{:05d}.jpg", first=0)
    _write_frames(folder / "frames1", frames[:10], "img_{:05d}.jpg", first=1)
    _write_frames(folder / "frames_corrupt", frames[:9], "img_{:05d}.jpg", first=1)
    damaged = folder / "frames_corrupt" / "img_00005.jpg"
    damaged.write_bytes(b"\xff\xd8" + damaged.read_bytes()[200:300])
    amounts = np.arange(10, dtype="uint8")[:, np.newaxis, np.newaxis] * np.ones((48, 64), "uint8")
    _write_frames(folder / "flow1", 128 + 4 * amounts, "flow_x_{:05d}.jpg", first=1)
    _write_frames(folder / "flow1", 128 - 4 * amounts, "flow_y_{:05d}.jpg", first=1)
    return {
        "truncated.avi": "cut in the middle: the header counts 30 frames, about half are there, no index",
        "truncated.mp4": "cut in the middle: the index (moov) is missing, nothing can be read",
        "zero.avi": "0 bytes",
        "text.mp4": "text, not a video",
        "audio_only.mp4": "AAC sound without a video stream",
        "corrupt_middle.avi": "the middle third of 30 frames overwritten with noise, the rest decodes",
        "vfr.mkv": "12 frames at uneven times (`vfr_times`)",
        "one_frame.avi": "a single frame",
        "rotated.mp4": "10 frames, to be shown turned by 90 degrees clockwise, as by a telephone held upright",
        "odd.avi": "10 frames of odd size, 37 wide and 51 high",
        "uhd.mp4": "3 frames of 3840x2160",
        "blanks and Ünïcode.avi": "10 good frames under a name with blanks and letters beyond ASCII",
        "frames0": "folder of 10 frames, img_00000.jpg to img_00009.jpg",
        "frames1": "folder of 10 frames, img_00001.jpg to img_00010.jpg, showing the numbers 0 to 9",
        "frames_corrupt": "folder of 9 frames from img_00001.jpg, of which img_00005.jpg is damaged",
        "flow1": "folder of 10 flow images, flow_x_00001.jpg (128 + 4 per frame) and flow_y_... (128 - 4 per frame)",
    }


def vfr_times(count):
    """Uneven presentation times in seconds, starting at 0: steps of 40 and 120 ms in turn."""
    return np.concatenate([[0], np.cumsum(np.where(np.arange(count - 1) % 2, 0.12, 0.04))])


def _avi_pictures(content):
    """Where the coded pictures of an AVI begin and end: before them lie 4 kB of header, after them the index."""
    return content.index(b"movi") + 4, content.rindex(b"idx1")


def _write_audio(path, rate=16000, seconds=1):
    tone = np.sin(np.arange(rate * seconds) * (2 * np.pi * 440 / rate)).astype("float32")
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _write_frames(folder, frames, pattern, first):
    folder.mkdir(exist_ok=True)
    for number, frame in enumerate(frames, start=first):
        bgr = frame[..., ::-1] if frame.ndim == 3 else frame
        cv2.imwrite(str(folder / pattern.format(number)), bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
