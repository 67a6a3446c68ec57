"""Descriptors sampled from cached activations as they are read, so that a step touches no others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count, islice

import numpy as np
import tensorflow as tf

from keras_fvvae.builders.descriptors import DescriptorPlan
from keras_fvvae.builders.representations import descriptor_plan
from keras_fvvae.builders.trainable import compile_fvvae
from keras_fvvae.data.pipeline import as_written, without_autotuning
from keras_fvvae.models import FVVAE
from keras_fvvae.ops.normalization import ZERO_SQUARED_NORM
from keras_fvvae.recipes import Recipe
from keras_fvvae.training.fit import seeded_states, step_seed
from keras_fvvae.training.inputs.activations import ActivationInputs
from keras_fvvae.training.inputs.pixels import PixelInputs


def trained_on(
    inputs: PixelInputs | ActivationInputs, model: FVVAE, recipe: Recipe
) -> tuple[FVVAE, PixelInputs | ActivationInputs | SampledInputs]:
    """What `keras_fvvae.training.fit.fit` trains, and on what, with the same result as the model on the inputs.

    Args:
        inputs: `PixelInputs` or `ActivationInputs`.
        model: an `FVVAE` from `keras_fvvae.builders.trainable.build_fvvae`.
        recipe: its `Recipe`.

    Returns:
        Tuple of both as they are, unless the recipe's plan samples descriptors of cached maps: then a model of the same
        FV-VAE that takes descriptors, and `SampledInputs`.
    """
    plan = descriptor_plan(recipe)
    if not (isinstance(inputs, ActivationInputs) and recipe.views_per_step == 1 and plan.samples_positions):
        return model, inputs
    if plan.count >= math.prod(inputs.shape[:2]):
        return model, inputs
    # Of so few descriptors the layer keeps all, but a training step seeds it as the whole model's: `number` is that of
    # its generator, by which what is drawn here is drawn there.
    sampling = plan.sampling()
    short = FVVAE(sampling, model.fvvae, loss_weights=model.loss_weights, loss_reduction=model.loss_reduction)
    short.build((None, plan.count, inputs.shape[-1]))
    number = next(n for n, state in enumerate(seeded_states(short)) if state is sampling.seed_generator.state)
    return compile_fvvae(short, recipe), SampledInputs(inputs, plan, number)


class SampledInputs:
    """The training batches of `ActivationInputs`, of which the model would keep few descriptors, as these few.

    A model that gets whole maps converts, squares, sums and scales all of them: 784 descriptors of VGG19's conv5_4 at
    448x448 for the 50 that it keeps. Here they are drawn first, by the same layer with the same seed, and nothing else
    is read, but once for the norm of the whole map, which is remembered.

    Args:
        inputs: `ActivationInputs`.
        plan: the `DescriptorPlan` of the model, which samples positions of the map.
        number: of the sampling among what a training step seeds, see `keras_fvvae.training.fit.seeded_states`.
    """

    def __init__(self, inputs: ActivationInputs, plan: DescriptorPlan, number: int):
        self.inputs = inputs
        self.plan = plan
        self.number = number
        self.collection = inputs.collection
        self.normalization = plan.normalization()
        # Not the model's: batches are made in another thread than the one that trains.
        self.sampling = plan.sampling()
        self.shape = (plan.count, inputs.shape[-1])
        self._norms: dict[tuple[int, int], float] = {}

    def training_batches(self, stream: Iterator[int], batch_size: int, start: int = 0) -> tf.data.Dataset:
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
            return self.sampling.draw(batch_size, length, self.plan.count)

        def generate():
            for step in count(start // batch_size):
                indices = list(islice(stream, batch_size))
                drawn = draw(step_seed(self.inputs.recipe.seed, self.number, step)).numpy()
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
        dataset = dataset.map(as_written(lambda rows, norms, labels: (self._normalized(rows, norms), labels)))
        return without_autotuning(dataset.prefetch(2))

    def _normalized(self, rows, norms):
        """What `DescriptorNormalization` makes of rows `(batch, count, C)` of maps with these norms."""
        rows = tf.cast(rows, tf.float32)
        if self.plan.scheme != "map":
            return self.normalization(rows)
        scale = self.plan.scale or math.sqrt(math.prod(self.inputs.shape))
        factors = tf.where(tf.square(norms) < ZERO_SQUARED_NORM, 0.0, scale / norms)
        return rows * factors[:, tf.newaxis, tf.newaxis]

    def _norm(self, index, maps, view):
        if self.plan.scheme != "map":
            return 1.0  # not used: no reason to read the whole map
        key = index, int(view)
        if key not in self._norms:
            self._norms[key] = float(tf.norm(tf.cast(maps[view], tf.float32)))  # NumPy converts ten times slower
        return self._norms[key]
