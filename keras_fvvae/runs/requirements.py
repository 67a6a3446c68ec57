"""Whether a run's data are named as its recipe needs them: told before TensorFlow is imported."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from keras_fvvae.errors import DataError
from keras_fvvae.recipes import DATASETS

if TYPE_CHECKING:
    from keras_fvvae.recipes import Recipe


def require_data(data: str | os.PathLike | None, dataset: str | None = None) -> None:
    """Refuses data that do not exist; where the loader fills the folder itself, it need not be there.

    Args:
        data: folder or list; `None`: none, as a data set wants that brings its own.
        dataset: kind of the data set; `None` and `"auto"`: by its layout.

    Raises:
        DataError: if there is nothing, or the data set brings its own data and is given others.

    Example:
        >>> require_data("/nowhere")
        Traceback (most recent call last):
        ...
        keras_fvvae.errors.DataError: The data folder or list /nowhere does not exist.
    """
    kind = DATASETS.get(dataset)
    if kind and kind.embedded:
        if data is None:
            return
        raise DataError(f"The data set {dataset!r} brings its own data; open its folder as another, without `dataset`.")
    if data is None:
        own = ", ".join(name for name, entry in DATASETS.items() if entry.embedded)
        raise DataError(f"--data is missing: a folder or list; or name by --dataset what brings its own data ({own}).")
    if not Path(data).exists() and not (kind and kind.fills_folder):
        raise DataError(f"The data folder or list {data} does not exist.")


def require_recipe_data(recipe: Recipe, data: str | os.PathLike | None) -> None:
    """Refuses data that a recipe does not want, and no data where it needs some.

    Args:
        recipe: a `Recipe`.
        data: folder or list; `None`: none.

    Raises:
        DataError: if they do not go together, or the data do not exist.

    Example:
        >>> from keras_fvvae.recipes import load_recipe
        >>> require_recipe_data(load_recipe("digits_conv"), None)
    """
    embedded = DATASETS[recipe.dataset].embedded
    if embedded and data is not None:
        raise DataError(f"The recipe {recipe.name} brings its own data ({recipe.dataset}); leave out --data.")
    if not embedded and data is None:
        raise DataError(f"The recipe {recipe.name} needs --data: the folder or list of your images or videos.")
    if not embedded:
        named = DATASETS.get(str(data))
        if named and named.embedded and not Path(data).exists():  # type: ignore[arg-type]
            raise DataError(f"The data set {data} brings its own data: name it by --dataset {data}, without --data.")
        require_data(data, recipe.dataset)
