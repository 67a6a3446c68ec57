"""Files of figures that explain: a name of their own, pictures and numbers."""

from __future__ import annotations

import collections
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_fvvae.errors import RunError
from keras_fvvae.reporting import figures
from keras_fvvae.utils.files import reason, write_atomically, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def make_folder(out: Path) -> None:
    """Makes the folder for the pictures.

    Raises:
        RunError: if it cannot be.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"The folder {out} cannot be written: {reason(error)}.") from error


def write_figure(figure: Figure, numbers: dict[str, Any], path: Path) -> None:
    """Writes a figure as PNG and SVG, and numbers beside it as JSON.

    Raises:
        RunError: if the disk does not take them.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for extension, content in figures.rendered(figure).items():
            write_atomically(path.with_suffix(extension), content)
        write_json(path.with_suffix(".json"), numbers)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {reason(error)}.") from error


def picture_names(files: Sequence[str]) -> list[Path]:
    """Names, relative and without extension, for the pictures of files: none is another's, and folders stay.

    Every file keeps its own folder, such as that of its class, and as many above as tell it from a file of the same
    name elsewhere. Only files of one name beside each other, such as `1.jpg` and `1.png`, get a number.

    Example:
        >>> [name.as_posix() for name in picture_names(["photos/a/1.jpg", "photos/b/1.jpg", "photos/b/1.png"])]
        ['a/1', 'b/1', 'b/1_2']
        >>> [name.as_posix() for name in picture_names(["old/cat/1.jpg", "new/cat/1.jpg", "new/dog/1.jpg"])]
        ['old/cat/1', 'new/cat/1', 'dog/1']
    """
    absolute = [Path(os.path.abspath(file)) for file in files]
    paths = [path.parent / path.stem for path in absolute]
    taken: set[Path] = set()
    names: dict[Path, Path] = {}
    depth, left = 2, list(dict.fromkeys(paths))
    while left:
        shortened = {path: _last(path, depth) for path in left}
        counts = collections.Counter(shortened.values())
        names |= {path: name for path, name in shortened.items() if counts[name] == 1 or len(path.parts) <= depth}
        left, depth = [path for path in left if path not in names], depth + 1
    return [_unused(names[path], taken) for path in paths]


def _last(path: Path, count: int) -> Path:
    """The last parts of a path, without its root."""
    return Path(*path.relative_to(path.anchor).parts[-count:])


def _unused(name: Path, taken: set[Path]) -> Path:
    """The name, with a number where it is taken; it is taken then."""
    unused, number = name, 2
    while unused in taken:
        unused, number = name.with_name(f"{name.name}_{number}"), number + 1
    taken.add(unused)
    return unused
