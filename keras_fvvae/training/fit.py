"""Training steps that can be stopped after any one and continued with the same result."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Iterator
from typing import Any, Protocol

import keras
import numpy as np

from keras_fvvae.data import Collection
from keras_fvvae.data.collection import Positions
from keras_fvvae.errors import RunError
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs import files
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.checkpoints import History, TrainingCheckpoints
from keras_fvvae.training.processes.interface import Processes
from keras_fvvae.training.processes.one_process import OneProcess
from keras_fvvae.training.selection.best_step import Selection
from keras_fvvae.utils.progress import progress_bar

# Between two checkpoints: what a kill costs at most.
CHECKPOINT_SECONDS = 10.0


class TrainingInputs(Protocol):
    """What a training reads: `ActivationInputs`, `PixelInputs` or `SampledInputs`."""

    collection: Collection

    def training_batches(self, stream: Iterator[int], batch_size: int, start: int = 0) -> Any:
        """Endless batches of inputs and labels for an endless iterator of positions in the collection."""


def fit(
    model: keras.Model,
    inputs: TrainingInputs,
    train_indices: Positions,
    recipe: Recipe,
    run: RunFolder,
    *,
    verbose: int = 1,
    checkpoints: str = files.CHECKPOINTS,
    title: str = "Training",
    workers: Processes | None = None,
    selection: Selection | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> History:
    """Trains a compiled model for the recipe's steps, continuing from the run's newest checkpoint.

    Every step is a function of the recipe's seed and its own number: which images it sees (`position_stream`) and
    what dropout, sampling and descriptor sampling draw (`_seed_step`). So a training that was interrupted, or killed,
    and continued ends with the same weights as one that was not.

    Several workers draw the same stream, and each takes its rows of every batch: the chief's checkpoints and weights
    go to all of them, and a lost worker ends the others, to be continued by the same call on all. The number of devices
    changes what is drawn at random inside the model (each replica draws for itself), and nothing else.

    Args:
        model: a compiled `FVVAE`, or any model that reports a loss.
        inputs: `PixelInputs` or `ActivationInputs`.
        train_indices: positions of the training images in the inputs' collection.
        recipe: a `Recipe`.
        run: a `RunFolder`.
        verbose: 1 for a progress bar.
        checkpoints: name of their folder in the run.
        title: of the progress bar.
        workers: who trains: `OneProcess` (default) or `keras_fvvae.training.processes.workers.Workers`.
        selection: what scores the training on a validation part: it ends early where the score has not become better
            for long, and the model is left with the weights of the best step. `None` (default): those of the last.
        checkpoint_seconds: a checkpoint is written when so many have passed since the last; 0: after every step.

    Returns:
        Dictionary from the name of each reported loss to the list of its values, one per step; on workers other than
        the chief, of the steps since they were started.

    Raises:
        RunError: if the loss becomes NaN or infinite, a worker is lost, or workers have other data; the checkpoints
            before stay.
        KeyboardInterrupt: passed on after a checkpoint is written.
    """
    workers = workers or OneProcess()
    items = [[inputs.collection.names[i], int(inputs.collection.labels[i])] for i in train_indices]
    workers.require_same({"settings": recipe.to_yaml(), "training items": json.dumps(items)})
    trained = workers.replicate(model, recipe.batch_size)
    states = TrainingCheckpoints(model, trained, run, checkpoints, enabled=workers.is_chief, seconds=checkpoint_seconds)
    if selection is not None and workers.is_chief and not selection.begin(run, checkpoints):
        states.discard()
    history = states.restore()
    trained.synchronize()
    step = _steps_of(trained.model)
    if selection is not None:
        selection.since(step)
    start = step * recipe.batch_size
    stream = position_stream(train_indices, recipe.seed, start)
    batches = iter(inputs.training_batches(stream, recipe.batch_size, start))

    def is_finished(step):
        if selection is None or not selection.is_due(step):
            return step >= recipe.steps
        if workers.is_chief:
            trained.write_back()
            selection.update(step, model)
        # The chief, who scores, decides for all.
        stops = workers.share(np.array([selection.stops()], "int64"))
        return step >= recipe.steps or bool(stops.item())

    try:
        with (
            progress_bar(title, recipe.steps, step, enabled=bool(verbose)) as progress,
            _interrupt_between_steps() as raise_if_interrupted,
        ):
            while not is_finished(step):
                images, labels = next(batches)
                _seed_step(trained, recipe.seed, step)
                logs = trained.step(images, labels)
                step = _steps_of(trained.model)
                logs = {name: float(value) for name, value in logs.items()}
                if not np.isfinite(logs["loss"]):
                    raise RunError(
                        f"The loss became {logs['loss']} at step {step}: {_terms(logs)}. Lower `learning_rate` (now "
                        f"{recipe.learning_rate}), or check the backbone's weights and the images."
                    )
                progress(step, _terms({name: logs[name] for name in ("loss", "accuracy") if name in logs}))
                for name, value in logs.items():
                    history.setdefault(name, []).append(value)
                states.save_if_due(history)
                raise_if_interrupted()
    except RunError:
        states.enabled = False  # a step that failed may have changed a part of the weights
        raise
    finally:
        # The traceback of a Ctrl-C can live until the interpreter ends: reading that goes on then waits for ever.
        del batches
        states.save(history)
    trained.write_back()
    if selection is not None and workers.is_chief:
        selection.take_best(model)
    return history


def position_stream(indices: Positions, seed: int, start: int = 0) -> Iterator[int]:
    """Endless shuffled passes over `indices`, from any position of the stream on.

    Pass `p` is a permutation drawn from `(seed, p)` alone, so that the stream can be entered anywhere.

    Example:
        >>> from itertools import islice
        >>> whole = list(islice(position_stream([3, 5, 8], seed=1), 9))
        >>> whole[4:] == list(islice(position_stream([3, 5, 8], seed=1, start=4), 5))
        True
    """
    positions = np.asarray(indices)
    number, offset = divmod(start, len(positions))
    while True:
        permuted = positions[np.random.default_rng([seed, number]).permutation(len(positions))]
        yield from permuted[offset:]
        number, offset = number + 1, 0


@contextlib.contextmanager
def _interrupt_between_steps():
    """Holds Ctrl-C (and SIGTERM) back until the running step and its entry in the history are complete.

    Yields a function that raises the held `KeyboardInterrupt`. A second Ctrl-C is not held.
    """
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield lambda: None
        return
    received = []

    def hold(number, frame):
        if received:
            raise KeyboardInterrupt
        received.append(number)

    def raise_if_interrupted():
        if received:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield raise_if_interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _seed_step(trained, seed, step):
    """Seeds what is drawn in a step; every replica draws for itself, or its items would share their noise."""
    for number, state in enumerate(seeded_states(trained.model)):

        def words(replica, number=number):
            return step_seed(seed, number, step, *([replica] if replica else []))

        trained.assign_per_replica(state, words)


def seeded_states(model: keras.Model) -> list[keras.Variable]:
    """The states of a model's generators of random numbers, in the order in which a step seeds them."""
    return [v for v in model.non_trainable_variables if v.path.endswith("seed_generator_state")]


def step_seed(*numbers: int) -> np.ndarray:
    """State of a `keras.random.SeedGenerator`, from the recipe's seed and what tells one draw from others."""
    return np.random.SeedSequence(numbers).generate_state(2).astype("uint32")


def _steps_of(model):
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


def _terms(logs):
    return ", ".join(f"{name} {value:.4g}" for name, value in logs.items())
