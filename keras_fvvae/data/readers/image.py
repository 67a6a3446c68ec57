"""Decoding and resizing of images: TensorFlow ops, so that training, prediction and a served model do the same."""

import functools
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
from keras_fvvae.data.readers.jpeg_scale import jpeg_divisor
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
    """An image, or several of one size, scaled bilinearly and with antialiasing when it shrinks.

    `tf.image.resize(image, size, antialias=True)`, to the bit: sums of the same numbers in the same order, rows first.
    Only that columns are scaled as rows of the transposed image, a whole row at a time: TensorFlow's operation takes
    the columns' channels, three numbers, one after the other, and needs nearly twice the time.

    Args:
        image: tensor `(height, width, channels)` or `(n, height, width, channels)` of any numbers.
        size: `(height, width)` in pixels.

    Returns:
        float32 tensor `(*size, channels)` or `(n, *size, channels)`.
    """
    image, size = tf.convert_to_tensor(image), tf.convert_to_tensor(size, tf.int32)
    sides = tf.get_static_value(size)
    if sides is not None and image.shape[-3:-1].as_list() == sides.tolist():
        return tf.cast(image, tf.float32)
    many = image if image.shape.rank == 4 else image[tf.newaxis]
    across = _scaled_rows(many, size[0])  # (n, size[0], width, channels)
    down = _scaled_rows(tf.transpose(across, (0, 2, 1, 3)), size[1])
    scaled = tf.transpose(down, (0, 2, 1, 3))
    scaled.set_shape((many.shape[0], *(sides if sides is not None else (None, None)), many.shape[-1]))
    return scaled if image.shape.rank == 4 else scaled[0]


def _scaled_rows(images, count):
    """Images `(n, rows, length, channels)` with `count` rows."""
    number, rows, length, channels = tf.unstack(tf.shape(images))
    scaled = tf.raw_ops.ScaleAndTranslate(
        images=tf.reshape(images, (number, rows, 1, length * channels)),
        size=(count, 1),
        scale=(tf.cast(count, tf.float32) / tf.cast(rows, tf.float32), 1.0),
        translation=(0.0, 0.0),
        kernel_type="triangle",
        antialias=True,
    )
    return tf.reshape(scaled, (number, count, length, channels))


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
    """`resize_image` at once: from an array to a read-only one; unchanged where it has the size already."""
    size = (int(size[0]), int(size[1]))
    if pixels.shape[:2] == size:
        return pixels
    with tf.device("CPU"):
        resize = _resizing_graph(size, mode, pixels.dtype)
        return np.asarray(resize(tf.convert_to_tensor(np.ascontiguousarray(pixels))))  # not `numpy()`, which copies


@functools.lru_cache(maxsize=32)
def _resizing_graph(size, mode, dtype):
    """`resize_image` in one call: those of its single operations take as long as what they do."""
    specification = tf.TensorSpec((None, None, None), dtype)
    graph = tf.function(lambda pixels: resize_image(pixels, size, mode), [specification], autograph=False)
    return graph.get_concrete_function()


def decode_pixels(content: bytes, size: tuple[int, int] | None = None, mode: str = "squeeze") -> np.ndarray:
    """Decodes image bytes at once, as `decode_image`, with a reason in plain words where that fails.

    Args:
        content: bytes.
        size: `(height, width)` that it will be resized to: a JPEG of more than twice its sides is decoded at the
            smallest scale, 1/2, 1/4 or 1/8, that is still as large. Default: every image as it is.
        mode: of `resize_image`, for `size`.

    Returns:
        uint8 array `(height, width, 3)`, read-only.

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
    divisor = 1 if size is None else jpeg_divisor(content, size, mode)
    try:
        with tf.device("CPU"):  # not to a GPU and back
            # The same decoder, but that one takes a scale.
            image = decode_image(content) if divisor == 1 else tf.io.decode_jpeg(content, channels=3, ratio=divisor)
            return np.asarray(image)  # not `numpy()`, which copies
    except tf.errors.InvalidArgumentError as error:
        raise ValueError("truncated or damaged") from error
