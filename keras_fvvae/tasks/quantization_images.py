"""Pictures that a model is quantised with: of its training for the ranges, of its test for the accuracy."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np

from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data.collection import UNLABELLED, Collection
from keras_fvvae.data.views import Views, read_resized
from keras_fvvae.errors import DataError, RunError
from keras_fvvae.export.quantization import CALIBRATION_IMAGES, Quantization
from keras_fvvae.recipes import DATASETS
from keras_fvvae.runs.datasets import recipe_collection
from keras_fvvae.tasks.files import input_files
from keras_fvvae.utils.text import normal_name
from keras_fvvae.zoo.sources import TrainedFile

# Pictures that are compared at most: they are in memory at once, 240 MB of 448x448.
CHECKED_IMAGES = 400


def quantization_of(mode: str, model: TrainedFile, data: str | os.PathLike | None) -> Quantization:
    """What `--quantize` asks for, with the pictures that it needs.

    Of a run these are its own: `CALIBRATION_IMAGES` of its training items, and up to `CHECKED_IMAGES` of its test
    items. Of a pack or an entry half of the pictures in a folder are for the ranges, half for the check, and nothing
    is known of accuracy.

    Args:
        mode: of `keras_fvvae.export.quantization.MODES`.
        model: from `keras_fvvae.zoo.sources.open_reading`.
        data: of a run the data that it was trained on (`None`: data that come with the package), else a folder of
            pictures. `None` otherwise: there are none.

    Raises:
        RunError: for `int8` without pictures, and of videos.
        DataError: if the data cannot be used, or are not the run's.
    """
    if model.kind == "video":
        if mode == "int8" or data is not None:
            raise RunError(
                "The quantisation of a model of videos takes no calibration frames: choose --quantize float16 or "
                "dynamic without --calibration."
            )
        return _without_pictures(mode)
    if model.run is not None and (data is not None or DATASETS[model.recipe.dataset].embedded):
        return _of_run(mode, model, data)
    if data is not None:
        return _of_folder(mode, model, data)
    if mode == "int8":
        of_run = model.run is not None
        what = "the data that it was trained on" if of_run else "a folder of images such as it is to see"
        raise RunError(
            f"{model.recipe.name}: int8 takes the ranges of activations from images: give --calibration DIR, {what}."
        )
    return _without_pictures(mode)


def _without_pictures(mode):
    none = np.zeros((0, 1, 1, 3), "uint8")
    return Quantization(mode, none, none, None, "")


def run_pictures(
    model: TrainedFile, data: str | os.PathLike | None, rows: Iterable[int], limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of rows of a run's vectors, resized and rounded: the first that can be read, and which rows those are.

    Args:
        model: a run on images, from `keras_fvvae.zoo.sources.open_reading`.
        data: what it was trained on.
        rows: in the order wanted.
        limit: how many at most.

    Raises:
        DataError: if the data are not the run's, or none can be read.
    """
    vectors, collection = model.run.vectors(), recipe_collection(model.recipe, data)
    places = {normal_name(str(name)): index for index, name in enumerate(collection.names)}
    missing = [name for name in vectors.names if name not in places]
    if missing:
        where = data or "its data set"
        raise DataError(
            f"{len(missing)} of the {len(vectors.names)} items of {model.run.path} are not in {where}, "
            f"such as {missing[0]!r}; give the data it was trained on."
        )
    rows = np.array(list(rows))
    indices = [places[vectors.names[row]] for row in rows]
    pictures, read = _pixels(collection, indices, recipe_views(model.recipe, "image"), limit)
    return pictures, rows[read]


def _of_run(mode, model, data):
    vectors = model.run.vectors()
    first, order = vectors.first_test_row, np.random.default_rng(model.recipe.seed)
    trained, tested = (order.permutation(rows) for rows in (np.arange(first), np.arange(first, len(vectors.names))))
    calibration, _ = run_pictures(model, data, trained, CALIBRATION_IMAGES)
    what = "test" if len(tested) else "training"
    rows = np.sort(tested[:CHECKED_IMAGES]) if len(tested) else trained[:CHECKED_IMAGES]
    checked, read = run_pictures(model, data, rows, CHECKED_IMAGES)
    labels = vectors.labels[read]
    title = f"{len(checked)} {what} images of the run {model.run.path.name}"
    return Quantization(mode, calibration, checked, None if (labels == UNLABELLED).any() else labels, title)


def _of_folder(mode, model, data):
    files = [path for path, why in input_files([data], "image") if not why]
    if len(files) < 2:
        raise DataError(f"{data} has {len(files)} images for --calibration, which needs 2 or more.")
    count = len(files)
    collection = Collection(files, files, [UNLABELLED] * count, ["train"] * count, ())
    order = np.random.default_rng(model.recipe.seed).permutation(count)
    views = recipe_views(model.recipe, "image")
    half = min(count // 2, CALIBRATION_IMAGES)
    calibration, _ = _pixels(collection, order[:half], views, half)
    checked, _ = _pixels(collection, order[half:], views, CHECKED_IMAGES)
    return Quantization(
        mode, calibration, checked, None, f"{len(checked)} images of {os.path.basename(os.path.abspath(data))}"
    )


def _pixels(collection: Collection, indices: Iterable[int], views: Views, limit: int) -> tuple[np.ndarray, list[int]]:
    """Pictures as a caller would hand them over, resized and rounded, and which of the indices they are."""
    pictures: list[np.ndarray] = []
    read: list[int] = []
    reasons = ""
    for place, index in enumerate(indices):
        if len(pictures) == limit:
            break
        try:
            ((picture,),) = read_resized(collection, int(index), [views])
        except (OSError, DataError, ValueError) as error:
            reasons = reasons or f"{collection.names[int(index)]}: {error}"
            continue
        pictures.append(np.round(picture).clip(0, 255).astype("uint8"))
        read.append(place)
    if not pictures:
        raise DataError(f"No image for the quantisation can be read; the first is {reasons}.")
    return np.stack(pictures), read
