"""From a recipe and images or videos to a run folder: train, encode, classify, evaluate."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import keras
import numpy as np

from keras_fvvae import __version__
from keras_fvvae.backbones.own_names import is_own, own_identity
from keras_fvvae.backbones.taps import TRUNK
from keras_fvvae.builders.precision import with_known_precision
from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.data import Collection
from keras_fvvae.errors import RunError
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs import lock
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.initial import InitialRun
from keras_fvvae.training.branches import JoinedTraining, require_joinable
from keras_fvvae.training.fit import CHECKPOINT_SECONDS
from keras_fvvae.training.processes.interface import Processes
from keras_fvvae.training.processes.one_process import OneProcess
from keras_fvvae.training.stages import Training, TrainingSettings
from keras_fvvae.utils.cache import activations_folder
from keras_fvvae.utils.files import reason, sha256
from keras_fvvae.utils.model_digests import weights_digest

DEFAULT_MAX_UNREADABLE = 0.1


def train(
    recipe: Recipe,
    collection: Collection,
    out: str | os.PathLike,
    *,
    backbone_weights: str | os.PathLike | None = "imagenet",
    backbone: keras.Model | None = None,
    cache: str | os.PathLike | None = None,
    overwrite: bool = False,
    max_unreadable: float = DEFAULT_MAX_UNREADABLE,
    init: str | os.PathLike | None = None,
    verbose: int = 1,
    source: str | None = None,
    workers: Processes | None = None,
    trained: str | os.PathLike | None = None,
    tuned: str | os.PathLike | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> RunFolder | None:
    """Trains a recipe on a collection of labelled images or videos.

    Stages: fine-tuning of the backbone where the recipe asks for it; activations of a frozen backbone (cached on disk,
    shared by all runs with the same settings); FV-VAE, or what the recipe's `representation` has to learn; vectors,
    with Fisher statistics from the training part;
    one-vs-all SVM; accuracies on the test part beside those of average pooling (AVE) on the same activations. Stopped
    anywhere, the same call continues. Without any labels there is no SVM: the run holds an encoder, from which another
    training can start (`init`).

    Args:
        recipe: a `Recipe`.
        collection: a `Collection`.
        out: the run folder.
        backbone_weights: `"imagenet"` (for a backbone of one's own: its own weights), a path, or `None` for random
            weights.
        backbone: a model to use instead of building one. One of `build_backbone` is taken as it is, and stays frozen;
            any other stands for the recipe's `backbone`.
        cache: folder of the cached activations. Default: `utils.cache.activations_folder()`.
        overwrite: whether to replace another run in that folder.
        max_unreadable: largest share of items that may be unreadable before the training is refused.
        init: path of a finished run of the same architecture whose backbone and FV-VAE this training starts from, for
            example one without labels on other data. `backbone_weights` is not used then.
        verbose: 1 for progress bars.
        source: text that tells a given backbone's weights from others, see `weights_source`.
        workers: `Workers` of `keras_fvvae.training.processes.workers`, where several devices or machines train
            together: each makes this call. They share out the activations (with a common `cache`) and every training
            step; the chief alone writes `out`, encodes and classifies, and the others wait for it. Default: one
            process.
        trained: path of a finished run whose FV-VAE, trained by the same recipe on the same frozen backbone and data,
            is taken as it is: only what comes afterwards is computed. Its seconds are added to this one's.
        tuned: path of a finished run whose backbone, fine-tuned by the same recipe on the same data, is taken instead
            of being fine-tuned again. The result is the same to the bit.
        checkpoint_seconds: training steps write a checkpoint when so many have passed since the last: what a kill
            costs at most. 0: after every step.

    Returns:
        The finished `RunFolder`; on workers other than the chief `None`.

    Raises:
        RunError: if the folder cannot be used, another training is writing to it, or the training diverges.
        DataError: if too many items cannot be read, or too few classes remain.
        WeightsError, RecipeError: for a backbone that cannot be built.
    """
    if backbone is not None and TRUNK not in (layer.name for layer in backbone.layers):
        recipe, backbone = recipe.replace(backbone=backbone), None
    workers = workers or OneProcess()
    if backbone is None:
        recipe = with_known_precision(recipe, lambda one: build_recipe_backbone(one, None))
    if recipe.branches:
        require_joinable(workers, backbone=backbone, init=init, trained=trained, tuned=tuned)
    workers.require_divisible(recipe.batch_size)
    if recipe.fine_tune_steps:
        workers.require_divisible(recipe.fine_tune_batch_size)
    # Loaded before anything is drawn: a model draws weights even where it gets others.
    start = None if init is None else InitialRun(init)
    tuned_by = None if tuned is None else InitialRun(tuned)
    source = weights_source(recipe.backbone, backbone_weights, backbone, start) if source is None else source
    with contextlib.ExitStack() as stack:
        if workers.is_chief:
            stack.enter_context(lock.held(Path(out)))
            run = RunFolder.create(out, recipe, collection, source, overwrite)
        else:
            run = RunFolder(stack.enter_context(tempfile.TemporaryDirectory()))
            verbose = 0
        workers.require_same({"version": __version__, "settings": recipe.to_yaml(), "backbone weights": source})
        if workers.share(np.array([run.is_finished()], "int64")).item():
            return RunFolder.open(out) if workers.is_chief else None
        settings = TrainingSettings(
            backbone_weights=backbone_weights,
            backbone=backbone,
            cache=activations_folder(cache),
            max_unreadable=max_unreadable,
            start=start,
            tuned=tuned_by,
            trained=trained,
            verbose=verbose,
            checkpoint_seconds=checkpoint_seconds,
        )
        try:
            kind = JoinedTraining if recipe.branches else Training
            kind(recipe, collection, run, workers, settings).complete()
        except OSError as error:
            raise RunError(
                f"Writing to {run.path} failed: {reason(error)}. What was computed is kept: repeat the call to "
                f"continue."
            ) from error
        workers.barrier()
    return run if workers.is_chief else None


def weights_source(
    name: str,
    backbone_weights: str | os.PathLike | None,
    backbone: keras.Model | None = None,
    start: InitialRun | None = None,
) -> str:
    """Text that changes with the weights that a training starts from, and with a network that is not of the table.

    Args:
        name: the recipe's backbone.
        backbone_weights, backbone: as for `train`.
        start: run that the training starts from.
    """
    if backbone is not None:
        return f"given, sha256 {weights_digest(backbone)}"
    if start is not None:
        return f"run {sha256(start.run.model_path)}"
    path = Path(backbone_weights or "none")
    weights = f"sha256 {sha256(path)}" if path.is_file() else str(path)
    if is_own(name):
        return own_identity(name) + (f", weights {weights}" if path.is_file() else "")
    return weights
