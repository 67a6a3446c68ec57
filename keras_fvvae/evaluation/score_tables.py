"""Tables of numbers by item: scores of a classifier or vectors of a representation, from files that others wrote."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from keras_fvvae.data.datasets.places import numbered_lines, read_csv, read_json, stem_key
from keras_fvvae.errors import DataError
from keras_fvvae.evaluation.activitynet import read_predictions
from keras_fvvae.features import DAMAGE
from keras_fvvae.utils.files import reason
from keras_fvvae.utils.text import normal_name


@dataclasses.dataclass(eq=False)
class ScoreTable:
    """Rows of numbers with the names of their items, and of their columns where these are classes.

    Args:
        name: what errors call it, such as the path of the file.
        ids: one text per row.
        values: float array `(rows, columns)`; may be a memory map.
        class_names: one text per column, or `None` for vectors.
        views: whether an id may be there several times, once for every view (frame, crop) of its item.

    Raises:
        DataError: for duplicated ids or class names, numbers of rows or columns that differ, or values that are NaN or
            infinite.

    Example:
        >>> table = ScoreTable("idt.csv", ["a", "b"], np.array([[1.0, 2.0], [3.0, 4.0]]), ["swim", "dive"])
        >>> table.rows(["b"], ["dive", "swim"]).tolist()
        [[4.0, 3.0]]
    """

    name: str
    ids: list[str]
    values: np.ndarray
    class_names: list[str] | None = None
    views: bool = False

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) != len(self.ids):
            raise DataError(f"{self.name} has {len(self.ids)} ids for values of shape {self.values.shape}.")
        if self.class_names is not None and self.values.shape[1] != len(self.class_names):
            raise DataError(f"{self.name} has {len(self.class_names)} classes for {self.values.shape[1]} columns.")
        for what, names in (("id", () if self.views else self.ids), ("class", self.class_names or ())):
            if (twice := _first_repeated(names)) is not None:
                raise DataError(f"{self.name} has the {what} {twice!r} more than once; each must be there once.")
        for row, values in enumerate(self.values):  # row by row: vectors may be larger than the memory
            if not np.isfinite(values).all():
                bad = values[~np.isfinite(values)][0]
                raise DataError(f"{self.name}: the row of {self.ids[row]!r} holds {bad}; every value must be finite.")

    def rows(self, ids: Iterable[str], class_names: Sequence[str] | None = None) -> np.ndarray:
        """Values of some items in their order, with the columns of these classes in their order.

        Raises:
            KeyError: for an id that is not there.
            DataError: if its classes are others.
        """
        places = {name: row for row, name in enumerate(self.ids)}
        values = self.values[[places[name] for name in ids]]
        return values if class_names is None else values[:, class_order(self, class_names)]


def class_order(table: ScoreTable, class_names: Sequence[str]) -> list[int]:
    """Columns of a table in the order of `class_names`, matched by name.

    Raises:
        DataError: if it has other classes.

    Example:
        >>> class_order(ScoreTable("s", ["x"], np.zeros((1, 2)), ["dive", "swim"]), ["swim", "dive"])
        [1, 0]
    """
    places = {name: column for column, name in enumerate(table.class_names)}
    lacking = [name for name in class_names if name not in places]
    foreign = [name for name in table.class_names if name not in set(class_names)]
    if lacking or foreign:
        parts = [f"{len(lacking)} are missing (such as {lacking[0]!r})"] if lacking else []
        parts += [f"{len(foreign)} are not wanted (such as {foreign[0]!r})"] if foreign else []
        raise DataError(f"{table.name} is of different classes: of {len(class_names)} {' and '.join(parts)}.")
    return [places[name] for name in class_names]


def item_keys(names: Sequence[Sequence[str]]) -> list[list[str]]:
    """Keys by which items of several sources are matched: names without video extensions, where these stay unique.

    A video file and the folder of its flow are the same item, but `a.avi` and `a.mp4` are two.

    Args:
        names: one list of names per source.

    Returns:
        One list of keys per source.

    Example:
        >>> item_keys([["a.avi", "b.avi"], ["a"]])
        [['a', 'b'], ['a']]
        >>> item_keys([["a.avi", "a.mp4"], ["a.mp4"]])
        [['a.avi', 'a.mp4'], ['a.mp4']]
    """
    stems = [[stem_key(name) for name in each] for each in names]
    unique = all(len(set(keys)) == len(set(each)) for keys, each in zip(stems, names, strict=True))
    return stems if unique else [list(each) for each in names]


def read_scores(path: str | os.PathLike, views: bool = False) -> ScoreTable:
    """Scores of a classifier from a file.

        scores.csv    header `id,CLASS,CLASS,...`, then one line per item
        scores.npy    `(n, classes)`; beside it `scores.ids.txt` and `scores.classes.txt`, one name a line
        scores.json   `{"ids": [...], "class_names": [...], "scores": [[...], ...]}`, or predictions in ActivityNet's
                      format in which every video has a score for every class

    Args:
        path: the file.
        views: whether an id may be there several times, once for every view of its item.

    Raises:
        DataError: if it cannot be read, its names and numbers do not go together, or a number is NaN or infinite.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "scores.csv")
        >>> _ = path.write_text("id,swim,dive\\na.avi,1,-1\\n")
        >>> table = read_scores(path)
        >>> table.ids, table.class_names, table.values.tolist()
        (['a.avi'], ['swim', 'dive'], [[1.0, -1.0]])
    """
    path = Path(path)
    if path.suffix == ".json":
        return _read_json(path, views)
    if path.suffix == ".csv":
        class_names, ids, values = _read_csv(path)
        return ScoreTable(str(path), ids, values, class_names, views)
    ids, values = _read_npy(path)
    return ScoreTable(str(path), ids, values, _names_beside(path, "classes"), views)


def read_features(path: str | os.PathLike) -> ScoreTable:
    """Vectors of a representation (IDT Fisher vectors, C3D, ...) from a file.

        features.csv    header `id,ANYTHING,...`, then one line per item
        features.npy    `(n, dimensions)`, read as a memory map; beside it `features.ids.txt`, one name a line

    Raises:
        DataError: as `read_scores`.
    """
    path = Path(path)
    if path.suffix == ".csv":
        _, ids, values = _read_csv(path)
        return ScoreTable(str(path), ids, values)
    return ScoreTable(str(path), *_read_npy(path))


def scores_csv(ids: Sequence[str], class_names: Sequence[str], scores: ArrayLike) -> str:
    """The text of a `.csv` file that `read_scores` reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", *class_names])
    writer.writerows([name, *map(repr, row)] for name, row in zip(ids, np.asarray(scores).tolist(), strict=True))
    return text.getvalue()


def _read_csv(path):
    lines = read_csv(path)
    _, header = next(lines, (0, []))
    if len(header) < 2 or header[0].strip().lower() != "id":
        raise DataError(f"The first line of {path} must be `id` and the names of the columns. Found: {header[:3]}.")
    ids, rows = [], []
    for number, fields in lines:
        if not fields:
            continue
        if len(fields) != len(header):
            raise DataError(f"Line {number} of {path} has {len(fields)} fields; the first has {len(header)}.")
        try:
            rows.append([float(field) for field in fields[1:]])
        except ValueError as error:
            raise DataError(f"Line {number} of {path}: {error}.") from error
        ids.append(normal_name(fields[0]))
    if not rows:
        raise DataError(f"{path} holds no items.")
    return header[1:], ids, np.array(rows)


def _read_npy(path):
    if path.suffix != ".npy":
        raise DataError(f"{path} must be a .npy, .csv or, for scores, .json file.")
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}.") from error
    except DAMAGE as error:
        raise DataError(f"{path} is not an array of numbers in the .npy format.") from error
    if not np.issubdtype(values.dtype, np.number) or np.issubdtype(values.dtype, np.complexfloating):
        raise DataError(f"{path} must hold real numbers; its dtype is {values.dtype}.")
    return [normal_name(name) for name in _names_beside(path, "ids")], values


def _names_beside(path, what):
    beside = path.with_suffix(f".{what}.txt")
    if not beside.is_file():
        raise DataError(f"{path} needs {beside.name} beside it: its {what}, one a line.")
    return [line for _, line in numbered_lines(beside, "surrogateescape")]


def _read_json(path, views):
    content = read_json(path)
    if isinstance(content, dict) and {"ids", "class_names", "scores"} <= content.keys():
        try:
            values = np.array(content["scores"], "float64")
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: `scores` must be rows of numbers, all of one length.") from error
        ids, class_names = (_texts(content[key], key, path) for key in ("ids", "class_names"))
        return ScoreTable(str(path), [normal_name(name) for name in ids], values, class_names, views)
    predictions = read_predictions(path)
    class_names = sorted({label for results in predictions.values() for label, _ in results})
    for video, results in predictions.items():
        if sorted(label for label, _ in results) != class_names:
            raise DataError(
                f"{path}: {video!r} has {len(results)} scores for {len(class_names)} classes; each must be there once. "
                f"Evaluate partial predictions with `keras-fvvae activitynet evaluate`."
            )
    values = np.array([[dict(results)[name] for name in class_names] for results in predictions.values()])
    return ScoreTable(str(path), list(predictions), values.reshape(len(predictions), -1), class_names, views)


def _texts(values, key, path):
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise DataError(f"{path}: `{key}` must be a list of texts.")
    return values


def _first_repeated(names):
    seen = set()
    return next((name for name in names if name in seen or seen.add(name)), None)
