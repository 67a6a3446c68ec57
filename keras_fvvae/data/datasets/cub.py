"""Caltech-UCSD Birds-200-2011: 11,788 images of 200 species with boxes, in the official file layout."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from keras_fvvae.data.collection import Collection
from keras_fvvae.data.datasets.folder import note_untrained, walk
from keras_fvvae.data.datasets.places import contradiction, note_missing, numbered_lines, same_item
from keras_fvvae.errors import DataError
from keras_fvvae.utils.text import is_number, normal_name

CUB_FOLDER = "CUB_200_2011"
CUB_LISTS = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")


def load_cub(directory: str | os.PathLike, boxes: bool = False) -> Collection:
    """Collects the images of CUB-200-2011 by the official split.

    Read are `images.txt`, `image_class_labels.txt`, `train_test_split.txt` and `classes.txt`, which MMPretrain uses as
    they are. A partial copy is used as far as it goes.

    Args:
        directory: the folder `CUB_200_2011`, or the one that holds it.
        boxes: whether the birds' boxes are read from `bounding_boxes.txt`, `(x, y, width, height)` in pixels as given
            there: images are then cut to them when they are decoded.

    Returns:
        A `Collection` of images; what is listed and not on disk is in `missing`.

    Raises:
        DataError: if a list is missing or cannot be understood, or no listed image is on disk.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> lists = ("1 001.Gull/a b.jpg", "1 1", "1 0", "1 001.Gull")
        >>> for name, line in zip(CUB_LISTS, lists):
        ...     _ = (folder / name).write_text(line)
        >>> (folder / "images" / "001.Gull").mkdir(parents=True)
        >>> _ = (folder / "images" / "001.Gull" / "a b.jpg").write_bytes(b"")
        >>> load_cub(folder).names
        ['001.Gull/a b.jpg']
    """
    root = find_cub(directory)
    if root is None:
        raise DataError(f"{directory} is not a copy of CUB-200-2011: {', '.join(CUB_LISTS)} must be in it.")
    notes: list[str] = []
    images, labels, parts, names = (_table(root / name, notes) for name in CUB_LISTS)
    classes = {key: number for number, key in enumerate(sorted(names, key=lambda key: (len(key), key)))}
    rows: dict[str, tuple] = {}  # image name -> (class, split, number, where it is listed)
    repeated = 0
    for key, (number, name) in images.items():
        where = f"(line {number} of {root / 'images.txt'})"
        label = _value(labels, key, root / CUB_LISTS[1], where)
        if label not in classes:
            raise DataError(f"The image {key} {where} has the class {label!r}, which classes.txt does not name.")
        part = _value(parts, key, root / CUB_LISTS[2], where)
        if part not in ("0", "1"):
            raise DataError(f"The image {key} {where} must be 1 (training) or 0 in train_test_split.txt: {part!r}.")
        name = normal_name(name)
        repeated += name in rows
        if name in rows and rows[name][0] != classes[label]:
            lines = images[rows[name][2]][0], number
            first = next(key for key, place in classes.items() if place == rows[name][0])
            raise contradiction(root / CUB_LISTS[0], name, *lines, (names[first][1], names[label][1]))
        rows.setdefault(name, (classes[label], "train" if part == "1" else "test", key, where))
    if repeated:
        notes.append(f"{repeated} images are listed more than once; the first line counts.")
    box_of = _boxes(root / "bounding_boxes.txt", rows, notes) if boxes else {}
    found = _present(root / "images")
    present = [(name, row, found[_key(name)]) for name, row in rows.items() if _key(name) in found]
    missing = [name for name in rows if _key(name) not in found]
    note_missing(len(present), missing, "images of CUB-200-2011", root / "images", notes)
    labels = np.array([row[0] for _, row, _ in present])
    splits = np.array([row[1] for _, row, _ in present])
    class_names = [names[key][1] for key in classes]
    note_untrained(labels, splits, class_names, notes)
    return Collection(
        [path for *_, path in present],
        [name for name, *_ in present],
        labels,
        splits,
        class_names,
        notes,
        boxes=[box_of[name] for name, *_ in present] if boxes else None,
        missing=missing,
    )


def find_cub(directory: str | os.PathLike) -> Path | None:
    """The folder with the lists of CUB-200-2011: the given one or its `CUB_200_2011`; or None."""
    for folder in (Path(directory), Path(directory) / CUB_FOLDER):
        if all((folder / name).is_file() for name in CUB_LISTS):
            return folder
    return None


def _table(path, notes):
    """Dictionary from number (as text) to (line number, rest of the line)."""
    table, repeated = {}, 0
    for line_number, line in numbered_lines(path):
        key, *rest = line.split(maxsplit=1)
        if not is_number(key) or not rest:
            raise DataError(f"Line {line_number} of {path} must be a number and a value. Found: {line!r}.")
        key = str(int(key))
        if key in table and table[key][1] != rest[0]:
            raise DataError(f"Line {line_number} of {path} contradicts line {table[key][0]} about number {key}.")
        repeated += key in table
        table.setdefault(key, (line_number, rest[0]))
    if repeated:
        notes.append(f"{repeated} lines of {path.name} repeat others.")
    return table


def _value(table, key, path, where):
    if key not in table:
        raise DataError(f"The image {key} {where} is not in {path}.")
    return table[key][1]


def _boxes(path, rows, notes):
    """Dictionary from image name to box; every listed image must have one."""
    if not path.is_file():
        raise DataError(f"{path} is missing; it is needed with boxes=True.")
    table = _table(path, notes)
    boxes = {}
    for name, (*_, key, where) in rows.items():
        text = _value(table, key, path, where)
        try:
            box = tuple(float(value) for value in text.split())
        except ValueError:
            box = ()
        if len(box) != 4 or not all(map(math.isfinite, box)) or min(box[2:]) <= 0:
            raise DataError(
                f"Line {table[key][0]} of {path} must be a number, x, y, width and height (above 0). Found: {text!r}."
            )
        boxes[name] = box
    return boxes


def _present(folder):
    """Paths below a folder by their comparable name; one walk instead of one look per listed image."""
    found = {}
    for root, _, files in walk(folder):
        for name in files:
            path = root / name
            found[_key(os.path.relpath(path, folder))] = path
    return found


def _key(name):
    return same_item(name, None)
