"""What choosing a training's step costs: a score of the validation part against the steps that it may cost."""

import tempfile
from collections.abc import Sequence

import numpy as np

from keras_fvvae.benchmarks.harness.rounds import time_rounds, time_rows
from keras_fvvae.benchmarks.suites.training import stored_maps
from keras_fvvae.builders.encoders import build_encoder
from keras_fvvae.builders.trainable import build_fvvae
from keras_fvvae.recipes import load_recipe
from keras_fvvae.training.fit import position_stream
from keras_fvvae.training.inputs.sampled import trained_on
from keras_fvvae.training.selection.best_step import SHARE, scored_items, scored_steps
from keras_fvvae.training.selection.validation_part import ValidationPart

SCORE = "a score of the validation part"


def measure(rounds: int, recipes: Sequence[dict]) -> list[dict]:
    """Rows of one score, and of the training steps whose time it may take, at a recipe's number of steps.

    Args:
        rounds: how often each is timed.
        recipes: dictionaries of `recipe`, the name of an entry with a validation part; `map` `(H, W, C)` of its frozen
            backbone; `classes`; and other keys of the recipe.
    """
    return [row for settings in recipes for row in _rows(rounds, **settings)]


def _rows(rounds, recipe, map, classes, **settings):
    made = load_recipe(recipe, **settings)
    scores = len(scored_steps(made.steps))
    steps = max(1, round(made.steps * SHARE / scores))
    allowed = f"{steps} of {made.steps} training steps"
    with tempfile.TemporaryDirectory() as folder:
        inputs = stored_maps(made, tuple(map), classes, folder)
        fvvae = build_fvvae(made, None, classes, activations_shape=inputs.shape)
        model, batches = trained_on(inputs, fvvae, made)
        positions = np.arange(len(inputs.collection))
        learnt, held_out = np.split(positions, [round(len(positions) * (1 - made.validation))])
        items = scored_items(made.steps, made.batch_size, scores)
        encoder = build_encoder(made, None, fvvae, inputs.shape)
        part = ValidationPart(encoder, inputs, learnt, held_out, made.svm_c, max_items=items)
        drawn = iter(batches.training_batches(position_stream(learnt, made.seed), made.batch_size))

        def train():
            for _ in range(steps):
                logs = model.train_on_batch(*next(drawn), return_dict=True)
            return {name: float(value) for name, value in logs.items()}  # as `fit` waits for them

        timings = time_rounds({allowed: train, SCORE: part.margins}, rounds)
    case = f"{made.name}, {len(learnt)} and {len(held_out)} maps of {'x'.join(str(side) for side in map)}"
    return time_rows(timings, allowed, "ms", case=case, at_most={SCORE: 1.0})
