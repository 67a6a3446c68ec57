"""What every reader of lists shares: their lines, and where on disk the things lie that they name."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_fvvae.data.datasets.folder import walk
from keras_fvvae.data.readers.media import is_image, is_video
from keras_fvvae.data.readers.regular_file import read_regular
from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import reason
from keras_fvvae.utils.text import TextError, csv_rows, normal_name, parse_json

# Folders of videos whose lists lie beside them; other folders are not taken for a part of what lies beside them.
_VIDEO_FOLDERS = ("ucf-101", "videos", "rawframes")


def places_of_lists(directory: str | os.PathLike) -> list[Path]:
    """Where a data folder's lists may be: in it, and beside it if it has the name of a folder of videos."""
    directory = Path(directory)
    return [directory, directory.parent] if directory.absolute().name.lower() in _VIDEO_FOLDERS else [directory]


def read_text(path: str | os.PathLike, errors: str = "strict") -> str:
    """The text of a UTF-8 file, without a byte order mark; a `DataError` says why it cannot be read.

    Args:
        path: of the file.
        errors: `"surrogateescape"` for what the package writes too: there names of files may be no Unicode.
    """
    try:
        return read_regular(path).decode("utf-8-sig", errors)
    except (OSError, DataError) as error:
        raise DataError(f"The list {path} cannot be read: {reason(error)}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"The list {path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error


def numbered_lines(path: str | os.PathLike, errors: str = "strict") -> list[tuple[int, str]]:
    """Pairs of line number and stripped line of a text file (see `read_text`), without blank lines and `#` comments."""
    # Not `splitlines`: it also splits at characters that names can hold, such as U+2028.
    lines = enumerate(re.split(r"\r\n|\n|\r", read_text(path, errors)), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]


def read_json(path: str | os.PathLike, **options: Any) -> Any:
    """The value of a JSON file.

    Args:
        path: of the file.
        **options: of `keras_fvvae.utils.text.parse_json`.

    Raises:
        DataError: if it cannot be read or is not JSON.
    """
    try:
        return parse_json(read_text(path), **options)
    except TextError as error:
        raise DataError(f"{path} is not JSON: {error}.") from error


def read_csv(path: str | os.PathLike) -> Iterator[tuple[int, list[str]]]:
    """Iterates over pairs of line number and fields of a CSV file, header and blank lines included.

    Raises:
        DataError: if it cannot be read or is not CSV.
    """
    try:
        yield from csv_rows(read_text(path, "surrogateescape"))
    except TextError as error:
        raise DataError(f"{path} is not CSV: {error}.") from error


def read_table(path: str | os.PathLike, *columns: str) -> list[tuple[int, dict[str, str]]]:
    """Pairs of line number and fields by column of a CSV file whose first line names the columns; no blank lines.

    Args:
        path: of the file.
        *columns: names that its first line must hold; what a line lacks is empty text.

    Raises:
        DataError: if it cannot be read, is not CSV or lacks a column.
    """
    (_, header), *rows = [*read_csv(path)] or [(1, [])]
    if not set(columns) <= set(header):
        raise DataError(f"The first line of {path} must name the columns {' and '.join(f'`{c}`' for c in columns)}.")
    return [
        (number, dict(itertools.zip_longest(header, fields[: len(header)], fillvalue="")))
        for number, fields in rows
        if fields
    ]


def same_item(name: str, source: Path | None) -> str:
    """What two listed names have in common if they are of one item: the file that was found, else the spelling."""
    if source is not None:
        return os.path.abspath(source)  # lists may name some relative to the folder and others from the root
    return unicodedata.normalize("NFC", normal_name(name.replace("\\", "/")))


def contradiction(path: str | os.PathLike, name: str, first: int, second: int, labels: tuple[str, str]) -> DataError:
    """The error of two lines that give one item two labels."""
    one, other = (repr(label) if label else "no label" for label in labels)
    return DataError(
        f"Lines {first} and {second} of {path} contradict each other about {name!r}: {one} and {other}; drop one of "
        f"them."
    )


def find_file(root: str | os.PathLike, name: str) -> Path | None:
    """The path of a listed file or folder of files below `root`, or None.

    Tried are the name as it is, with the separators of Windows replaced, as `normal_name` spells it, and in the two
    Unicode forms: macOS stores accents decomposed, lists are mostly composed.
    """
    for text in dict.fromkeys((name, name.replace("\\", "/"), normal_name(name.replace("\\", "/")))):
        for form in dict.fromkeys((text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD")))):
            path = Path(root, form)
            if os.path.isfile(path) or holds_images(path):
                return path
    return None


def holds_images(folder: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder that directly holds an image; reads no more of it than that takes."""
    try:
        with os.scandir(folder) as entries:
            return any(is_image(entry.name) and not entry.name.startswith(".") for entry in entries)
    except (OSError, ValueError):  # ValueError: a null character in the name.
        return False


def index_videos(
    directory: str | os.PathLike,
    stems: set[str],
    fold: bool = False,
    folders_first: bool = False,
) -> tuple[dict[str, Path], int]:
    """Where videos lie below a folder: as files of any video extension or as folders of frames, by their stem.

    Args:
        directory: the folder; it is read once, and folders of frames are not read further than their first image.
        stems: the stems to look for, as `stem_key` makes them.
        fold: whether upper and lower case are the same.
        folders_first: which of several is taken: the folder of frames, or the file.

    Returns:
        Dictionary from stem to path, and the number of stems that were found more than once.
    """
    if not Path(directory).is_dir():
        raise DataError(f"The data folder {directory} does not exist or is not a folder.")
    found: dict[str, list[tuple[bool, Path]]] = {}
    for root, folders, files in walk(directory):
        frames = [name for name in folders if stem_key(name, fold) in stems and holds_images(root / name)]
        folders[:] = [name for name in folders if name not in frames]
        for name in [*frames, *filter(is_video, files)]:
            key = stem_key(name, fold)
            if key in stems:
                found.setdefault(key, []).append(((name in frames) != folders_first, root / name))
    return {key: min(paths)[1] for key, paths in found.items()}, sum(len(paths) > 1 for paths in found.values())


def stem_key(name: str, fold: bool = False) -> str:
    """A file's or folder's name without video extensions (also of `a.mp4.mkv`), in one Unicode form."""
    name = unicodedata.normalize("NFC", name)
    while is_video(name) and not name.startswith("."):
        name = os.path.splitext(name)[0]
    return name.casefold() if fold else name


def present_rows(
    rows: dict[str, tuple], found: dict[str, Path], what: str, where: str | os.PathLike, notes: list[str]
) -> tuple[list[tuple[tuple, Path]], list[str]]:
    """Pairs of row and path of what is listed and on disk, and the names of what is not, see `note_missing`.

    Args:
        rows: by key; a row begins with the name in the list.
        found: paths by the same keys.
        what, where, notes: of `note_missing`.
    """
    present = [(row, found[key]) for key, row in rows.items() if key in found]
    missing = [row[0] for key, row in rows.items() if key not in found]
    note_missing(len(present), missing, what, where, notes)
    return present, missing


def note_missing(present: int, missing: list[str], what: str, where: str | os.PathLike, notes: list[str]) -> None:
    """Notes how many of the listed items are on disk; none at all is a `DataError`."""
    if not missing:
        return
    total = present + len(missing)
    if not present:
        raise DataError(
            f"None of the {total:,} {what} is below {where} (the first: {missing[0]}); pass the folder of them all."
        )
    notes.append(f"{present:,} of {total:,} {what} are below {where}; the others are left out.")
