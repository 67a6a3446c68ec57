"""Embedded videos: scikit-learn's digits in eight motions, written as real AVI and MP4 files; no download."""

from __future__ import annotations

import io
import json
import operator
import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.data.collection import SPLITS, Collection
from keras_fvvae.data.datasets.digits import load_digits
from keras_fvvae.data.datasets.drawn_digits import FRAMES, MOTIONS, OPPOSITES, SIZES, draw_moving_digit, pair_of
from keras_fvvae.errors import DataError
from keras_fvvae.utils.cache import cache_folder
from keras_fvvae.utils.files import reason, write_atomically
from keras_fvvae.utils.progress import track
from keras_fvvae.utils.text import parse_json
from keras_fvvae.utils.video_packages import av

MANIFEST = "moving_digits.json"
FORMAT = 1  # changes with the pixels: a folder of an older release is then refused, not mixed
DEFAULT_FOLDER = "moving_digits"  # in the cache folder
FPS = 25

# High quality, one thread, no macroblock tree: with it, x264 165 gives different bytes from run to run.
CODECS = {
    ".avi": ("avi", "mpeg4", {"qmin": "2", "qmax": "3", "g": "12", "threads": "1"}),
    ".mp4": ("mp4", "libx264", {"crf": "14", "preset": "medium", "g": "12", "threads": "1", "mbtree": "0"}),
}
EXTENSIONS = tuple(CODECS)


def load_moving_digits(
    directory: str | os.PathLike | None = None,
    train_videos_per_class: int = 20,
    test_videos_per_class: int = 10,
    frames: int = 16,
    size: int = 64,
    seed: int = 0,
    verbose: int = 1,
) -> Collection:
    """The moving digits as a collection of videos; they are written first where they are missing.

    Args:
        directory: where the files are or will be; by default `~/.cache/keras_fvvae/moving_digits`.
        train_videos_per_class, test_videos_per_class, frames, size, seed, verbose: see `write_moving_digits`.

    Returns:
        A `Collection` of kind `"video"` with eight classes in the order of `MOTIONS`. Its `groups` keep opposite videos
        of the same drawing together.

    Raises:
        DataError: if the folder holds moving digits of other settings, or cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     videos = load_moving_digits(folder, 2, 1, verbose=0)
        >>> len(videos), videos.names[0], videos.class_names[:2]
        (24, 'train/move_left/move_left_000.avi', ['move_left', 'move_right'])
    """
    directory = cache_folder() / DEFAULT_FOLDER if directory is None else Path(os.path.expanduser(directory))
    write_moving_digits(directory, train_videos_per_class, test_videos_per_class, frames, size, seed, verbose)
    rows = list(_videos(train_videos_per_class, test_videos_per_class))
    names = [_name(*row) for row in rows]
    return Collection(
        [directory / name for name in names],
        names,
        [MOTIONS.index(motion) for _, motion, _ in rows],
        [split for split, *_ in rows],
        MOTIONS,
        kind="video",
        groups=[f"{split}-{'-or-'.join(pair_of(motion))}-{index:03d}" for split, motion, index in rows],
    )


def write_moving_digits(
    directory: str | os.PathLike,
    train_videos_per_class: int = 20,
    test_videos_per_class: int = 10,
    frames: int = 16,
    size: int = 64,
    seed: int = 0,
    verbose: int = 1,
) -> Path:
    """Writes the moving digits: `DIRECTORY/{train,test}/<motion>/<motion>_<number>.{avi,mp4}`, in turn AVI and MP4.

    The classes are motions: `move_left`, `move_right`, `move_up`, `move_down`, `rotate_clockwise`,
    `rotate_counterclockwise`, `grow` and `shrink`. Opposite motions are the same drawings, played forwards and
    backwards: their frames are the same, and so is what is pooled over them; only the order of time tells them apart
    (a first frame alone can: what moves right must start left). Training videos show digits of the training half of
    `load_digits`, test videos of the other.

    A call that was interrupted can be repeated. A folder that is complete is left as it is.

    Args:
        directory: the folder; made where it is missing.
        train_videos_per_class: training videos of each motion.
        test_videos_per_class: test videos of each motion.
        frames: of each video, 2 to 32.
        size: height and width in pixels, even, 32 to 1024; sizes and speeds grow with it.
        seed: the same seed gives the same pixels.
        verbose: 1 shows progress, 0 does not.

    Returns:
        The directory.

    Raises:
        DataError: if the folder holds moving digits of other settings, other videos, or cannot be written.
    """
    directory = Path(directory)
    settings = _settings(train_videos_per_class, test_videos_per_class, frames, size, seed)
    rows = list(_videos(train_videos_per_class, test_videos_per_class))
    try:
        if _is_complete(directory, settings, rows):
            return directory
        _refuse_other_videos(directory, {_name(*row) for row in rows})
        digits = load_digits()
        for split, motion, index in track(rows, "Writing moving digits", enabled=bool(verbose)):
            path = directory / _name(split, motion, index)
            path.parent.mkdir(parents=True, exist_ok=True)
            # Opposite motions share the entropy, and with it the digit and all else that is drawn.
            entropy = (seed, SPLITS.index(split), index, OPPOSITES.index(pair_of(motion)))
            digit_seed, drawing_seed = np.random.SeedSequence(entropy).spawn(2)
            digit = np.random.default_rng(digit_seed).choice(digits.indices(split))
            digit = np.random.default_rng(digit_seed).choice(digits.indices(split))
            image: Any = digits.read(digit)
            pixels = draw_moving_digit(image, motion, frames, size, drawing_seed)
            write_atomically(path, _encode(pixels, path.suffix))
        write_atomically(directory / MANIFEST, json.dumps(settings, indent=2).encode() + b"\n")
    except OSError as error:
        raise DataError(f"The moving digits cannot be written to {directory}: {reason(error)}.") from error
    return directory


def _encode(frames, extension):
    """The bytes of a video file."""
    container_format, codec, options = CODECS[extension]
    file = io.BytesIO()
    # "bitexact" keeps versions and times out of the file.
    with av.open(file, "w", format=container_format, options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=FPS, options=dict(options))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for pixels in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return file.getvalue()


def _settings(train_videos_per_class, test_videos_per_class, frames, size, seed):
    counts = {"train_videos_per_class": train_videos_per_class, "test_videos_per_class": test_videos_per_class}
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={count}")
    if not FRAMES[0] <= frames <= FRAMES[1]:
        raise ValueError(f"`frames` must be {FRAMES[0]} to {FRAMES[1]}. Received: frames={frames}")
    if not SIZES[0] <= size <= SIZES[1] or size % 2:
        raise ValueError(f"`size` must be even and {SIZES[0]} to {SIZES[1]}. Received: size={size}")
    if seed < 0:
        raise ValueError(f"`seed` must not be negative. Received: seed={seed}")
    settings = {"format": FORMAT, **counts, "frames": frames, "size": size, "seed": seed}
    return {name: operator.index(value) for name, value in settings.items()}  # NumPy's integers are not JSON's


def _videos(train_videos_per_class, test_videos_per_class):
    """Split, motion and number of every video, in order."""
    for split, count in zip(SPLITS, (train_videos_per_class, test_videos_per_class), strict=True):
        for motion in MOTIONS:
            for index in range(count):
                yield split, motion, index


def _name(split, motion, index):
    return f"{split}/{motion}/{motion}_{index:03d}{EXTENSIONS[index % len(EXTENSIONS)]}"


def _is_complete(directory, settings, rows):
    """Whether all videos are there; the manifest is written last, so that it vouches for them."""
    try:
        written = parse_json((directory / MANIFEST).read_bytes())
    except FileNotFoundError:
        return False
    except ValueError as error:
        raise DataError(f"{directory / MANIFEST} is damaged; delete the folder to have it written again.") from error
    if written != settings:
        written = written if isinstance(written, dict) else {}
        changed = [
            f"{key}={written.get(key)}, not {value}" for key, value in settings.items() if written.get(key) != value
        ]
        raise DataError(
            f"{directory} holds moving digits of other settings ({'; '.join(changed)}); use another folder."
        )
    return all((directory / _name(*row)).is_file() for row in rows)


def _refuse_other_videos(directory, names):
    """What an interrupted call of other settings left would silently become part of the data set."""
    for root, _, files in os.walk(directory):
        for file in files:
            name = Path(root, file).relative_to(directory).as_posix()
            if not file.startswith(".") and name != MANIFEST and name not in names:
                raise DataError(f"{directory} holds another file, {name}; moving digits need a folder of their own.")
