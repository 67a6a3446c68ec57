"""Decoding and resizing of images: TensorFlow ops, so that training, prediction and a served model do the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fvvae.data.readers.image_size import (
    MAX_PIXELS,
    MAX_SCANS,
    claimed_pixels,
    first_gif_frame,
    image_format,
    jpeg_scans,
)
from keras_fvvae.data.readers.plain_image import plain_image

RESIZE_MODES = ("squeeze", "crop", "pad")


def decode_image(contents: tf.Tensor | bytes) -> tf.Tensor:
    """Decodes JPEG, PNG, WebP, BMP or GIF bytes to RGB.

    Grayscale and CMYK become RGB, an alpha channel is dropped, 16 bits are scaled to 8, and of an animation the first
    frame is taken. EXIF rotation is not applied: TensorFlow has no op for it, and a served graph could not follow. BMP
    with a palette or masks, and WebP with transparency or animation, are not for TensorFlow: `plain_image` before it.

    Args:
        contents: scalar string tensor or bytes.

    Returns:
        uint8 tensor `(height, width, 3)`.

    Raises:
        tf.errors.InvalidArgumentError: if the bytes are not a whole image of these formats.
    """
    image = tf.io.decode_image(contents, channels=3, expand_animations=False)
    image.set_shape((None, None, 3))
    return image


def antialiased(image: tf.Tensor, size: tf.Tensor | tuple[int, int]) -> tf.Tensor:
    """An image, or several of one size, scaled bilinearly and with antialiasing when it shrinks."""
    return tf.image.resize(image, size, antialias=True)


def resize_image(
    image: tf.Tensor,
    size: tuple[int, int],
    mode: str = "squeeze",
    scale: Callable[[tf.Tensor, Any], tf.Tensor] = antialiased,
) -> tf.Tensor:
    """Resizes one image, or several of one size, bilinearly and with antialiasing when it shrinks.

    Args:
        image: tensor `(height, width, 3)` or `(n, height, width, 3)`.
        size: `(height, width)` in pixels.
        mode: `"squeeze"`: both sides are fitted, whatever the aspect; `"crop"`: its centre of the wanted aspect is
            scaled to the size; `"pad"`: the whole image is scaled to fit and surrounded with black.
        scale: what scales, for graphs of runtimes that do not have TensorFlow's operation.

    Returns:
        float32 tensor `(*size, 3)` or `(n, *size, 3)` in the range of the input.

    Raises:
        ValueError: for an unknown mode.
    """
    if mode not in RESIZE_MODES:
        raise ValueError(f"`mode` must be one of {RESIZE_MODES}. Received: mode={mode!r}")
    shape = tf.shape(image)[-3:-1]
    sides = tf.cast(shape, tf.float32)
    scales = tf.cast(size, tf.float32) / sides
    if mode == "crop":
        # Cut first: an extreme aspect would else be scaled to a picture of any size.
        kept = tf.minimum(tf.cast(tf.math.round(size / tf.reduce_max(scales)), tf.int32), shape)
        kept = tf.maximum(kept, 1)
        top, left = tf.unstack((shape - kept) // 2)
        image = image[..., top : top + kept[0], left : left + kept[1], :]
    elif mode == "pad":
        fitted = tf.cast(tf.math.round(sides * tf.reduce_min(scales)), tf.int32)
        image = scale(image, tf.clip_by_value(fitted, 1, size))
        return tf.image.resize_with_crop_or_pad(image, *size)
    return scale(image, size)


def resize_pixels(pixels: np.ndarray, size: tuple[int, int], mode: str = "squeeze") -> np.ndarray:
    """`resize_image` at once: from one array to another, unchanged where it has the size already."""
    if pixels.shape[:2] == tuple(size):
        return pixels
    with tf.device("CPU"):
        return resize_image(tf.convert_to_tensor(np.ascontiguousarray(pixels)), size, mode).numpy()


def decode_pixels(content: bytes) -> np.ndarray:
    """Decodes image bytes at once, as `decode_image`, with a reason in plain words where that fails.

    Args:
        content: bytes.

    Returns:
        uint8 array `(height, width, 3)`.

    Raises:
        ValueError: why it is not an image.
    """
    if not content:
        raise ValueError("the file is empty")
    pixels = claimed_pixels(content)
    if pixels and pixels > MAX_PIXELS and image_format(content) == "GIF":
        content = first_gif_frame(content)  # a long animation: TensorFlow would decode all of it
        pixels = claimed_pixels(content)
    if not pixels:
        known = image_format(content) not in ("", "JPEG XL")
        raise ValueError("truncated or damaged" if known else "not a JPEG, PNG, WebP, BMP or GIF image")
    if pixels > MAX_PIXELS:
        raise ValueError(f"claims {pixels:,} pixels, more than the limit of {MAX_PIXELS:,}")
    if (scans := jpeg_scans(content)) > MAX_SCANS:
        raise ValueError(f"has {scans:,} scans, more than the limit of {MAX_SCANS:,}")
    content = plain_image(content)
    try:
        with tf.device("CPU"):  # not to a GPU and back
            return decode_image(content).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise ValueError("truncated or damaged") from error
