"""A trained model's SavedModel in the cache, for who serves a run, a pack or an entry without exporting it first."""

from __future__ import annotations

import os
from pathlib import Path

from keras_fvvae import __version__
from keras_fvvae.serving.version_folders import version_folders
from keras_fvvae.tasks.export_runs import export_runs
from keras_fvvae.utils.cache import cache_folder
from keras_fvvae.utils.files import sha256
from keras_fvvae.zoo.sources import open_reading


def exported(source: str | os.PathLike) -> tuple[str, Path]:
    """A trained model's export with its defaults; it is exported when first asked for.

    It lies in `keras_fvvae.utils.cache.cache_folder()`, by the SHA-256 of the model and this library's version.

    Args:
        source: a finished run, a pack or an entry with trained weights, see `keras_fvvae.zoo.load_classifier`.

    Returns:
        Tuple: a name for it (of a run that of its folder, of others that of the entry), and the parent of the version
        folders.

    Raises:
        RunError, WeightsError: if there is no such model, or it cannot be written.
    """
    trained = open_reading(source)
    name = trained.recipe.name if trained.run is None else trained.run.path.absolute().name
    folder = cache_folder() / "exports" / f"{sha256(trained.model)[:16]}-{__version__}"
    if not version_folders(folder):
        export_runs([source], folder)
    return name, folder
