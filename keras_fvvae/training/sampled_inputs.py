"""Descriptors sampled from cached activations as they are read, so that a step touches no others."""

import math
from itertools import count, islice

import keras
import numpy as np
import tensorflow as tf

from keras_fvvae import layers
from keras_fvvae.builders.trainable import compile_fvvae
from keras_fvvae.data.pipeline import without_autotuning
from keras_fvvae.models import FVVAE
from keras_fvvae.ops.normalization import ZERO_SQUARED_NORM
from keras_fvvae.training.fit import step_seed
from keras_fvvae.training.inputs import ActivationInputs


def trained_on(inputs, model, recipe):
    """What `keras_fvvae.training.fit.fit` trains, and on what, with the same result as the model on the inputs.

    Args:
        inputs: `PixelInputs` or `ActivationInputs`.
        model: an `FVVAE` from `keras_fvvae.builders.trainable.build_fvvae`.
        recipe: its `Recipe`.

    Returns:
        Tuple of both as they are, unless the model samples descriptors of cached maps: then a model of the same
        FV-VAE that takes descriptors, and `SampledInputs`.
    """
    if not _samples_dense_maps(inputs, model.descriptors):
        return model, inputs
    sampled = SampledInputs(inputs, model.descriptors)
    # The last of its layers keeps all that are no more than it would draw.
    short = FVVAE(model.descriptors.layers[-1], model.fvvae, loss_weights=model.loss_weights)
    short.build((None, *sampled.shape))
    return compile_fvvae(short, recipe), sampled


def _samples_dense_maps(inputs, descriptors):
    chain = [type(layer) for layer in descriptors.layers]
    if chain != [layers.DescriptorNormalization, keras.layers.Reshape, layers.DescriptorSampling]:
        return False
    if not isinstance(inputs, ActivationInputs) or inputs.recipe.views_per_step != 1:
        return False
    return descriptors.layers[-1].num_descriptors < math.prod(inputs.shape[:2])


class SampledInputs:
    """The training batches of `ActivationInputs`, of which `descriptors` would keep few, as these few.

    A model that gets whole maps converts, squares, sums and scales all of them: 784 descriptors of VGG19's conv5_4 at
    448x448 for the 50 that it keeps. Here they are drawn first, by the same layer with the same seed, and nothing else
    is read, but once for the norm of the whole map, which is remembered.

    Args:
        inputs: `ActivationInputs`.
        descriptors: the model whose layers they are for: normalisation, reshaping, sampling.
    """

    def __init__(self, inputs, descriptors):
        self.inputs = inputs
        self.collection = inputs.collection
        self.normalization, _, sampling = descriptors.layers
        # A copy, seeded as the model's first generator: batches are made in another thread than the one that trains.
        self.sampling = layers.DescriptorSampling.from_config(sampling.get_config())
        self.shape = (sampling.num_descriptors, inputs.shape[-1])
        self._norms = {}

    def training_batches(self, stream, batch_size, start=0):
        """`tf.data.Dataset` of `(descriptors, labels)`: float32 `(batch_size, count, C)`, normalised.

        Args:
            stream: an endless iterator of positions in the collection.
            batch_size: images per batch.
            start: how many positions of the whole training were drawn before.
        """
        length = math.prod(self.inputs.shape[:2])

        @tf.function(autograph=False)
        def draw(seed):
            self.sampling.seed_generator.state.assign(seed)
            return self.sampling.draw(batch_size, length, self.sampling.num_descriptors)

        def generate():
            for step in count(start // batch_size):
                indices = list(islice(stream, batch_size))
                drawn = draw(step_seed(self.inputs.recipe.seed, 0, step)).numpy()
                rows, norms = [], []
                for i, index in enumerate(indices):
                    maps, view = self.inputs.random_view(index, step * batch_size + i)
                    rows.append(maps[view].reshape(length, -1)[drawn[i]])
                    norms.append(self._norm(index, maps, view))
                yield np.stack(rows), np.array(norms, "float32"), self.collection.labels[indices]

        signature = (
            tf.TensorSpec((batch_size, *self.shape), self.inputs.store.dtype),
            tf.TensorSpec((batch_size,), tf.float32),
            tf.TensorSpec((batch_size,), tf.int64),
        )
        dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
        dataset = dataset.map(lambda rows, norms, labels: (self._normalized(rows, norms), labels))
        return without_autotuning(dataset.prefetch(2))

    def _normalized(self, rows, norms):
        """What `DescriptorNormalization` makes of rows `(batch, count, C)` of maps with these norms."""
        rows = tf.cast(rows, tf.float32)
        if self.normalization.scheme != "map":
            return self.normalization(rows)
        scale = self.normalization.scale or math.sqrt(math.prod(self.inputs.shape))
        factors = tf.where(tf.square(norms) < ZERO_SQUARED_NORM, 0.0, scale / norms)
        return rows * factors[:, tf.newaxis, tf.newaxis]

    def _norm(self, index, maps, view):
        if self.normalization.scheme != "map":
            return 1.0  # not used: no reason to read the whole map
        key = index, int(view)
        if key not in self._norms:
            self._norms[key] = float(tf.norm(tf.cast(maps[view], tf.float32)))  # NumPy converts ten times slower
        return self._norms[key]
