"""A training step of the FV-VAE from cached activations against the time of its matrix products alone."""

import tempfile
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_fvvae.benchmarks.harness.images import as_collection
from keras_fvvae.benchmarks.harness.machine import multiplies_in_bfloat16
from keras_fvvae.benchmarks.harness.rounds import time_rounds, time_rows
from keras_fvvae.builders.trainable import build_fvvae
from keras_fvvae.recipes import Recipe, load_recipe
from keras_fvvae.training.fit import position_stream
from keras_fvvae.training.inputs.activations import ActivationInputs
from keras_fvvae.training.inputs.sampled import trained_on

STEP = "training step, from the store on"
IN_BFLOAT16 = "the same, products in bfloat16"
PRODUCTS = "its matrix products alone"
# The step is to run at 60 % of the products' rate at least, with its own in bfloat16 at 75 % of that in float32.
TARGET = {STEP: 1 / 0.6, IN_BFLOAT16: 1 / 0.75}
# A turn's steps, of which as many batches are read ahead at its end as at its beginning; and the batches in the store.
STEPS = 10
BATCHES = 4


def measure(rounds: int, recipes: Sequence[dict]) -> list[dict]:
    """Rows for every one of `recipes`: dictionaries of `recipe`, `map` `(H, W, C)`, `classes` and other settings.

    Besides the step, parts of it by themselves: they say where the rest of the time goes.
    """
    rows = []
    for settings in recipes:
        settings = dict(settings)
        shape, classes = tuple(settings.pop("map")), settings.pop("classes")
        recipe = load_recipe(settings.pop("recipe"), **settings)
        case = f"{recipe.name}, {recipe.batch_size} maps of {'x'.join(map(str, shape))}"
        with tempfile.TemporaryDirectory() as folder:
            jobs = _jobs(recipe, stored_maps(recipe, shape, classes, folder), classes)
            timings = time_rounds({name: _repeated(job) for name, job in jobs.items()}, rounds)
        rows += time_rows(timings, PRODUCTS, "ms a step", STEPS, case, TARGET)
    return rows


def stored_maps(recipe: Recipe, shape: tuple[int, ...], classes: int, folder: str) -> ActivationInputs:
    """`ActivationInputs` of random maps, `BATCHES` of the recipe's batches."""
    maps = keras.Input(shape)
    rng = np.random.default_rng(0)
    collection = as_collection([f"{number}.jpg" for number in range(BATCHES * recipe.batch_size)])
    collection.labels = rng.integers(0, classes, len(collection))
    inputs = ActivationInputs(collection, recipe, keras.Model(maps, maps), folder)
    for key in inputs.keys:
        inputs.store.add(key, np.maximum(rng.normal(size=(1, *shape)), 0))
    inputs.store.flush()
    return inputs


def _repeated(job):
    """A function that runs the steps of a turn."""

    def turn():
        for _ in range(STEPS):
            job()

    return turn


def _jobs(recipe, inputs, classes):
    """Dictionary from a name to a function that makes one step."""
    model, batches = trained_on(inputs, build_fvvae(recipe, None, classes, activations_shape=inputs.shape), recipe)

    def reader():
        stream = position_stream(range(len(inputs.collection)), recipe.seed)
        return iter(batches.training_batches(stream, recipe.batch_size))

    def step_of(model):
        trained = reader()

        def step():
            logs = model.train_on_batch(*next(trained), return_dict=True)
            return {name: float(value) for name, value in logs.items()}  # as `keras_fvvae.training.fit` waits for them

        step()  # builds the optimizer
        return step

    step, read = step_of(model), reader()
    maps, labels = next(read)
    maps = tf.cast(maps, tf.float32)
    in_model = tf.function(lambda: model.descriptors(maps, training=True), autograph=False)
    descriptors = in_model()
    in_bfloat16 = {}
    if multiplies_in_bfloat16():
        half = build_fvvae(recipe.replace(precision="bfloat16"), None, classes, activations_shape=inputs.shape)
        in_bfloat16[IN_BFLOAT16] = step_of(trained_on(inputs, half, recipe)[0])
    jobs = {
        PRODUCTS: _products(model.fvvae, descriptors.shape[0] * descriptors.shape[1]),
        STEP: step,
        **in_bfloat16,
        "part: reading": lambda: next(read),
        "part: random numbers": _random_numbers(model.fvvae, descriptors),
        "part: losses and gradients from descriptors": _gradients(model, descriptors, labels),
        "part: optimizer's update": _update(model),
    }
    if batches is inputs:
        jobs["part: normalised descriptors of the maps"] = lambda: in_model().numpy()
    return jobs


def _products(layer, rows):
    """The products of a step's forward and backward pass, of the same sizes, without what lies between them."""
    dense = [*layer.coder_layers, *([layer.classifier] if layer.classifier is not None else [])]
    operands = [
        tuple(tf.random.normal(shape) for shape in ((rows, d.kernel.shape[0]), d.kernel.shape, (rows, d.units)))
        for d in dense
    ]

    @tf.function(autograph=False)
    def products():
        results = []
        for number, (inputs, kernel, gradient) in enumerate(operands):
            results.append(inputs @ kernel)
            results.append(tf.matmul(inputs, gradient, transpose_a=True))
            if number:  # nothing below the descriptors is trained
                results.append(tf.matmul(gradient, kernel, transpose_b=True))
        return [result[0, 0] for result in results]  # or the graph would leave them out

    return lambda: [value.numpy() for value in products()]


def _random_numbers(layer, descriptors):
    latent = (*descriptors.shape[:2], layer.latent_dim)

    @tf.function(autograph=False)
    def draw():
        dropped = keras.random.dropout(descriptors, layer.dropout, seed=layer.seed_generator)
        return tf.reduce_max(dropped), tf.reduce_max(keras.random.normal(latent, seed=layer.seed_generator))

    return lambda: [value.numpy() for value in draw()]


def _gradients(model, descriptors, labels):
    variables = [variable.value for variable in model.trainable_variables]
    batch, count = descriptors.shape[:2]

    @tf.function(autograph=False)
    def gradients():
        with tf.GradientTape() as tape:
            outputs = {**model.fvvae(descriptors, training=True), "num_descriptors": tf.fill([batch], count)}
            loss = model.compute_loss(y=labels, y_pred=outputs)
        return [tf.reduce_max(gradient) for gradient in tape.gradient(loss, variables)]

    return lambda: [value.numpy() for value in gradients()]


def _update(model):
    gradients = [tf.zeros(variable.shape) for variable in model.trainable_variables]
    update = tf.function(lambda: model.optimizer.apply(gradients, model.trainable_variables), autograph=False)

    def run():
        update()
        return model.trainable_variables[0].numpy()[..., 0]  # waits

    return run
