"""Decoding and resizing of images: TensorFlow ops, so that training, prediction and a served model do the same."""

import numpy as np
import tensorflow as tf

RESIZE_MODES = ("squeeze", "crop", "pad")
# A file format can claim more pixels than memory holds.
MAX_PIXELS = 200_000_000


def decode_image(contents):
    """Decodes JPEG, PNG, WebP, BMP or GIF bytes to RGB.

    Grayscale and CMYK become RGB, an alpha channel is dropped, 16 bits are scaled to 8, and of an animation the first
    frame is taken. EXIF rotation is not applied: TensorFlow has no op for it, and a served graph could not follow.

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


def resize_image(image, size, mode="squeeze"):
    """Resizes one image, bilinearly and with antialiasing when it shrinks.

    Args:
        image: tensor `(height, width, 3)`.
        size: `(height, width)` in pixels.
        mode: `"squeeze"`: both sides are fitted, whatever the aspect; `"crop"`: its centre of the wanted aspect is
            scaled to the size; `"pad"`: the whole image is scaled to fit and surrounded with black.

    Returns:
        float32 tensor `(*size, 3)` in the range of the input.

    Raises:
        ValueError: for an unknown mode.
    """
    if mode not in RESIZE_MODES:
        raise ValueError(f"`mode` must be one of {RESIZE_MODES}. Received: mode={mode!r}")
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    scales = tf.cast(size, tf.float32) / sides
    if mode == "crop":
        # Cut first: an extreme aspect would else be scaled to a picture of any size.
        kept = tf.minimum(tf.cast(tf.math.round(size / tf.reduce_max(scales)), tf.int32), tf.shape(image)[:2])
        kept = tf.maximum(kept, 1)
        top, left = tf.unstack((tf.shape(image)[:2] - kept) // 2)
        image = image[top : top + kept[0], left : left + kept[1]]
    elif mode == "pad":
        fitted = tf.cast(tf.math.round(sides * tf.reduce_min(scales)), tf.int32)
        image = tf.image.resize(image, tf.clip_by_value(fitted, 1, size), antialias=True)
        return tf.image.resize_with_crop_or_pad(image, *size)
    return tf.image.resize(image, size, antialias=True)


def resize_pixels(pixels, size, mode="squeeze"):
    """`resize_image` at once: from one array to another, unchanged where it has the size already."""
    if pixels.shape[:2] == tuple(size):
        return pixels
    with tf.device("CPU"):
        return resize_image(tf.convert_to_tensor(np.ascontiguousarray(pixels)), size, mode).numpy()


def decode_pixels(content):
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
    pixels = _claimed_pixels(content)
    if pixels > MAX_PIXELS:
        raise ValueError(f"claims {pixels:,} pixels, more than the limit of {MAX_PIXELS:,}")
    try:
        with tf.device("CPU"):  # not to a GPU and back
            return decode_image(content).numpy()
    except tf.errors.InvalidArgumentError as error:
        kind = "truncated or damaged" if _looks_like_image(content) else "not a JPEG, PNG, WebP, BMP or GIF image"
        raise ValueError(kind) from error


def _looks_like_image(content):
    return content.startswith((b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM", b"GIF8"))


def _claimed_pixels(content):
    """Width times height from a PNG header; 0 for other formats, whose own limits (65,535 squared) are lower."""
    if content.startswith(b"\x89PNG") and len(content) >= 24:
        return int.from_bytes(content[16:20], "big") * int.from_bytes(content[20:24], "big")
    return 0
