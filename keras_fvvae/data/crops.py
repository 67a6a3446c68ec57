"""Crops of images: TensorFlow ops, a function of their inputs and a seed alone."""

import tensorflow as tf

from keras_fvvae.data.readers.flow import ZERO, mirror_flow

TEN_CROPS = 10


def mirror(images: tf.Tensor, is_flow: bool = False) -> tf.Tensor:
    """Mirrors images `(..., height, width, channels)` left to right; the sign of horizontal motion turns around."""
    return mirror_flow(images) if is_flow else tf.reverse(images, axis=[-2])


def center_crop(images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """The centre of images.

    Args:
        images: tensor `(..., height, width, channels)`, at least as large as `size`.
        size: `(height, width)` in pixels.

    Returns:
        Tensor `(..., *size, channels)`.
    """
    spare = _spare(images, size)
    return _cut(images, spare[0] // 2, spare[1] // 2, size)


def ten_crops(images: tf.Tensor, size: tuple[int, int], is_flow: bool = False) -> tf.Tensor:
    """The four corners and the centre of images, and the same mirrored.

    Args:
        images: tensor `(n, height, width, channels)`, at least as large as `size`.
        size: `(height, width)` in pixels.
        is_flow: whether the images are optical flow, see `mirror`.

    Returns:
        Tensor `(n * 10, *size, channels)`: the ten of the first image, then those of the next.

    Reference:
        Krizhevsky et al., NIPS 2012, Section 4.1; the protocol of the authors' release.
    """
    bottom, right = _spare(images, size)
    places = ((0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2))
    crops = [_cut(images, top, left, size) for top, left in places]
    crops = tf.stack([*crops, *(mirror(crop, is_flow) for crop in crops)], axis=1)  # (n, 10, *size, channels)
    return tf.reshape(crops, (-1, *size, images.shape[-1]))


def random_view(
    image: tf.Tensor,
    seed: tf.Tensor,
    size: tuple[int, int],
    shift: int = 0,
    random_mirror: bool = False,
    is_flow: bool = False,
) -> tf.Tensor:
    """A random crop of one image for training, mirrored half of the time if wished.

    Args:
        image: tensor `(height, width, channels)`, at least as large as `size`.
        seed: integer tensor `(2,)`; the same seed gives the same view.
        size: `(height, width)` in pixels.
        shift: the image is padded with black (flow: no motion) by so many pixels first, so that one as
            large as `size` moves too.
        random_mirror: whether to mirror.
        is_flow: whether the image is optical flow, see `mirror`.

    Returns:
        Tensor `(*size, channels)`.
    """
    if shift:
        outside = ZERO if is_flow else 0
        image = tf.pad(image, [[shift, shift], [shift, shift], [0, 0]], constant_values=outside)
    image = tf.image.stateless_random_crop(image, (*size, image.shape[-1]), seed=seed)
    if random_mirror:
        # Another seed than the crop's: they would be correlated.
        turned = tf.random.stateless_uniform((), seed=seed + 1) < 0.5
        image = tf.where(turned, mirror(image, is_flow), image)
    return image


def _spare(images, size):
    shape = tf.shape(images)
    return shape[-3] - size[0], shape[-2] - size[1]


def _cut(images, top, left, size):
    cut = images[..., top : top + size[0], left : left + size[1], :]
    return tf.ensure_shape(cut, (*images.shape[:-3], *size, images.shape[-1]))
