"""One process of a training over several; started by `test_workers.py`, as a strategy begins before all else."""

import json
import os
import signal
import sys

import keras
import numpy as np
import tensorflow as tf
from keras_fvvae.tools import main as command_line

from keras_fvvae.builders.encoders import build_encoder
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone, build_softmax
from keras_fvvae.data import load_digits
from keras_fvvae.errors import KerasFVVAEError
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training import fine_tune as task_fine_tune
from keras_fvvae.training import fit as task_fit
from keras_fvvae.training.processes.one_process import OneProcess
from keras_fvvae.training.processes.workers import Workers, open_workers
from keras_fvvae.training.selection.best_step import Selection, scored_steps

STEPS, BATCH = 6, 6
SHAPE = (4, 4, 3)


def tiny_recipe(**changes):
    settings = {
        "name": "tiny", "descriptors": "dense", "latent_dim": 2, "dropout": 0.0, "batch_size": BATCH, "steps": STEPS,
        "lambda3": 20.0, "optimizer": "sgd", "learning_rate": 0.01, "seed": 3,
    }  # fmt: skip
    return Recipe(**{**settings, **changes})


class ArrayInputs:
    """Activation maps in memory; the labels of some are missing."""

    def __init__(self, count):
        digits = load_digits()
        self.collection = digits.subset(np.arange(count))
        rng = np.random.default_rng(0)
        self.maps = rng.normal(size=(count, *SHAPE)).astype("float32")
        self.labels = np.where(rng.random(count) < 0.4, -1, self.collection.labels % 3)
        self.stop = None

    def training_batches(self, stream, batch_size, start=0):
        step = start // batch_size
        while True:
            if step == self.stop:
                os.kill(os.getpid(), signal.SIGKILL)
            indices = [int(next(stream)) for _ in range(batch_size)]
            yield tf.constant(self.maps[indices]), tf.constant(self.labels[indices])
            step += 1


def fvvae(recipe, noisy):
    model = build_fvvae(recipe, None, 3, SHAPE)
    rng = np.random.default_rng(5)  # a seed with which units fire
    model.set_weights([rng.normal(scale=0.5, size=weight.shape) for weight in model.get_weights()])
    if not noisy:
        model.fvvae.z_log_variance.assign(np.full(recipe.latent_dim, -40.0))
    return model


def softmax(recipe):
    """With what must be the whole batch's: clipping by the norm, and weight decay for some of the variables."""
    stage = {"train": "all", "steps": STEPS, "learning_rate": 0.1, "optimizer": "sgd"}
    recipe = recipe.replace(
        representation="net_vlad",
        representation_options={"num_centroids": 2},
        stages=[{**stage, "clip_norm": 0.05, "weight_decay": 0.1}],
    )
    encoder = build_encoder(recipe, None, None, SHAPE)
    encoder.head.adapt([np.random.default_rng(1).normal(size=(5, 10, SHAPE[-1])).astype("float32")])
    return build_softmax(recipe, encoder, 3, SHAPE)


class Part:
    """A validation part that likes the second step best."""

    # Of eight items: half, all, none and none are right.
    margins_of_steps = ([0.5, -0.5] * 4, [0.5] * 8, [-0.5] * 8, [-0.5] * 8)

    def __init__(self):
        self.next = iter(self.margins_of_steps)

    def margins(self):
        return np.array(next(self.next))


def train(name, model, inputs, recipe, folder, workers, selection=None, checkpoint_seconds=0):
    run = RunFolder(folder / name)
    if workers is None or workers.is_chief:
        run.path.mkdir(exist_ok=True)
    indices = np.arange(len(inputs.collection))
    history = task_fit.fit(
        model,
        inputs,
        indices,
        recipe,
        run,
        verbose=0,
        workers=workers,
        selection=selection,
        checkpoint_seconds=checkpoint_seconds,
    )
    return {"history": history, "weights": [weight.tolist() for weight in model.get_weights()]}


def fine_tuning(folder, workers):
    """Of a backbone that every worker starts with other weights."""
    keras.utils.set_random_seed(workers.index if workers else 0)
    recipe = tiny_recipe(
        backbone="DigitsConvNet", backbone_options={"filters": 4}, input_size=[8, 8], random_shift=1,
        fine_tune_steps=STEPS, fine_tune_batch_size=BATCH, fine_tune_from="all",
    )  # fmt: skip
    backbone = build_recipe_backbone(recipe, None)
    run = RunFolder(folder / "fine_tuning")
    run.path.mkdir()
    items = load_digits().subset(np.arange(20))
    history = task_fine_tune.fine_tune(backbone, items, recipe, run, verbose=0, workers=workers, checkpoint_seconds=0)
    return {"history": history, "weights": [weight.tolist() for weight in backbone.get_weights()]}


def seeds(workers):
    """What the replicas of this process seed their first generator with at step 7."""
    recipe = tiny_recipe()
    model = (workers or OneProcess()).replicate(fvvae(recipe, True), BATCH)
    task_fit._seed_step(model, recipe.seed, 7)
    (state, *_) = [v for v in model.model.non_trainable_variables if v.path.endswith("seed_generator_state")]
    parts = workers.strategy.experimental_local_results(state.value) if workers else [state]
    return [part.numpy().tolist() for part in parts]


def compute(workers, folder, *, others=True, seed=3, keep=20, stop=None):
    """Trainings by name, each with its history and its weights, and what the replicas draw their noise from.

    Where numbers of devices are compared, dropout is off and the noise of the sampling negligible; in `noisy` neither
    is. `stop` kills this process with SIGKILL before that step of `noisy`; without `others` there is nothing else;
    `seed` and `keep` (items) make one process differ.
    """
    recipe, inputs, results = tiny_recipe(seed=seed), ArrayInputs(keep), {}
    if others:
        selection = Selection(Part(), due=scored_steps(STEPS, 1), patience=2)
        results["selected"] = train("selected", fvvae(recipe, False), inputs, recipe, folder, workers, selection)
        labelled = ArrayInputs(20)
        labelled.labels = labelled.collection.labels % 3
        results["softmax"] = train("softmax", softmax(recipe), labelled, recipe, folder, workers)
        results["fine_tuning"] = fine_tuning(folder, workers)
        results["seeds"] = seeds(workers)
    recipe = recipe.replace(dropout=0.5, sampled_descriptors=9)
    inputs.stop = stop
    results["noisy"] = train("noisy", fvvae(recipe, True), inputs, recipe, folder, workers)
    return results


def main(strategy, folder, options):
    """Prints JSON: what the process saw and computed. Option `devices`: so many logical CPUs; else as of `compute`."""
    options = dict(options)
    devices = [f"/cpu:{number}" for number in range(options.pop("devices", 0))]
    try:
        if devices:  # `open_workers` takes GPUs, or one CPU
            logical = [tf.config.LogicalDeviceConfiguration()] * len(devices)
            tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
            workers = Workers(tf.distribute.MirroredStrategy(devices))
        else:
            workers = open_workers(strategy)
        task_fine_tune.DROPOUT = 0.0
        results = compute(workers, folder, **options)
        print(json.dumps({"described": workers.describe(BATCH), **results}), flush=True)
    except KerasFVVAEError as error:
        sys.exit(f"Error: {error}")


def command(*words):
    """`keras-fvvae` with these words."""
    sys.argv = ["keras-fvvae", *words]
    command_line.main()
