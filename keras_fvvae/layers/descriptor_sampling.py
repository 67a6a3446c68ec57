"""A random subset of an image's descriptors, for training on dense maps."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_fvvae")
class DescriptorSampling(keras.layers.Layer):
    """Keeps a random subset of every image's descriptors while training, and all of them otherwise.

    A 448x448 image gives 784 descriptors at VGG19's `conv5_4`, and neighbours are alike: a fresh subset at every step
    spares most of the work. Drawn without replacement, for every image anew.

    Args:
        count: descriptors to keep, a positive integer; with `T <= count` all are kept.
        seed: integer or `None`.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Input shape:
        `(batch, T, C)`.

    Output shape:
        `(batch, min(count, T), C)` when training, the input's otherwise (the static shape is that of the latter).

    Raises:
        ValueError: for a `count` that is not a positive integer.

    Example:
        >>> import numpy as np
        >>> descriptors = np.zeros((2, 784, 16), "float32")
        >>> DescriptorSampling(50, seed=1)(descriptors, training=True).shape
        TensorShape([2, 50, 16])
        >>> DescriptorSampling(50, seed=1)(descriptors).shape
        TensorShape([2, 784, 16])
    """

    def __init__(self, count, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"`count` must be a positive integer. Received: count={count!r}")
        self.count = count
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        total = inputs.shape[1]
        if not training or (total is not None and total <= self.count):
            return inputs
        batch, length, channels = ops.shape(inputs)
        count = self.count if total is not None else ops.minimum(self.count, length)
        indices = self.draw(batch, length, count)
        # Rows of the whole batch: `take_along_axis` would transpose all of it first, 14 times the work.
        rows = ops.expand_dims(ops.arange(batch, dtype=indices.dtype) * length, -1) + indices
        return ops.take(ops.reshape(inputs, (-1, channels)), rows, axis=0)

    def draw(self, batch, length, count):
        """Positions `(batch, count)` among `length`, for every image a uniform subset without replacement."""
        noise = keras.random.uniform((batch, length), dtype="float32", seed=self.seed_generator)
        # Those of the largest of independent uniforms are such a subset.
        return ops.top_k(noise, count, sorted=False)[1]

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "count": self.count, "seed": self.seed}
