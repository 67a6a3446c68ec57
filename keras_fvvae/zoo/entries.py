"""The entries of the zoo by name. Needs no TensorFlow."""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path

from keras_fvvae.errors import RecipeError
from keras_fvvae.recipes import DATASETS, Recipe, list_recipes, load_recipe
from keras_fvvae.zoo import packs
from keras_fvvae.zoo.remote.addresses import entry_in, is_url

KINDS = ("image", "video")


def list_entries(pattern: str = "*", *, kind: str | None = None, installed: bool | None = None) -> list[str]:
    """Names of the zoo's entries, sorted: those that ship with the package, and those of packs on this machine.

    No server is asked.

    Args:
        pattern: shell pattern of the names, such as `"ucf101_*"`.
        kind: `"image"` or `"video"`: what they can be used on; entries for a folder of one's own go with both.
            Default: all.
        installed: `True` for those whose trained weights are on this machine, so that `load_encoder` and
            `load_classifier` take their names; `False` for the others. Default: all.

    Raises:
        ValueError: for another `kind`.
        WeightsError: if a pack on this machine is damaged.

    Example:
        >>> list_entries("digits*"), list_entries("digits*", kind="video")
        (['digits_conv'], [])
        >>> "digits_conv" in list_entries(installed=True), "ucf101_pool5" in list_entries(kind="video")
        (True, True)
    """
    if kind not in (None, *KINDS):
        raise ValueError(f"`kind` must be one of {KINDS} or None. Received: kind={kind!r}")
    published = packs.on_this_machine()
    known = {name: load_recipe(name) for name in list_recipes()}
    here = {*published, *(name for name, recipe in known.items() if "file" in recipe.weights)}
    known = {**known, **published}
    return [
        name
        for name in sorted(known)
        if fnmatch(name, pattern)
        and installed in (None, name in here)
        and (kind is None or DATASETS[known[name].dataset].kind in (None, kind))
    ]


def entry_recipe(source: str | os.PathLike) -> Recipe:
    """The recipe of an entry, of a published pack, or in a YAML file.

    Args:
        source: the name of an entry or of a pack that was published here or is on the mirror (the newest), a `.yaml`
            file, or the URL of a pack, `hf://ORG/NAME` too, which is downloaded and checked.

    Raises:
        RecipeError: for an unknown name, or a file that is not a recipe.
        WeightsError: for a pack that cannot be downloaded or is damaged.

    Example:
        >>> entry_recipe("digits_conv").backbone
        'DigitsConvNet'
    """
    text = os.fspath(source)
    if is_url(text):
        return packs.open_weights(text, entry_in(text)).recipe
    try:
        return load_recipe(text)
    except RecipeError:
        recipe = packs.find_recipe(text) if packs.is_entry_name(text) else None
        if recipe is not None:
            return recipe
        if Path(source).is_dir():
            raise RecipeError(
                f"{text} is a folder, not an entry. To go on training what a run or pack holds, load its entry with "
                f"`weights={text!r}`; to encode or classify with it, use `load_encoder` or `load_classifier`."
            ) from None
        raise
