"""The precision of frozen backbones and of training steps: bfloat16 where a processor is faster in it, as measured."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_fvvae.backbones.table import BACKBONES
from keras_fvvae.errors import KerasFVVAEError, RecipeError
from keras_fvvae.recipes import Recipe
from keras_fvvae.utils.cache import cache_folder
from keras_fvvae.utils.cores import processor_lines
from keras_fvvae.utils.files import write_json

PRECISIONS = ("float32", "bfloat16")
MEASURED = "precision.json"
# Passes of which the fastest counts, and images of each.
PASSES, IMAGES = 3, 8
# Of float32's time: activations that differ by 0.7 % must be worth it.
WORTH = 0.9


@contextlib.contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """What is built meanwhile computes in bfloat16, with float32 weights, if that is asked for; else as Keras is set.

    Args:
        precision: a recipe's.
    """
    before = keras.config.dtype_policy()
    if precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def require_precision(recipe: Recipe) -> None:
    """Raises `RecipeError` where a recipe asks for another precision than float32 of what must or can not have one."""
    if recipe.precision == "float32":
        return
    if recipe.trainable_from is not None or recipe.fine_tune_steps:
        raise RecipeError(
            f"`precision` {recipe.precision!r} is for frozen backbones: leave it out, or `trainable_from` and "
            f"`fine_tune_steps`."
        )
    if recipe.backbone not in BACKBONES:
        raise RecipeError(
            f"`precision` {recipe.precision!r} is for networks of the table. {recipe.backbone} computes as it was "
            f"saved: leave `precision` out."
        )


def with_known_precision(recipe: Recipe, build: Callable[[Recipe], keras.Model]) -> Recipe:
    """The recipe; where its `precision` is `"auto"` with the one in which its backbone is faster on this machine.

    Measured once for a machine, a version of TensorFlow, a network and an input, and kept in `precision.json` of
    `keras_fvvae.utils.cache.cache_folder()`: a training that is repeated goes on in the precision it began with.

    Args:
        recipe: a `Recipe`.
        build: function from a `Recipe` to its backbone.

    Raises:
        RecipeError: see `require_precision`.
    """
    require_precision(recipe)
    if recipe.precision != "auto":
        return recipe
    path, key = _record(), _key(recipe)
    known = _read(path)
    if known.get(key) not in PRECISIONS:
        seconds = {one: _seconds(build(recipe.replace(precision=one)), recipe) for one in PRECISIONS}
        known = {**_read(path), key: "bfloat16" if seconds["bfloat16"] < WORTH * seconds["float32"] else "float32"}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, known, indent=1)
    return recipe.replace(precision=known[key])


def _record() -> Path | None:
    try:
        return cache_folder() / MEASURED
    except KerasFVVAEError:  # no home: measured each time
        return None


def _read(path):
    """What was measured; nothing where the file is not there or damaged, as it can be measured again."""
    try:
        content = json.loads(path.read_bytes())
    except (AttributeError, OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _key(recipe):
    devices = [tf.config.experimental.get_device_details(one) for one in tf.config.list_physical_devices("GPU")]
    what = [
        _processor(), sorted(map(str, devices)), tf.__version__, recipe.backbone, recipe.backbone_options, recipe.tap,
        recipe.branches, recipe.input_size, recipe.modality,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _processor():
    """What tells processors apart; what Python knows of them is "x86_64"."""
    lines = processor_lines()
    if not lines:
        return platform.processor() or platform.machine()
    return sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})


def _seconds(backbone, recipe):
    """Of the fastest pass of a batch, after one that compiles."""
    images = np.zeros((IMAGES, *recipe.input_size, backbone.input.shape[-1]), "float32")
    times = []
    for _ in range(PASSES + 1):
        start = time.perf_counter()
        backbone.predict_on_batch(images)
        times.append(time.perf_counter() - start)
    return min(times[1:])
