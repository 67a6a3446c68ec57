"""Frames of a video file, through FFmpeg: decoded forward, upright, and as far as they decode."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.data.readers.regular_file import require_regular
from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import reason
from keras_fvvae.utils.video_packages import av

# After this many packets in a row that do not decode, the rest of a file is given up: it is not a video any more.
MAX_BAD_PACKETS = 1000
# Header counts that are off by so many frames are a habit of muxers, not a truncation.
HEADER_TOLERANCE = 2
# FFmpeg's name of the containers that have edit lists: which part of the stored frames is shown.
_WITH_EDIT_LISTS = "mp4"
# Containers whose header has no count of frames but how long the whole is (others' duration is FFmpeg's estimate); and
# by how many seconds the last packet of any stream may end before it.
_WITH_DURATION, DURATION_TOLERANCE = ("matroska", "flv", "mxf"), 0.5
# FFmpeg's formats that name other files, addresses or devices, and scripts: whoever wrote the file would choose what is
# read with the rights of this process.
_REFERRING = {
    *("hls", "applehttp", "dash", "webm_dash_manifest", "concat", "concatf", "imf", "image2", "image2pipe"),
    *("sdp", "rtp", "rtsp", "sap", "rtp_mpegts"),
    *("lavfi", "avisynth", "vapoursynth"),
    *("x11grab", "xcbgrab", "kmsgrab", "fbdev", "v4l2", "video4linux2", "iec61883", "alsa", "oss", "pulse", "jack"),
}


class VideoFile:
    """Any file that FFmpeg reads.

    Args:
        path: the file.

    Attributes:
        promised: frames that the container's header counts, or that last as long as it says; 0 where it does not say.
        shown_whole: after `pick`, whether the frames came to the end that the header promises. Then fewer frames than
            it counts are no damage: an edit list leaves some out, or they were never stored.

    Raises:
        DataError: if there is no video in it; without the path.
        OSError: if it cannot be opened.
    """

    shown_whole = False

    def __init__(self, path: str | os.PathLike):
        self.path = path
        with opened_video(path) as (_, stream):
            self.promised = stream.frames

    def count(self) -> int:
        """The header's count; where it has none, the number of packets, which costs reading but no decoding."""
        if self.promised > 0:
            return self.promised
        packets, end = 0, 0.0
        with opened_video(self.path) as (container, stream):
            try:
                for packet in container.demux():
                    packets += packet.stream is stream and packet.size > 0
                    if packet.pts is not None:
                        end = max(end, float((packet.pts + (packet.duration or 0)) * packet.stream.time_base))
            except av.FFmpegError:
                pass  # truncated: the pass that decodes will end there too
            if not _is_as_long_as_promised(end, container):
                self.promised = round(container.duration / av.time_base * (stream.average_rate or 0))
        return packets

    def pick(
        self,
        wanted: set[int],
        convert: Callable[[np.ndarray], Any] | None,
        to_the_end: bool,
        watch: Callable[[int, int], None] | None = None,
    ) -> tuple[dict[int, Any], int, int]:
        """One pass: the frames at the positions wanted, the number of frames that decode, and of damaged parts."""
        frames, position, bad, bad_in_a_row, end = {}, 0, 0, 0, 0
        # A frame's own would prepare its tables anew, for longer than it converts.
        reformatter = av.video.reformatter.VideoReformatter()
        with opened_video(self.path) as (container, stream):
            packets = container.demux(stream)
            while True:
                try:
                    decoded = next(packets).decode()
                    bad_in_a_row = 0
                except StopIteration:
                    break
                except av.FFmpegError:
                    bad, bad_in_a_row = bad + 1, bad_in_a_row + 1
                    if bad_in_a_row > MAX_BAD_PACKETS:
                        break
                    continue
                for frame in decoded:
                    if watch:
                        watch(frame.width, frame.height)
                    bad += frame.is_corrupt
                    end = max(end, (frame.pts or 0) + (frame.duration or 0))
                    if position in wanted:
                        pixels = _upright_rgb(frame, reformatter)
                        frames[position] = convert(pixels) if convert else pixels
                    position += 1
                if not to_the_end and len(frames) == len(wanted):
                    break
            self.shown_whole = _is_end(end, self.promised, container, stream)
        return frames, position, bad


def file_seconds(path: str | os.PathLike) -> float | None:
    """How long the container says that a video is; `None` where it does not say.

    Raises:
        DataError, OSError: as `VideoFile`.
    """
    with opened_video(path) as (container, stream):
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return container.duration / av.time_base if container.duration else None


@contextlib.contextmanager
def opened_video(path: str | os.PathLike) -> Iterator[tuple]:
    """PyAV's container and its best video stream; single-threaded, since videos are decoded beside each other.

    FFmpeg's choice, as players show it; a picture that is attached to sound, a cover, is no video.

    Raises:
        DataError: if there is none; without the path.
        OSError: if it cannot be opened.
    """
    require_regular(path)
    try:
        # Absolute: FFmpeg takes the `a` of a relative `a:b.avi` for a protocol.
        container = av.open(os.path.abspath(path), options=_own_content_only(), **_metadata_options(av.__version__))
    except av.FFmpegError as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        empty = Path(path).stat().st_size == 0
        raise DataError(
            "the file is empty" if empty else f"not a video that FFmpeg reads: {reason(error).lower()}"
        ) from error
    with container:
        stream = _best_stream(container)
        if stream.codec_context is None:
            raise DataError("its video is coded in a way that FFmpeg cannot decode")
        stream.codec_context.thread_count = 1
        yield container, stream


@functools.cache
def _own_content_only():
    """FFmpeg's options by which a file shows what is in it and nothing else: a text would name other files and URLs."""
    formats = (format for format in av.formats_available if not _REFERRING.intersection(format.split(",")))
    return {"format_whitelist": ",".join(sorted(formats)), "protocol_whitelist": "file"}


def _metadata_options(version):
    """What makes PyAV of a version take tags that are not UTF-8: up to 18 an argument, from 19 on all of it."""
    return {"metadata_errors": "replace"} if int(version.split(".")[0]) < 19 else {}


def _best_stream(container):
    films = [
        stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not films:
        covers = ["a cover picture"] if container.streams.video else []
        others = sorted({stream.type for stream in container.streams} - {"video"})
        raise DataError("it has no video stream, only " + ", ".join(others + covers))
    # FFmpeg takes a picture or a preview for the best where it is flagged as the default, as the first of an MP4 is.
    most = max(stream.frames for stream in films)
    films = [
        stream for stream in films if stream.frames != 1 and (not stream.frames or 2 * stream.frames >= most)
    ] or films
    best = container.streams.best("video")
    return best if best in films else max(films, key=lambda stream: stream.frames)


def _is_as_long_as_promised(end, container):
    """Whether a time in seconds, the end of the last packet of any stream, is the end that the header promises."""
    if container.duration is None or not container.format.name.startswith(_WITH_DURATION):
        return True
    whole = ((container.start_time or 0) + container.duration) / av.time_base
    return end >= whole - DURATION_TOLERANCE


def _is_end(end, promised, container, stream):
    """Whether a time, in the stream's units, is the end of what the header promises, or as good as that."""
    if not stream.average_rate or not stream.time_base:
        return False
    start = stream.start_time or 0
    frame = 1 / (stream.average_rate * stream.time_base)
    # Frames that were dropped are counted and not stored: by their times the last one is the last all the same.
    if end - start >= (promised - HEADER_TOLERANCE) * frame:
        return True
    # What an edit list leaves out is counted too. FFmpeg shortens the duration to what it shows.
    has_edits = _WITH_EDIT_LISTS in container.format.name.split(",")
    return has_edits and bool(stream.duration) and end >= start + stream.duration - HEADER_TOLERANCE * frame


def _upright_rgb(frame, reformatter):
    """Pixels as they are to be shown: turned and mirrored to the nearest of the eight orientations."""
    pixels = reformatter.reformat(frame, format="rgb24").to_ndarray()
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return pixels
    # Row by row (a b u, c d v, x y w): a pixel right of another is shown at (a, b) from it, one below it at (c, d).
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.dtype("i4").newbyteorder(sys.byteorder), 5).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, across, down = pixels.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    return pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
