"""Scaling as two products of matrices, for runtimes without TensorFlow's `ScaleAndTranslate`."""

from __future__ import annotations

import tensorflow as tf


def scale_by_products(images: tf.Tensor, size: tf.Tensor | tuple[int, int]) -> tf.Tensor:
    """What `tf.image.resize(..., antialias=True)` does, of operations that every runtime has.

    Row i of an axis's matrix holds the weights of the source's pixels x, brought to a sum of one:
    max(0, 1 - |x + 1/2 - s (i + 1/2)| / max(s, 1)), where s is the source's length divided by the target's.

    Args:
        images: float32 tensor `(n, height, width, channels)`, of any height and width at run time.
        size: `(height, width)` in pixels.

    Returns:
        float32 tensor `(n, *size, channels)`, equal to TensorFlow's but for rounding.

    Example:
        >>> images = tf.reshape(tf.range(2.0 * 6 * 5 * 3), (2, 6, 5, 3))
        >>> wanted = tf.image.resize(images, (4, 9), antialias=True)
        >>> bool(tf.reduce_max(tf.abs(scale_by_products(images, (4, 9)) - wanted)) < 1e-3)
        True
    """
    sides = tf.shape(images)[1:3]
    rows, columns = _weights(sides[0], size[0]), _weights(sides[1], size[1])
    narrow = tf.einsum("jw,nhwc->nhjc", columns, images)
    return tf.einsum("ih,nhjc->nijc", rows, narrow)


def _weights(source, target):
    """Matrix `(target, source)`."""
    source, target = tf.cast(source, tf.float32), tf.cast(target, tf.float32)
    step = source / target
    centers = (tf.range(target) + 0.5) * step
    distances = tf.abs(tf.range(source)[tf.newaxis] + 0.5 - centers[:, tf.newaxis])
    weights = tf.maximum(0.0, 1.0 - distances / tf.maximum(step, 1.0))
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)
