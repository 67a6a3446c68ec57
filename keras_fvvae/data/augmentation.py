"""Random changes of training images: in-graph, and a function of a seed alone."""

import tensorflow as tf


def augment(image, seed, shift=0, mirror=False):
    """Shifts an image by up to `shift` pixels along each side, and mirrors it left to right half of the time.

    Args:
        image: tensor `(height, width, channels)` of static shape.
        seed: integer tensor `(2,)`; the same seed gives the same change.
        shift: largest shift in pixels; what moves in from outside is black.
        mirror: whether to mirror.

    Returns:
        Tensor of the shape of `image`.
    """
    if shift:
        padded = tf.pad(image, [[shift, shift], [shift, shift], [0, 0]])
        image = tf.image.stateless_random_crop(padded, image.shape, seed=seed)
    if mirror:
        # Another seed than the crop's: they would be correlated.
        image = tf.image.stateless_random_flip_left_right(image, seed=seed + 1)
    return image
