"""tf.data pipelines from collections of images: parallel, in order, and not stopped by a broken file."""

import numpy as np
import tensorflow as tf

from keras_fvvae.data.decoding import decode_image, resize_image
from keras_fvvae.files import reason as reason_of

# An image of fewer pixels has no content to encode: most often a tracking pixel or a failed conversion.
MIN_SIDE = 2
# A file format can claim more pixels than memory holds.
MAX_PIXELS = 200_000_000


def image_batches(collection, indices, size, batch_size, resize="squeeze"):
    """Decodes and resizes images in batches.

    Args:
        collection: an `Collection`.
        indices: positions in it; the output keeps their order.
        size: `(height, width)` in pixels.
        batch_size: images per batch; the last batch may be smaller.
        resize: `"squeeze"` or `"crop"`, see `resize_image`.

    Returns:
        `tf.data.Dataset` of dictionaries: `image` float32 `(batch, *size, 3)`, `index` int64 `(batch,)`, `reason`
        string `(batch,)`: empty where the image could be read, otherwise why not (its pixels are zeros then).
    """
    dataset = tf.data.Dataset.from_tensor_slices(np.asarray(indices, "int64"))
    dataset = dataset.map(loader(collection, size, resize), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.batch(batch_size).prefetch(2)


def loader(collection, size, resize="squeeze"):
    """A function for `tf.data.Dataset.map`: from a position in a collection to a dictionary as in `image_batches`."""
    size = tuple(size)

    def load(index):
        pixels, reason = tf.numpy_function(lambda i: _read(collection, int(i)), [index], (tf.uint8, tf.string))
        pixels.set_shape((None, None, 3))
        image = tf.ensure_shape(resize_image(pixels, size, resize), (*size, 3))
        return {"image": image, "index": index, "reason": tf.ensure_shape(reason, ())}

    return load


def unreadable_images(collection, indices):
    """Reads every image once, in parallel.

    Args:
        collection: an `Collection`.
        indices: positions to check.

    Returns:
        Dictionary from position to reason, for the images that cannot be read.
    """

    def check(index):
        return index, tf.numpy_function(lambda i: _read(collection, int(i))[1], [index], tf.string)

    dataset = tf.data.Dataset.from_tensor_slices(np.asarray(indices, "int64"))
    dataset = dataset.map(check, num_parallel_calls=tf.data.AUTOTUNE)
    return {int(index): reason.decode() for index, reason in dataset.as_numpy_iterator() if reason}


def _read(collection, index):
    """Pixels and an empty reason, or one black pixel and the reason why there are none."""
    try:
        content = collection.read(index)
        if not isinstance(content, np.ndarray):
            content = _decode(content)
        if min(content.shape[:2]) < MIN_SIDE:
            raise ValueError(f"{content.shape[1]}x{content.shape[0]} pixels are too few to hold content")
    except OSError as error:
        return np.zeros((1, 1, 3), "uint8"), np.bytes_(f"cannot be opened: {reason_of(error)}".encode())
    except (ValueError, tf.errors.OpError) as error:
        return np.zeros((1, 1, 3), "uint8"), np.bytes_(str(error).encode())
    return content, np.bytes_(b"")


def _decode(content):
    if not content:
        raise ValueError("the file is empty")
    pixels = _claimed_pixels(content)
    if pixels > MAX_PIXELS:
        raise ValueError(f"claims {pixels:,} pixels, more than the limit of {MAX_PIXELS:,}")
    try:
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
