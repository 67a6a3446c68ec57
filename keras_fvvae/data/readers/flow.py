"""Optical flow between frames, quantised to 8 bits as in the two-stream literature."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import numpy as np

from keras_fvvae.data.readers.image import decode_pixels
from keras_fvvae.data.readers.media import FLOW_STEMS, numbered_frames
from keras_fvvae.data.readers.regular_file import read_regular
from keras_fvvae.errors import DataError
from keras_fvvae.utils.video_packages import cv2

if TYPE_CHECKING:
    import tensorflow as tf

METHODS = ("dis", "farneback")
# Displacements beyond this many pixels a frame are clipped (TSN and the two-stream networks after it).
BOUND = 20.0
# Pairs in a stack (Simonyan and Zisserman, NIPS 2014).
STACK = 10
# Displacement 0 as an 8-bit value; 127.5 rounded to even.
ZERO = 128
# Farneback's settings as in OpenCV's own samples: pyramid scale, levels, window, iterations, polynomial size and sigma.
FARNEBACK = (0.5, 3, 15, 3, 5, 1.2)
# Below 12 pixels OpenCV's dense inverse search raises an error; below 16, on wide frames, OpenCV 5.0 crashes.
MIN_DIS_SIDE = 16
# The largest 8-bit value.
LARGEST = 255


@dataclasses.dataclass(frozen=True)
class FlowSettings:
    """How optical flow is computed and quantised.

    Args:
        method: `"dis"` (dense inverse search, the faster and sharper one) or `"farneback"`.
        bound: displacements are clipped to `[-bound, bound]` pixels.

    Raises:
        ValueError: for an unknown method or a bound that is not positive.
    """

    method: str = "dis"
    bound: float = BOUND

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(f"`method` must be one of {METHODS}. Received: method={self.method!r}")
        if not self.bound > 0:
            raise ValueError(f"`bound` must be positive, in pixels. Received: bound={self.bound}")


def optical_flow(previous: np.ndarray, following: np.ndarray, method: str = "dis") -> np.ndarray:
    """Dense optical flow from one frame to the next.

    Args:
        previous: uint8 array `(height, width, 3)` in RGB, or `(height, width)` gray.
        following: the next frame, of the same shape.
        method: `"dis"` or `"farneback"`.

    Returns:
        float32 array `(height, width, 2)`: displacement to the right and down, in pixels.

    Raises:
        ValueError: for an unknown method or frames of different shapes.

    Example:
        >>> y, x = np.mgrid[:64, :64]
        >>> frame = (128 + 60 * np.sin(x / 3) * np.sin(y / 4)).astype("uint8")
        >>> flow = optical_flow(frame, np.roll(frame, 2, axis=1))
        >>> np.round(np.median(flow, axis=(0, 1))).tolist()
        [2.0, 0.0]

    Reference:
        Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016; Farneback, "Two-Frame Motion
        Estimation Based on Polynomial Expansion", SCIA 2003.
    """
    if np.shape(previous) != np.shape(following):
        raise ValueError(
            f"The frames must have one shape. Received: shape={np.shape(previous)} and shape={np.shape(following)}"
        )
    previous, following = _gray(previous), _gray(following)
    if method == "dis":
        if min(previous.shape) < MIN_DIS_SIDE:
            raise DataError(f"frames of {previous.shape[1]}x{previous.shape[0]} pixels are too small for optical flow")
        # A new object for every pair: one that has seen small frames gives other results ever after, and threads that
        # share one crash (OpenCV 5.0). Its hints lack the function.
        flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        return flow.calc(previous, following, None)
    if method == "farneback":
        return cv2.calcOpticalFlowFarneback(previous, following, None, *FARNEBACK, 0)
    raise ValueError(f"`method` must be one of {METHODS}. Received: method={method!r}")


def quantize_flow(flow: np.ndarray, bound: float = BOUND) -> np.ndarray:
    """Displacements as 8-bit values: `round(127.5 * (clip(flow, -bound, bound) / bound + 1))`.

    Example:
        >>> quantize_flow(np.array([-30.0, -20.0, 0.0, 20.0])).tolist()
        [0, 0, 128, 255]
    """
    # In this order no motion is exactly 127.5, rounded to 128, whatever the bound.
    return np.round((np.clip(flow, -bound, bound) / bound + 1) * (LARGEST / 2)).astype("uint8")


def dequantize_flow(values: np.ndarray, bound: float = BOUND) -> np.ndarray:
    """Displacements in pixels from 8-bit values; exact to `bound / 255`, or twice that where 128 is taken for 0."""
    values = np.asarray(values, "float32")
    return np.where(values == ZERO, 0.0, values * np.float32(2 * bound / LARGEST) - np.float32(bound)).astype("float32")


def flow_image(quantized: np.ndarray, bound: float = BOUND) -> np.ndarray:
    """Quantised flow with its magnitude as the third channel, so that a network for RGB images can take it.

    The magnitude is quantised like its parts: no motion is 128 in all channels, gray.

    Args:
        quantized: uint8 array `(..., 2)` from `quantize_flow`.
        bound: in pixels.

    Returns:
        uint8 array `(..., 3)`.

    Reference:
        Gkioxari and Malik, "Finding Action Tubes", CVPR 2015.
    """
    magnitude = np.linalg.norm(dequantize_flow(quantized, bound), axis=-1, keepdims=True)
    return np.concatenate([quantized, quantize_flow(magnitude, bound)], axis=-1)


def mirror_flow(images: tf.Tensor) -> tf.Tensor:
    """Mirrors flow images left to right: the picture is turned around, and motion to the right becomes to the left.

    Args:
        images: tensor `(..., height, width, channels)` with values 0 to 255; channels x, y, magnitude, or x, y
            alternating in a stack.

    Returns:
        Tensor of the same shape and dtype: 256 minus the value of horizontal motion, at most 255, so that no motion
        stays 128.
    """
    import tensorflow as tf

    channels = images.shape[-1]
    horizontal = np.arange(channels) % 2 == 0 if channels != 3 else np.array([True, False, False])
    mirrored = tf.reverse(images, axis=[-2])
    turned = tf.minimum(2.0 * ZERO - tf.cast(mirrored, tf.float32), LARGEST)
    return tf.where(horizontal, tf.cast(turned, images.dtype), mirrored)


def flow_at(frames: dict[int, np.ndarray], position: int, settings: FlowSettings, length: int = 1) -> np.ndarray:
    """Quantised flow of `length` consecutive pairs from a position on.

    Args:
        frames: dictionary from position to uint8 frame; a frame beyond the end is replaced by the last pair there is.
        position: of the first frame of the first pair.
        settings: `FlowSettings`.
        length: number of pairs.

    Returns:
        uint8 array `(height, width, 2 * length)`: x and y of every pair, alternating.
    """
    pairs = []
    for first in range(position, position + length):
        if first + 1 in frames and first in frames:
            flow = optical_flow(frames[first], frames[first + 1], settings.method)
            pairs.append(quantize_flow(flow, settings.bound))
        elif pairs:
            pairs.append(pairs[-1])
    return np.concatenate(pairs, axis=-1)


class FlowFolder:
    """Quantised flow computed beforehand: a folder of `flow_x_00001.jpg` and `flow_y_00001.jpg`, counted from 0 or 1.

    Args:
        folder: the folder.

    Raises:
        DataError: if it has no flow, or an x without the y of its number.
        OSError: if it cannot be read.
    """

    def __init__(self, folder: str | os.PathLike):
        stems = numbered_frames(folder)
        self.paths = [stems.get(stem, []) for stem in FLOW_STEMS]
        x, y = (
            [int(path.stem.removeprefix(stem)) for path in paths]
            for stem, paths in zip(FLOW_STEMS, self.paths, strict=True)
        )
        if not x or x != y:
            raise DataError(
                f"the folder holds {len(x)} flow_x and {len(y)} flow_y frames; both are needed for every number"
            )
        self.pairs = len(x)

    def read(self, position: int) -> np.ndarray | None:
        """uint8 array `(height, width, 2)`, or `None` where a frame is damaged."""
        try:
            x, y = (decode_pixels(read_regular(paths[position]))[..., 0] for paths in self.paths)
        except (OSError, ValueError, DataError):
            return None
        return np.stack([x, y], axis=-1) if x.shape == y.shape else None


def has_flow(folder: str | os.PathLike) -> bool:
    """Whether a folder holds flow computed beforehand."""
    return not numbered_frames(folder).keys().isdisjoint(FLOW_STEMS)


def _gray(frame):
    frame = np.ascontiguousarray(frame)
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else frame
