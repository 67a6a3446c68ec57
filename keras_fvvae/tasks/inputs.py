"""What a training reads: cached activations of a frozen backbone, or images where the backbone is trained too."""

import hashlib
import math

import numpy as np
import tensorflow as tf
from keras import ops

from keras_fvvae.data.augmentation import augment
from keras_fvvae.data.pipeline import image_batches, loader, unreadable_images
from keras_fvvae.errors import WeightsError
from keras_fvvae.features import FeatureStore
from keras_fvvae.progress import track

# Pixels that go through the backbone at once: 10 images of 448x448, whose first VGG layer takes 0.5 GB of activations.
PIXELS_PER_BATCH = 2_000_000
MAX_BATCH = 128
# Activations read from disk at once, in float16; and maps, whose Fisher vectors are larger than they are.
READ_BYTES = 32 * 2**20
MAX_READ = 64


def backbone_batch_size(input_size):
    """Images that go through a backbone at once, so that memory stays flat over input sizes."""
    return max(1, min(MAX_BATCH, PIXELS_PER_BATCH // (input_size[0] * input_size[1])))


class ImageInputs:
    """Images, decoded anew whenever they are needed.

    Args:
        collection: an `Collection`.
        recipe: a `Recipe`, for input size and resizing.
    """

    def __init__(self, collection, recipe):
        self.collection = collection
        self.recipe = recipe

    def prepare(self, verbose=1):
        """Checks that every image can be read; returns a dictionary from position to reason of those that cannot."""
        return unreadable_images(self.collection, np.arange(len(self.collection)))

    def batches(self, indices):
        """Yields float32 batches of images in the order of `indices`."""
        size = self.recipe.input_size
        for batch in image_batches(self.collection, indices, size, backbone_batch_size(size), self.recipe.resize):
            yield batch["image"]

    def training_batches(self, stream, batch_size, start=0):
        """`tf.data.Dataset` of `(images, labels)` for an endless iterator of positions.

        Args:
            stream: the iterator.
            batch_size: images per batch.
            start: how many positions of the whole training were drawn before; augmentation is seeded with the count.
        """
        recipe = self.recipe
        load = loader(self.collection, recipe.input_size, recipe.resize)
        labels = tf.constant(self.collection.labels)

        def example(count, index):
            seed = tf.stack([tf.constant(recipe.seed, tf.int64), count])
            image = augment(load(index)["image"], seed, recipe.random_shift, recipe.random_mirror)
            return image, tf.gather(labels, index)

        dataset = tf.data.Dataset.from_generator(lambda: stream, output_signature=tf.TensorSpec((), tf.int64))
        dataset = dataset.enumerate(start).map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return dataset.batch(batch_size).prefetch(2)


class ActivationInputs:
    """Activation maps of a frozen backbone, computed once and kept on disk.

    Args:
        collection: an `Collection`.
        recipe: a `Recipe`.
        backbone: model from images to activation maps.
        directory: of the `FeatureStore`s.
    """

    def __init__(self, collection, recipe, backbone, directory):
        self.collection = collection
        self.recipe = recipe
        self.backbone = backbone
        self.shape = tuple(backbone.output.shape[1:])
        settings = {
            "backbone": recipe.backbone,
            "tap": recipe.tap,
            "input_size": list(recipe.input_size),
            "resize": recipe.resize,
            "weights": _weights_digest(backbone),
        }
        self.store = FeatureStore(directory, settings)
        self.keys = [collection.key(index) for index in range(len(collection))]

    def prepare(self, verbose=1):
        """Computes what is not on disk yet; returns a dictionary from position to reason of what cannot be used.

        Stopped at any moment, it keeps what it has.
        """
        self.store.discard_damaged()
        missing = [index for index, key in enumerate(self.keys) if key not in self.store]
        size = backbone_batch_size(self.recipe.input_size)
        batches = image_batches(self.collection, missing, self.recipe.input_size, size, self.recipe.resize)
        skipped = {}
        total = -(-len(missing) // size)
        try:
            for batch in track(batches, f"Activations of {self.backbone.name}", total, enabled=verbose and missing):
                maps = self.backbone.predict_on_batch(batch["image"])
                rows = zip(batch["index"].numpy(), batch["reason"].numpy(), maps, strict=True)
                for index, reason, activation in rows:
                    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused
                        activation = activation.astype(self.store.dtype)
                    if not reason and not np.isfinite(activation).all():
                        reason = b"its activations are NaN, infinite or beyond float16"
                    if reason:
                        skipped[int(index)] = reason.decode()
                    else:
                        self.store.add(self.keys[index], activation)
        finally:
            self.store.flush()
        return skipped

    def batches(self, indices):
        """Yields batches of activation maps in the order of `indices`."""
        size = max(1, min(MAX_READ, READ_BYTES // (math.prod(self.shape) * self.store.dtype.itemsize)))
        for start in range(0, len(indices), size):
            yield self._read(indices[start : start + size])

    def training_batches(self, stream, batch_size, start=0):
        """`tf.data.Dataset` of `(activation maps, labels)` for an endless iterator of positions."""

        def generate():
            while True:
                indices = [next(stream) for _ in range(batch_size)]
                yield self._read(indices), self.collection.labels[indices]

        signature = (
            tf.TensorSpec((batch_size, *self.shape), self.store.dtype),
            tf.TensorSpec((batch_size,), tf.int64),
        )
        return tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(2)

    def _read(self, indices):
        return np.stack([self.store[self.keys[index]] for index in indices])


def _weights_digest(model):
    digest = hashlib.sha256()
    for variable in model.weights:
        weight = ops.convert_to_numpy(variable)
        if not np.isfinite(weight).all():
            # Not left to the activations: a ReLU can turn NaN into 0, and all maps would be zero.
            raise WeightsError(f"The backbone's weights hold NaN or infinite values, first in {variable.path}.")
        digest.update(np.ascontiguousarray(weight))
    return digest.hexdigest()
