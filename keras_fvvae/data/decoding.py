"""Decoding and resizing of images: TensorFlow ops, so that training, prediction and a served model do the same."""

import tensorflow as tf

RESIZE_MODES = ("squeeze", "crop")


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
        mode: `"squeeze"`: both sides are fitted, whatever the aspect; `"crop"`: the image is scaled until it covers
            the size, and its centre is cut out.

    Returns:
        float32 tensor `(*size, 3)` in the range of the input.

    Raises:
        ValueError: for an unknown mode.
    """
    if mode not in RESIZE_MODES:
        raise ValueError(f"`mode` must be one of {RESIZE_MODES}. Received: mode={mode!r}")
    if mode == "squeeze":
        return tf.image.resize(image, size, antialias=True)
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.reduce_max(tf.cast(size, tf.float32) / sides)
    covering = tf.maximum(tf.cast(tf.math.round(sides * scale), tf.int32), size)
    resized = tf.image.resize(image, covering, antialias=True)
    return tf.image.resize_with_crop_or_pad(resized, *size)
