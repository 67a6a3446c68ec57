"""The files of an index: what they are called, their manifest, and how they are read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae import __version__
from keras_fvvae.errors import DataError
from keras_fvvae.features import DAMAGE
from keras_fvvae.utils.files import reason, sha256, write_json
from keras_fvvae.utils.text import parse_json

FORMAT = 1
MANIFEST, SETTINGS, ITEMS, VECTORS = "manifest.json", "settings.json", "items.json", "vectors.npy"
DTYPES = ("float32", "float16")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DIGEST = re.compile("[0-9a-f]{64}")
_AGAIN = "build the index again."


@dataclasses.dataclass(frozen=True)
class Items:
    """What an index knows of its items; every list has an entry for each.

    Attributes:
        names: their paths relative to the data, or other names.
        labels: their classes, `None` where there is none.
        paths: where their files were, `None` for what was no file.
        digests: SHA-256 of their files, `None` where there was no single file.
    """

    names: list[str]
    labels: list[str | None]
    paths: list[str | None]
    digests: list[str | None]

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        labels: Sequence[str | None] | None = None,
        paths: Sequence[str | None] | None = None,
        digests: Sequence[str | None] | None = None,
    ) -> Items:
        """Items of lists of one length; those that are not given hold nothing.

        Raises:
            ValueError: for lists of different lengths.
        """
        given = {"labels": labels, "paths": paths, "digests": digests}
        for name, values in given.items():
            if values is not None and len(values) != len(names):
                raise ValueError(f"`{name}` must have {len(names)} entries, one a name. Received: {len(values)}")
        rest: dict[str, list] = {
            name: [None] * len(names) if values is None else list(values) for name, values in given.items()
        }
        return cls(list(map(str, names)), rest["labels"], rest["paths"], rest["digests"])

    def __len__(self) -> int:
        return len(self.names)


def write_manifest(folder: Path) -> None:
    """Lists what lies in the folder of an index, and thereby finishes it."""
    digests = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    write_json(folder / MANIFEST, {"format": FORMAT, "keras_fvvae": __version__, "sha256": digests}, indent=2)


def check_files(folder: Path) -> set[str]:
    """Compares every file with its SHA-256; returns their names.

    Raises:
        DataError: if it is no index, is of a newer format, or was altered.
    """
    if not (folder / MANIFEST).is_file() and not (folder / VECTORS).is_file():
        raise DataError(f"{folder} is no index: make one with `keras-fvvae index RUN --data DATA --out {folder}`.")
    try:
        manifest = parse_json((folder / MANIFEST).read_bytes())
        number, digests = manifest["format"], manifest["sha256"]
        plain = all(_NAME.fullmatch(name) and _DIGEST.fullmatch(digest) for name, digest in digests.items())
        if not isinstance(number, int) or not plain or not {SETTINGS, ITEMS, VECTORS} <= digests.keys():
            raise ValueError("it is not the manifest of an index")
    except (OSError, *DAMAGE) as error:
        raise DataError(f"{folder / MANIFEST} is damaged; {_AGAIN}") from error
    if number > FORMAT:
        raise DataError(f"{folder} was written by a newer keras_fvvae (format {number}); upgrade it.")
    for name, digest in digests.items():
        try:
            found = sha256(folder / name)
        except OSError as error:
            raise DataError(f"{folder / name} cannot be read: {reason(error)}; {_AGAIN}") from error
        if found != digest:
            raise DataError(f"{folder / name} was altered after it was written: its SHA-256 has changed; {_AGAIN}")
    return set(digests)


def read_settings(folder: Path) -> dict[str, Any]:
    """What vectors depend on (`encoding`), and by what they were made (`model`); both `None` where they are not known.

    Raises:
        DataError: if the file is damaged.
    """
    try:
        settings = parse_json((folder / SETTINGS).read_bytes())
        encoding, model = settings["encoding"], settings["model"]
        known = isinstance(encoding, dict) and {"model", "kind", "views"} <= encoding.keys() and isinstance(model, str)
        known = known and encoding["kind"] in ("image", "video")
        if not known and (encoding, model) != (None, None):
            raise ValueError("the encoding is none")
    except (OSError, *DAMAGE) as error:
        raise DataError(f"{folder / SETTINGS} is damaged; {_AGAIN}") from error
    return settings


def read_items(folder: Path) -> Items:
    """What an index knows of its items.

    Raises:
        DataError: if the file is damaged.
    """
    try:
        content = parse_json((folder / ITEMS).read_bytes())
        if not isinstance(content["names"], list) or not all(isinstance(name, str) for name in content["names"]):
            raise ValueError("there are names that are no text")
        items = Items.of(**content)
        lists = (items.labels, items.paths, items.digests)
        if not all(value is None or isinstance(value, str) for values in lists for value in values):
            raise ValueError("there are entries that are no text")
    except (OSError, *DAMAGE) as error:
        raise DataError(f"{folder / ITEMS} is damaged; {_AGAIN}") from error
    return items


def read_vectors(folder: Path, count: int) -> np.ndarray:
    """The vectors of so many items as a memory map.

    Raises:
        DataError: if they are damaged, or others.
    """
    try:
        vectors = np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False)
        if vectors.dtype.name not in DTYPES or vectors.ndim != 2 or not vectors.flags.c_contiguous:
            raise ValueError(f"they are {vectors.dtype} {vectors.shape}")
        if len(vectors) != count or not vectors.shape[1]:
            raise ValueError(f"there are {len(vectors)} of {count}")
    except (OSError, *DAMAGE) as error:
        raise DataError(f"{folder / VECTORS} is damaged ({error}); {_AGAIN}") from error
    return vectors
