"""A list of images or videos in a CSV or JSON lines file."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from keras_fvvae.data.collection import KINDS, Collection
from keras_fvvae.data.datasets.folder import (
    DEFAULT_TEST_FRACTION,
    SPLIT_FOLDERS,
    check_test_fraction,
    note_untrained,
    random_split,
)
from keras_fvvae.data.datasets.places import (
    contradiction,
    find_file,
    note_missing,
    numbered_lines,
    read_text,
    same_item,
)
from keras_fvvae.data.readers.media import is_image, is_video_file
from keras_fvvae.errors import DataError
from keras_fvvae.utils.labels import UNLABELLED
from keras_fvvae.utils.text import TextError, csv_rows, is_bytes, normal_name, parse_json

COLUMNS = {"file": ("file", "path", "video", "image"), "label": ("label", "class"), "split": ("split",)}
JSON_EXTENSIONS = (".jsonl", ".ndjson", ".json")
# Files that name others; of text, a path a line.
TEXT_EXTENSION = ".txt"
LISTS = (*JSON_EXTENSIONS[:2], ".csv", ".tsv", TEXT_EXTENSION)
_SPLITS = {name: split for split, names in SPLIT_FOLDERS.items() for name in names} | {"testing": "test"}


def load_list(
    path: str | os.PathLike,
    root: str | os.PathLike | None = None,
    kind: str = "auto",
    test_fraction: float = DEFAULT_TEST_FRACTION,
    seed: int = 0,
) -> Collection:
    """Collects the images or videos that a list names.

    The list is a CSV file whose header names the columns `file` (or `path`, `video`, `image`), `label` (or `class`) and
    `split`, or JSON lines with these keys. An empty label is an unlabelled item; in JSON a list of labels gives all of
    them, the main one first. Without splits every class is split at random, as in `load_folder`. Blank lines and lines
    that start with `#` are passed over (a CSV cell can be quoted: `"#1.jpg"`). `a.jpg`, `./a.jpg` and `b/../a.jpg` are
    one item, which may be listed again, but not with another label.

    Args:
        path: the list, in UTF-8, with or without a byte order mark.
        root: folder that the files are relative to; the list's own by default.
        kind: `"image"`, `"video"` (files, or folders of frames), or `"auto"`: as the listed files are.
        test_fraction: share of every class that is held out where the list names no splits.
        seed: of the random split.

    Returns:
        A `Collection`; what is listed and not on disk is in `missing`.

    Raises:
        DataError: if the list cannot be read or understood, contradicts itself about a label, or nothing that it names
            is on disk.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.jpg").write_bytes(b"")
        >>> _ = (folder / "list.csv").write_text("file,label,split\\na.jpg,cat,train\\nb.jpg,dog,val\\n")
        >>> collection = load_list(folder / "list.csv")
        >>> collection.names, collection.missing
        (['a.jpg'], ['b.jpg'])
    """
    if kind not in (*KINDS, "auto"):
        raise ValueError(f"`kind` must be one of {(*KINDS, 'auto')}. Received: kind={kind!r}")
    check_test_fraction(test_fraction)
    path = Path(path)
    root = path.parent if root is None else Path(root)
    notes: list[str] = []
    rows = list(_rows(path, notes))
    if not rows:
        raise DataError(f"{path} lists no files: it has no line besides its header, comments and blank lines.")
    for row in rows:
        row["source"] = find_file(root, row["file"])
        # Bytes that are no Unicode are those of a file of such a name, as `suggest` writes it, or of another encoding.
        if any(map(is_bytes, row["labels"])) or (row["source"] is None and is_bytes(row["file"])):
            read_text(path)  # says so
        row["item"] = same_item(row["file"], row["source"])
        row["file"] = normal_name(row["file"])
    rows = _without_repetitions(rows, path, notes)
    present = [(row, row["source"]) for row in rows if row["source"] is not None]
    missing = [row["file"] for row in rows if row["source"] is None]
    note_missing(len(present), missing, f"listed files of {path.name}", root, notes)
    present, kind = _of_one_kind(present, kind, path, notes)
    splits = _splits(rows, [row for row, _ in present], path)
    label_sets = [row["labels"] for row, _ in present]
    class_names = sorted({label for labels in label_sets for label in labels}, key=_natural)
    numbers = {name: number for number, name in enumerate(class_names)}
    label_sets = [tuple(numbers[label] for label in labels) for labels in label_sets]
    labels = np.array([labels[0] if labels else UNLABELLED for labels in label_sets])
    if splits is None:
        splits = random_split(labels, class_names, test_fraction, seed, notes, kind)
    note_untrained(labels, splits, class_names, notes, kind)
    return Collection(
        [source for _, source in present],
        [row["file"] for row, _ in present],
        labels,
        splits,
        class_names,
        notes,
        kind=kind,
        label_sets=label_sets if any(len(labels) > 1 for labels in label_sets) else None,
        missing=missing,
    )


def listed_files(path: str | os.PathLike) -> list[str]:
    """The names in a list, in order, each once, whether they are on disk or not.

    Args:
        path: a list as `load_list` takes it, or a text file (`.txt`) with a name a line.

    Raises:
        DataError: if it cannot be read or understood.
    """
    path = Path(path)
    if path.suffix.lower() == TEXT_EXTENSION:
        return list(dict.fromkeys(line for _, line in numbered_lines(path, "surrogateescape")))
    return list(dict.fromkeys(row["file"] for row in _rows(path, [])))


def is_list(path: str | os.PathLike) -> bool:
    """Whether a path is that of a file, which can only be a list."""
    return Path(path).is_file()


def _rows(path, notes):
    return (_json_rows if path.name.lower().endswith(JSON_EXTENSIONS) else _csv_rows)(path, notes)


def _csv_rows(path, notes):
    # A comment becomes a blank line, so that the reader's line numbers stay those of the file.
    text = re.sub(r"^[ \t]*#[^\r\n]*", "", read_text(path, "surrogateescape"), flags=re.MULTILINE)
    header_line = next((line for line in text.splitlines() if line.strip()), "")
    if is_bytes(header_line):
        read_text(path)  # says that it is not UTF-8
    delimiter = max(",;\t", key=header_line.count)
    header = columns = None
    try:
        for number, cells in csv_rows(text, delimiter, strict=True):
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if header is None:
                header, columns = cells, _columns([cell.lower() for cell in cells], path, notes)
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"Line {number} of {path} has {len(cells)} fields, the header {len(header)}; put names "
                    'with the separator in quotes ("a, b.jpg").'
                )
            row = {key: cells[position] for key, position in columns.items()}
            row["labels"] = [row["label"]] if row.get("label") else []
            yield _checked(row, number, path)
    except TextError as error:
        raise DataError(f"{path} is not valid CSV: {error}.") from error


def _columns(header, path, notes):
    """Positions of the known columns; a list without files is an error, an unknown column a note."""
    columns = {key: header.index(name) for key, names in COLUMNS.items() for name in reversed(names) if name in header}
    if "file" not in columns:
        raise DataError(
            f"The first line of {path} must name the columns, one of them {_either(COLUMNS['file'])} (then label, "
            f"split). Found: {', '.join(header) or 'nothing'}."
        )
    unused = [name for position, name in enumerate(header) if position not in columns.values()]
    if unused:
        notes.append(f"Columns of {path.name} that are not used: {', '.join(unused)}.")
    return columns


def _json_rows(path, notes):
    unused = set()
    for number, line in numbered_lines(path):
        try:
            entry = parse_json(line)
        except ValueError as error:
            raise DataError(f"Line {number} of {path} is not JSON: {error}.") from error
        if not isinstance(entry, dict):
            raise DataError(f'Line {number} of {path} must be an object such as {{"file": "a.jpg", "label": "cat"}}.')
        entry = {key.lower(): value for key, value in entry.items()}
        found = {key: next((name for name in names if name in entry), None) for key, names in COLUMNS.items()}
        unused |= set(entry) - set(found.values())
        row = {key: entry[name] for key, name in found.items() if name is not None and entry[name] is not None}
        labels = row.get("label", [])
        labels = labels if isinstance(labels, list) else [labels]
        if not all(isinstance(label, str | int) for label in labels):
            raise DataError(f"Line {number} of {path}: the label must be a text, a whole number or a list of them.")
        row["labels"] = list(dict.fromkeys(str(label).strip() for label in labels if str(label).strip()))
        if not isinstance(row.get("file", ""), str) or not isinstance(row.get("split", ""), str):
            raise DataError(f"Line {number} of {path}: the file and the split must be texts.")
        yield _checked(row, number, path)
    if unused:
        notes.append(f"Keys of {path.name} that are not used: {', '.join(sorted(unused))}.")


def _checked(row, number, path):
    if not row.get("file"):
        raise DataError(f"Line {number} of {path} names no file ({_either(COLUMNS['file'])}).")
    split = row.get("split", "").strip().lower()
    if split and split not in _SPLITS:
        raise DataError(f"Line {number} of {path}: the split must be {_either(_SPLITS)}. Found: {row['split']!r}.")
    return {"file": row["file"], "labels": row["labels"], "split": _SPLITS.get(split), "line": number}


def _without_repetitions(rows, path, notes):
    first = {}
    for row in rows:
        own = first.setdefault(row["item"], row)
        if row["labels"] != own["labels"]:
            labels = tuple(", ".join(each["labels"]) for each in (own, row))
            raise contradiction(path, row["file"], own["line"], row["line"], labels)
    repeated = [row for row in rows if first[row["item"]] is not row]
    if repeated:
        notes.append(f"{len(repeated)} lines of {path.name} repeat a file; its first line counts.")
    contrary = [row for row in repeated if row["split"] != first[row["item"]]["split"]]
    if contrary:
        notes.append(
            f"{len(contrary)} of them say another split than the first, such as line {contrary[0]['line']} "
            f"({contrary[0]['file']})."
        )
    return list(first.values())


def _of_one_kind(present, kind, path, notes):
    """What is of the wanted kind; with `"auto"` everything must be of one."""
    kinds = ["video" if is_video_file(s) or s.is_dir() else "image" if is_image(s.name) else "" for _, s in present]
    if kind == "auto":
        found = set(kinds) - {""}
        if len(found) > 1:
            raise DataError(f"{path} lists both images and videos; pass `kind`: the other one is passed over.")
        kind = found.pop() if found else "image"
    chosen = [pair for pair, its in zip(present, kinds, strict=True) if its == kind]
    if not chosen:
        raise DataError(f"Nothing that {path} lists is {'an image' if kind == 'image' else 'a video'} by its name.")
    if len(chosen) < len(present):
        notes.append(f"{len(present) - len(chosen)} listed files are not {kind}s by their names and are left out.")
    return chosen, kind


def _splits(rows, present, path):
    """The splits of the present rows, or None if the list has none; some of each is an error."""
    without = [row for row in rows if row["split"] is None]
    if len(without) == len(rows):
        return None
    if without:
        raise DataError(
            f"Line {without[0]['line']} of {path} has no split, others have one; fill it in or drop it all."
        )
    return np.array([row["split"] for row in present])


def _natural(name):
    """Numbers by value before texts by letter, so that class 10 follows class 9."""
    if not (name.isascii() and name.isdigit()):
        return (1, 0, name)
    digits = name.lstrip("0")
    return (0, len(digits), digits, name)  # as `int`, which takes no more than 4,300 digits


def _either(names):
    return ", ".join(map(repr, names))
