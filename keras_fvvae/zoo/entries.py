"""The entries of the zoo by name. Needs no TensorFlow."""

from __future__ import annotations

from fnmatch import fnmatch

from keras_fvvae.recipes import DATASETS, list_recipes, load_recipe
from keras_fvvae.zoo import packs

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
