"""Frames of video files and of folders of frames: decoded forward, once, and never trusted before they are decoded."""

import dataclasses
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.data.readers.flow import has_flow
from keras_fvvae.data.readers.image import decode_pixels
from keras_fvvae.data.readers.media import FLOW_STEMS, numbered_frames
from keras_fvvae.data.readers.regular_file import read_regular
from keras_fvvae.data.readers.video_file import HEADER_TOLERANCE, VideoFile
from keras_fvvae.errors import DataError
from keras_fvvae.utils.extras import require
from keras_fvvae.utils.video_packages import WHAT, missing_packages


@dataclasses.dataclass(frozen=True)
class DecodedVideo:
    """What one pass over a video gave.

    Attributes:
        frames: dictionary from position (0 is the first frame) to what `convert` made of the frame.
        total: frames that decode, for which the positions were chosen; where the pass was not `to_the_end`, the
            container's count.
        expected: frames that the container's header promises; 0 where it does not say. Frames that it counts and that
            are not to be shown (an edit list leaves them out, or they were dropped) are not promised.
        bad_packets: packets or frames that are damaged.
    """

    frames: dict
    total: int
    expected: int
    bad_packets: int

    @property
    def damage(self) -> str:
        """What is wrong with a video that can be used as far as it decodes, in words; "" for a whole one."""
        found = []
        if self.expected - self.total > HEADER_TOLERANCE:
            found.append(f"truncated: its header promises {self.expected} frames, {self.total} decode")
        if self.bad_packets:
            found.append(f"damaged: {self.bad_packets} of its packets or frames do not decode")
        return "; ".join(found)


def require_packages(sources: Iterable[str | os.PathLike | np.ndarray], is_flow: bool) -> None:
    """Refuses videos that need a package of the extra `video` which is missing, before anything is computed for them.

    Args:
        sources: of videos. Frames as images need no package, and flow as images neither.
        is_flow: whether their optical flow is wanted.

    Raises:
        KerasFVVAEError: naming the extra.
    """
    if not missing_packages():
        return
    for source in sources:
        if isinstance(source, np.ndarray):
            has_own_flow = False
        elif os.path.isdir(source):
            has_own_flow = has_flow(source)
        else:
            require("av", extra="video", what=WHAT)
            has_own_flow = False
        if is_flow and not has_own_flow:
            require("cv2", extra="video", what=WHAT)


def uniform_positions(total: int, count: int) -> np.ndarray:
    """Positions of `count` frames in the middles of `count` equal parts of a video (paper: 25, Section 5.2).

    A video of fewer frames gives all of them, each once.

    Args:
        total: frames of the video.
        count: frames wanted.

    Example:
        >>> uniform_positions(10, 3).tolist(), uniform_positions(2, 3).tolist()
        ([1, 5, 8], [0, 1])
    """
    if total <= count:
        return np.arange(total)
    return ((2 * np.arange(count) + 1) * total) // (2 * count)


def every_position(total: int, step: int, offset: int = 0) -> np.ndarray:
    """Positions of every `step`-th frame.

    Example:
        >>> every_position(10, 4).tolist()
        [0, 4, 8]
    """
    return np.arange(offset, total, step)


def read_video(
    source: str | os.PathLike | np.ndarray,
    choose: Callable[[int], Iterable[int]],
    convert: Callable[[np.ndarray], Any] | None = None,
    to_the_end: bool = True,
    watch: Callable[[int, int], None] | None = None,
) -> DecodedVideo:
    """Decodes a video forward and returns chosen frames.

    One pass, without seeking. The positions are chosen for the count that the container claims; when the pass shows
    another count, they are chosen again and a second pass is made: a truncated file is rare, and its frames are then
    exactly those of an intact file of the same content.

    Args:
        source: path of a video file or of a folder of numbered frames (`img_00001.jpg`, counted from 0 or 1), or a
            uint8 array `(frames, height, width, 3)`.
        choose: function from the number of frames to the positions wanted, which may be none.
        convert: function applied to each chosen frame, a uint8 array `(height, width, 3)` in RGB, upright, as soon as
            it is decoded and in the order of the positions: what it returns is kept instead of the frame.
        to_the_end: `False` stops after the last wanted frame, for a random frame in training; there is no second
            pass then unless it is missing.
        watch: called with width and height of every frame of a file, wanted or not: what it raises ends the reading.

    Returns:
        A `DecodedVideo`.

    Raises:
        DataError: if there is no video in it, or no frame can be decoded; with the reason, without the path.
        OSError: if it cannot be opened.

    Example:
        >>> video = np.arange(5, dtype="uint8").reshape(5, 1, 1, 1) * np.ones((5, 2, 2, 3), "uint8")
        >>> read_video(video, lambda total: uniform_positions(total, 2)).frames.keys()
        dict_keys([1, 3])
    """
    reader: Any
    if isinstance(source, np.ndarray):
        reader = _Array(source)
    else:
        reader = _Folder(source) if Path(source).is_dir() else VideoFile(source)
    expected = reader.count()
    wanted = {int(position) for position in choose(expected)}
    frames, total, bad_packets = reader.pick(wanted, convert, to_the_end, watch)
    if not to_the_end and len(frames) == len(wanted):
        total = expected
    elif total != expected:
        wanted = {int(position) for position in choose(total)}
        # The count stays that of the first pass: this one may end before the last frame.
        frames, _, bad_packets = reader.pick(wanted, convert, to_the_end, watch)
    if not frames and (wanted or not total):
        damage = f" ({bad_packets} damaged parts)" if bad_packets else ""
        raise DataError(f"it has no frame that can be decoded{damage}")
    expected = total if reader.shown_whole and reader.promised > total else reader.promised
    return DecodedVideo(dict(sorted(frames.items())), total, expected, bad_packets)


class _Array:
    """Frames in memory."""

    shown_whole = True

    def __init__(self, frames):
        self.frames = frames
        self.promised = len(frames)

    def count(self):
        return len(self.frames)

    def pick(self, wanted, convert, to_the_end, watch=None):
        convert = convert or np.array
        return {p: convert(self.frames[p]) for p in sorted(wanted) if p < len(self.frames)}, len(self.frames), 0


class _Folder:
    """Numbered images in a folder. A frame that cannot be read is left out."""

    shown_whole = True

    def __init__(self, path):
        stems = {stem: paths for stem, paths in numbered_frames(path).items() if stem not in FLOW_STEMS}
        if not stems:
            raise DataError("the folder holds no numbered frames such as img_00001.jpg")
        self.paths = max(stems.values(), key=len)
        self.promised = len(self.paths)

    def count(self):
        return len(self.paths)

    def pick(self, wanted, convert, to_the_end, watch=None):
        frames, bad = {}, 0
        for position in sorted(wanted):
            if position >= len(self.paths):
                continue
            try:
                pixels = decode_pixels(read_regular(self.paths[position]))
            except (OSError, ValueError, DataError):
                bad += 1
                continue
            frames[position] = convert(pixels) if convert else pixels
        return frames, len(self.paths), bad
