"""From a recipe and the user's folder to a collection."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from keras_fvvae.data import Collection
from keras_fvvae.data.catalogue import load_dataset, recognize
from keras_fvvae.data.datasets.folder import DEFAULT_TEST_FRACTION
from keras_fvvae.data.readers.video import require_packages
from keras_fvvae.data.stored_flow import SETTINGS as FLOW_SETTINGS
from keras_fvvae.data.stored_flow import flow_settings
from keras_fvvae.errors import DataError, unknown_name
from keras_fvvae.recipes import DATASETS, Recipe
from keras_fvvae.runs.requirements import require_data, require_recipe_data


def open_dataset(
    data: str | os.PathLike | None,
    name: str,
    options: dict[str, Any],
    test_fraction: float = DEFAULT_TEST_FRACTION,
    seed: int = 0,
) -> Collection:
    """`load_dataset`, with the share and the seed of a random split for the layouts that have none of their own."""
    require_data(data, name)
    known = DATASETS[recognize(data) if name == "auto" else name].options
    split = {key: value for key, value in (("test_fraction", test_fraction), ("seed", seed)) if key in known}
    return _load(load_dataset, data, name, **{**split, **options})


def _load(loader, *arguments, **options):
    """Calls a loader; a value such as `frames=abc` from the command line is a user's mistake."""
    try:
        return loader(*arguments, **options)
    except TypeError as error:
        given = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise DataError(f"The data set cannot be loaded with {given}: {error}.") from error


def recipe_collection(
    recipe: Recipe, data: str | os.PathLike | None = None, common_classes: bool = False
) -> Collection:
    """The collection that a recipe is trained on.

    Args:
        recipe: a `Recipe`; its `dataset` names the kind, its `dataset_options` are the loader's.
        data: folder (or list) of the data; not for the embedded data sets.
        common_classes: whether to keep only the classes with both training and test items, for partial copies.

    Returns:
        A `Collection`.

    Raises:
        DataError: if the data cannot be used, or `data` is missing or not wanted.
    """
    require_recipe_data(recipe, data)
    if DATASETS[recipe.dataset].embedded:
        known = DATASETS[recipe.dataset].options
        for option in recipe.dataset_options:
            if option not in known:
                raise DataError(unknown_name(f"option of the data set {recipe.dataset!r}:", option, known))
        collection = _load(DATASETS[recipe.dataset].load, **recipe.dataset_options)
    else:
        collection = open_dataset(data, recipe.dataset, recipe.dataset_options, recipe.test_fraction, recipe.seed)  # type: ignore[arg-type]
        if recipe.modality != "rgb":
            _check_stored_flow(Path(data), recipe)  # type: ignore[arg-type]
    if collection.kind == "video":
        require_packages(collection.sources, recipe.modality != "rgb")
    return collection.of_common_classes() if common_classes else collection


def _check_stored_flow(data, recipe):
    """Raises where flow was computed beforehand with other settings than the recipe's, which a report would then state.

    Raises:
        DataError: naming the settings to use.
    """
    if not (data / FLOW_SETTINGS).is_file():
        return
    stored = flow_settings(data)
    if (stored["method"], stored["bound"]) != (recipe.flow_method, recipe.flow_bound):
        raise DataError(
            f"The flow in {data} was computed with other settings than the recipe's: train with --set "
            f"flow_method={stored['method']} --set flow_bound={stored['bound']:g}, or compute it anew."
        )
