"""A digit drawn in one of eight motions over a textured background."""

from __future__ import annotations

import numpy as np

from keras_fvvae.utils.video_packages import cv2

# Each pair is drawn once: the second motion is the first one played backwards.
OPPOSITES = (
    ("move_left", "move_right"),
    ("move_up", "move_down"),
    ("rotate_clockwise", "rotate_counterclockwise"),
    ("grow", "shrink"),
)
MOTIONS = tuple(motion for pair in OPPOSITES for motion in pair)

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


def draw_moving_digit(
    digit: np.ndarray, motion: str, frames: int = 16, size: int = 64, seed: int | np.random.SeedSequence = 0
) -> np.ndarray:
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
        >>> from keras_fvvae.data import load_digits
        >>> digit = load_digits().read(0)
        >>> left, right = (draw_moving_digit(digit, motion, seed=3) for motion in ("move_left", "move_right"))
        >>> left.shape, bool((left == right[::-1]).all())
        ((16, 64, 64, 3), True)
    """
    pair = pair_of(motion)
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


def pair_of(motion: str) -> tuple[str, str]:
    """The motion that is drawn and the one that is it played backwards, of which `motion` is one.

    Raises:
        ValueError: for an unknown motion.

    Example:
        >>> pair_of("shrink")
        ('grow', 'shrink')
    """
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
    noise = cv2.GaussianBlur(generator.normal(size=(size, size)), (0, 0), TEXTURE_SCALE)
    noise *= TEXTURE_CONTRAST / noise.std()
    return noise[..., np.newaxis] + generator.uniform(*BACKGROUND_LEVELS, size=3)


def _enlarge(digit):
    """The digit's ink in [0, 1], smoothly enlarged, with its centre of mass (x, y) and its radius around it."""
    ink = np.pad(digit[..., 0].astype("float32") / 255, PADDING)
    ink = np.clip(cv2.resize(ink, None, fx=ENLARGEMENT, fy=ENLARGEMENT, interpolation=cv2.INTER_CUBIC), 0, 1)
    y, x = np.nonzero(ink > VISIBLE)
    weights = ink[y, x]
    centre = np.array([np.average(x, weights=weights), np.average(y, weights=weights)])
    return ink, centre, np.hypot(x - centre[0], y - centre[1]).max()


def _place(ink, ink_centre, centre, angle, scale, size):
    """The ink turned clockwise by `angle` degrees, scaled, and moved, to fractions of a pixel: `(size, size)`."""
    turn = np.deg2rad(angle)
    # y points down: this matrix turns clockwise.
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    offset = centre - matrix @ ink_centre
    return cv2.warpAffine(ink, np.column_stack([matrix, offset]), (size, size), flags=cv2.INTER_LINEAR)
