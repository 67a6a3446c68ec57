"""Embedded videos: scikit-learn's digits in eight motions, written as real AVI and MP4 files; no download."""

from __future__ import annotations

import io
import json
import operator
import os
from pathlib import Path

import numpy as np

from keras_fvvae.data.collection import SPLITS, Collection
from keras_fvvae.data.datasets.digits import load_digits
from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import reason, write_atomically
from keras_fvvae.utils.progress import track

# Each pair is drawn once: the second motion is the first one played backwards.
OPPOSITES = (
    ("move_left", "move_right"),
    ("move_up", "move_down"),
    ("rotate_clockwise", "rotate_counterclockwise"),
    ("grow", "shrink"),
)
MOTIONS = tuple(motion for pair in OPPOSITES for motion in pair)
MANIFEST = "moving_digits.json"
FORMAT = 1  # changes with the pixels: a folder of an older release is then refused, not mixed
DEFAULT_DIRECTORY = Path("~/.cache/keras_fvvae/moving_digits")
FPS = 25

# Lengths are in pixels of a picture of 64 and grow with `size`; the radius is that of the circle around the digit.
REFERENCE_SIZE = 64
SIZES = (32, 1024)
# With more frames the slowest motion leaves the picture.
FRAMES = (2, 32)
MARGIN = 1.0
RADIUS = (12.0, 15.0)
GROWING_RADIUS = (13.5, 16.0)  # geometric mean of the first and the last
SPEED = (1.0, 3.0)  # pixels per frame
ANGULAR_SPEED = (5.0, 8.0)  # degrees per frame
GROWTH = (1.04, 1.06)  # per frame

# The background must give optical flow something to hold on to, and stay darker than the digit.
TEXTURE_SCALE = 1.5  # standard deviation of the blur, in pixels
TEXTURE_CONTRAST = 9.0  # standard deviation of the gray levels
BACKGROUND_LEVELS = (40.0, 80.0)
DIGIT_LEVELS = (190.0, 255.0)
# The 8x8 digit is enlarged once, smoothly; from there it is only made smaller, and stays free of aliasing because it
# holds no detail finer than one of its own cells, which is never drawn smaller than a pixel.
ENLARGEMENT = 8
PADDING = 2  # cells around the digit, into which the enlargement fades out
VISIBLE = 1 / 128  # ink above this belongs to the digit when its radius is measured: a difference of two gray levels

# High quality, one thread, no macroblock tree: with it, x264 165 gives different bytes from run to run.
CODECS = {
    ".avi": ("avi", "mpeg4", {"qmin": "2", "qmax": "3", "g": "12", "threads": "1"}),
    ".mp4": ("mp4", "libx264", {"crf": "14", "preset": "medium", "g": "12", "threads": "1", "mbtree": "0"}),
}
EXTENSIONS = tuple(CODECS)


def load_moving_digits(
    directory: str | Path | None = None,
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
    directory = Path(DEFAULT_DIRECTORY if directory is None else directory).expanduser()
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
        groups=[f"{split}-{'-or-'.join(_opposites(motion))}-{index:03d}" for split, motion, index in rows],
    )


def write_moving_digits(
    directory: str | Path,
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
            entropy = (seed, SPLITS.index(split), index, OPPOSITES.index(_opposites(motion)))
            digit_seed, drawing_seed = np.random.SeedSequence(entropy).spawn(2)
            digit = np.random.default_rng(digit_seed).choice(digits.indices(split))
            pixels = draw_moving_digit(digits.read(digit), motion, frames, size, drawing_seed)
            write_atomically(path, _encode(pixels, path.suffix))
        write_atomically(directory / MANIFEST, json.dumps(settings, indent=2).encode() + b"\n")
    except OSError as error:
        raise DataError(f"The moving digits cannot be written to {directory}: {reason(error)}.") from error
    return directory


def draw_moving_digit(digit: np.ndarray, motion: str, frames: int = 16, size: int = 64, seed: int = 0) -> np.ndarray:
    """The frames of one video.

    Args:
        digit: uint8 array `(8, 8, 3)`, bright on black.
        motion: one of `MOTIONS`.
        frames: number of frames, 2 to 32.
        size: height and width in pixels.
        seed: of position, angle, size, speed, colours and background: an integer, several, or a NumPy `SeedSequence`.
            With the same seed, opposite motions give the same frames in opposite order.

    Returns:
        uint8 array `(frames, size, size, 3)`, RGB.

    Example:
        >>> digit = load_digits().read(0)
        >>> left, right = (draw_moving_digit(digit, motion, seed=3) for motion in ("move_left", "move_right"))
        >>> left.shape, bool((left == right[::-1]).all())
        ((16, 64, 64, 3), True)
    """
    pair = _opposites(motion)
    generator = np.random.default_rng(seed)
    centres, angles, radii = _path(pair[0], frames, size, generator)
    background = _background(size, generator)
    ink_colour = generator.uniform(*DIGIT_LEVELS, size=3)
    ink, ink_centre, ink_radius = _enlarge(digit)
    pictures = []
    for centre, angle, radius in zip(centres, angles, radii, strict=True):
        alpha = _place(ink, ink_centre, centre, angle, radius / ink_radius, size)[..., np.newaxis]
        pictures.append(background * (1 - alpha) + ink_colour * alpha)
    drawn = np.round(np.clip(pictures, 0, 255)).astype("uint8")
    return drawn if motion == pair[0] else drawn[::-1]


def _opposites(motion):
    for pair in OPPOSITES:
        if motion in pair:
            return pair
    raise ValueError(f"`motion` must be one of {MOTIONS}. Received: motion={motion!r}")


def _path(motion, frames, size, generator):
    """Centres `(frames, 2)` as (x, y), angles in degrees and radii; the digit stays inside the picture throughout."""
    scale = size / REFERENCE_SIZE
    steps = frames - 1
    time = np.arange(frames) - steps / 2  # the middle of the video is the middle of the motion
    growing = motion == "grow"
    radius = scale * generator.uniform(*(GROWING_RADIUS if growing else RADIUS))
    radii, angles = np.full(frames, radius), np.full(frames, generator.uniform(0, 360))
    if growing:
        largest = size / 2 - scale * MARGIN
        radii = radius * generator.uniform(GROWTH[0], min(GROWTH[1], (largest / radius) ** (2 / steps))) ** time
    inset = radii.max() + scale * MARGIN
    shift = np.zeros(2)  # per frame
    if motion == "rotate_clockwise":
        angles = angles + generator.uniform(*ANGULAR_SPEED) * time
    elif not growing:
        speed = generator.uniform(scale * SPEED[0], min(scale * SPEED[1], (size - 2 * inset) / steps))
        shift = speed * np.array({"move_left": (-1, 0), "move_up": (0, -1)}[motion])
    reach = inset + np.abs(shift) * steps / 2
    # Pixels' centres are at whole numbers: the picture goes from -0.5 to size - 0.5.
    middle = generator.uniform(reach, size - reach) - 0.5
    return middle + time[:, np.newaxis] * shift, angles, radii


def _background(size, generator):
    """Smooth static noise around a dark colour, `(size, size, 3)`."""
    import cv2

    noise = cv2.GaussianBlur(generator.normal(size=(size, size)), (0, 0), TEXTURE_SCALE)
    noise *= TEXTURE_CONTRAST / noise.std()
    return noise[..., np.newaxis] + generator.uniform(*BACKGROUND_LEVELS, size=3)


def _enlarge(digit):
    """The digit's ink in [0, 1], smoothly enlarged, with its centre of mass (x, y) and its radius around it."""
    import cv2

    ink = np.pad(digit[..., 0].astype("float32") / 255, PADDING)
    ink = np.clip(cv2.resize(ink, None, fx=ENLARGEMENT, fy=ENLARGEMENT, interpolation=cv2.INTER_CUBIC), 0, 1)
    y, x = np.nonzero(ink > VISIBLE)
    weights = ink[y, x]
    centre = np.array([np.average(x, weights=weights), np.average(y, weights=weights)])
    return ink, centre, np.hypot(x - centre[0], y - centre[1]).max()


def _place(ink, ink_centre, centre, angle, scale, size):
    """The ink turned clockwise by `angle` degrees, scaled, and moved, to fractions of a pixel: `(size, size)`."""
    import cv2

    turn = np.deg2rad(angle)
    # y points down: this matrix turns clockwise.
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    offset = centre - matrix @ ink_centre
    return cv2.warpAffine(ink, np.column_stack([matrix, offset]), (size, size), flags=cv2.INTER_LINEAR)


def _encode(frames, extension):
    """The bytes of a video file."""
    import av

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
        written = json.loads((directory / MANIFEST).read_text())
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
