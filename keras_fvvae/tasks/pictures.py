"""Files of figures that explain: a name of their own, pictures and numbers."""

from __future__ import annotations

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
        for extension, content in figures.rendered(figure).items():
            write_atomically(path.with_suffix(extension), content)
        write_json(path.with_suffix(".json"), numbers)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {reason(error)}.") from error


def unused_name(stem: str, taken: set[str]) -> str:
    """A file's name without extension, with a number where another file has it too; it is taken then.

    Example:
        >>> taken = set()
        >>> [unused_name("bird", taken) for _ in range(3)]
        ['bird', 'bird_2', 'bird_3']
    """
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}_{number}", number + 1
    taken.add(name)
    return name
