"""Trained models by their address: a run, a pack, a URL, the name of an entry, or a model file."""

from __future__ import annotations

import dataclasses
import os
from importlib import resources
from pathlib import Path

from keras_fvvae import recipes
from keras_fvvae.errors import WeightsError, unknown_name
from keras_fvvae.recipes import DATASETS, Recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.utils.cache import cache_folder
from keras_fvvae.utils.files import sha256
from keras_fvvae.utils.text import parse_json
from keras_fvvae.zoo import packs
from keras_fvvae.zoo.remote.addresses import entry_in, is_url
from keras_fvvae.zoo.remote.downloads import download


@dataclasses.dataclass(frozen=True)
class TrainedFile:
    """The file of a trained model, and what is known of its training.

    Attributes:
        model: path of the `.keras` file; it was checked against its SHA-256.
        recipe: what it was trained with; `None` of a file alone.
        kind: what it was trained on, `"image"` or `"video"`; `None` of a file alone.
        run: its run, where it is one: only that has the vectors of its training.
    """

    model: Path
    recipe: Recipe | None = None
    kind: str | None = None
    run: RunFolder | None = None


def open_trained(source: str | os.PathLike | TrainedFile) -> TrainedFile:
    """Finds a trained model, downloads it where it is on a server, and checks its files.

    Args:
        source: a finished run's folder; a published pack: its folder, the folder of an entry's packs, a URL,
            `hf://ORG/NAME`, or the name of an entry; or a `.keras` file. By a name are found, in this order: the newest
            pack on the mirror (`$KERAS_FVVAE_ZOO`) or published here, the weights that ship with the package, those
            that the entry's recipe names by a URL. A `TrainedFile` is returned as it is: what was found and checked
            before is not again.

    Returns:
        A `TrainedFile`.

    Raises:
        WeightsError: if there are no trained weights of that name, or they are damaged or no classifier's or encoder's.
        RunError: for a folder that is neither a finished run nor a pack.
    """
    if isinstance(source, TrainedFile):
        return source
    text, path = os.fspath(source), Path(source)
    if is_url(text):
        return _of_pack(packs.open_weights(text, entry_in(text)))
    if entry := _entry_of(path):
        return _of_pack(packs.open_weights(path, entry))
    if path.is_file() or text.endswith(".keras"):
        return TrainedFile(path)
    if path.exists() or not packs.is_entry_name(text):
        run = RunFolder.open(path)
        return TrainedFile(run.model_path, run.recipe, run.kind, run)
    return _of_name(text)


def open_reading(source: str | os.PathLike | TrainedFile) -> TrainedFile:
    """`open_trained` of what is known to read files as its training did, that is with a recipe and a kind.

    Raises:
        WeightsError: also for a `.keras` file alone.
    """
    trained = open_trained(source)
    if trained.recipe is None:
        raise WeightsError(
            f"{trained.model} is a model alone: pass the folder of its run or pack, which says how files are read."
        )
    return trained


def entry_weights(recipe: Recipe) -> Path:
    """The file of the weights that an entry's recipe names: they ship with the package, or are downloaded.

    Raises:
        WeightsError: if they are missing, altered or cannot be downloaded.
    """
    if "file" in recipe.weights:
        path = Path(str(resources.files(recipes.ENTRIES) / "weights" / recipe.weights["file"]))
        if path.is_file() and sha256(path) == recipe.weights["sha256"]:
            return path
        if "url" not in recipe.weights:
            raise WeightsError(
                f"The weights of {recipe.name!r} that ship with the package ({path}) are missing or altered; reinstall "
                f"keras_fvvae."
            )
    digest = recipe.weights["sha256"]
    return download(recipe.weights["url"], cache_folder() / "weights" / f"{digest}.keras", digest)


def _of_name(name: str) -> TrainedFile:
    """The newest pack of an entry, else the weights that its recipe names."""
    if (pack := packs.find(name)) is not None:
        return _of_pack(pack)
    known = recipes.list_recipes()
    if name not in known:
        raise WeightsError(
            f"{unknown_name('zoo entry', name, known)} It is no folder of a run or pack either, and no pack of that "
            f"name was published here."
        )
    recipe = recipes.load_recipe(name)
    if not recipe.weights:
        data = "" if DATASETS[recipe.dataset].embedded else " --data DIR"
        raise WeightsError(
            f"There are no trained weights for {name!r}. Train them with `keras-fvvae train {name}{data} --out RUN`, "
            f"and load RUN; or set KERAS_FVVAE_ZOO to a folder or URL that has them."
        )
    return TrainedFile(entry_weights(recipe), recipe, _kind(recipe))


def _of_pack(pack: packs.Pack) -> TrainedFile:
    if pack.model.name != packs.CLASSIFIER:
        raise WeightsError(
            f"{pack.model} is an FV-VAE on activation maps: it has neither a backbone nor the statistics of a training "
            f"set. Train with it first (keras-fvvae train), then load that run."
        )
    labels = pack.model.with_name("labels.json")
    return TrainedFile(pack.model, pack.recipe, _noted_kind(labels) or _kind(pack.recipe))


def _noted_kind(labels: Path) -> str | None:
    """What a pack's labels were of, where it noted that."""
    try:
        return parse_json(labels.read_bytes())["data"]["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _kind(recipe: Recipe) -> str:
    """What a recipe's data set consists of; images, where the user's files decided and nothing was noted."""
    return DATASETS[recipe.dataset].kind or "image"


def _entry_of(folder: Path) -> str | None:
    """The entry that the folder of a pack, or of an entry's packs, says it is of; else `None`."""
    for name in (packs.MANIFEST, packs.INDEX):
        try:
            return parse_json((folder / name).read_bytes())["entry"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
