"""Data sets by name, and by what lies in a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_fvvae.errors import DataError, unknown_name
from keras_fvvae.recipes.registry import DATASETS

if TYPE_CHECKING:
    from keras_fvvae.data.collection import Collection


def load_dataset(directory: str | os.PathLike | None, name: str = "auto", **options: Any) -> Collection:
    """Collects the images or videos of a data set.

    Args:
        directory: the data folder, or a list; `None` for what brings its own data (`"digits"`, `"moving_digits"`,
            `"textiles"`).
        name: one of `keras_fvvae.recipes.DATASETS`; `"auto"`: the first that recognises the path.
        **options: further arguments of that data set's loader.

    Returns:
        A `Collection`.

    Raises:
        ValueError: for an unknown name, or an option that the loader does not take.
        DataError: if the data set cannot be loaded, or brings its own data and is given others.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.jpg").write_bytes(b"")
        >>> _ = (folder / "list.csv").write_text("file,label,split\\na.jpg,cat,train\\n")
        >>> load_dataset(folder / "list.csv").class_names
        ['cat']
    """
    if name not in DATASETS:
        raise ValueError(unknown_name("data set", name, DATASETS))
    if DATASETS[name].embedded:
        if directory is not None:
            raise DataError(f"The data set {name!r} brings its own data; leave out the folder.")
    elif directory is None or not (Path(directory).exists() or DATASETS[name].fills_folder):
        raise DataError(f"The data folder or list {directory} does not exist.")
    chosen = recognize(directory) if name == "auto" and directory is not None else name
    known = DATASETS[chosen].options
    told = f" {directory} was taken for {chosen!r}; pass `name` for another." if name == "auto" else ""
    for option in options:
        if option not in known:
            raise ValueError(unknown_name(f"option of the data set {chosen!r}:", option, known) + told)
    for key, entry in known.items():
        if entry.default is entry.empty and key not in options:
            raise ValueError(f"The data set {chosen!r} needs the option `{key}`.")
    return DATASETS[chosen].load(*([] if directory is None else [directory]), **options)


def recognize(directory: str | os.PathLike) -> str:
    """The name of the first data set that recognises a path; a folder is one, if nothing else.

    Example:
        >>> recognize(Path("."))
        'folder'
    """
    return next(name for name, entry in DATASETS.items() if entry.recognizes(directory))
