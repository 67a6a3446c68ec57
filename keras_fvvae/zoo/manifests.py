"""The files that describe packs: their index, their manifest, their recipe; every file is checked against these."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from keras_fvvae import __version__
from keras_fvvae.errors import RecipeError, WeightsError
from keras_fvvae.recipes import Recipe, recipe_from_yaml
from keras_fvvae.utils.files import reason, sha256
from keras_fvvae.utils.text import parse_json

FORMAT = 1
CLASSIFIER = "model.keras"
FVVAE_ONLY = "fvvae.keras"
RECIPE = "recipe.yaml"
MANIFEST = "manifest.json"
INDEX = "index.json"
_AGAIN = "Publish, copy or train it again."
# Names of entries and files become parts of paths and URLs.
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def parse_index(content: bytes, where: object, entry: str) -> list[int]:
    """Versions that the content of an `index.json` lists, newest first."""
    try:
        index = parse_json(content)
        name, versions, latest = index["entry"], sorted(map(int, index["versions"]), reverse=True), index["latest"]
        if latest != versions[0]:
            raise ValueError("the latest version is not the highest")
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise WeightsError(f"{where} is damaged: it is not an index of packs. Publish the entry again.") from error
    if name != entry:
        raise WeightsError(f"{where} lists packs of {name!r}, not of {entry!r}. Load them by that name.")
    return versions


def read_index(path: Path, entry: str) -> list[int]:
    """Versions that a file lists, as `parse_index`."""
    return parse_index(read(path), path, entry)


def parse_manifest(content: bytes, where: object, entry: str | None) -> dict[str, Any]:
    """The content of a pack's `manifest.json`; `entry` is the one it must be of, `None`: any.

    Raises:
        WeightsError: if it is damaged, of another entry or of a newer format.
    """
    try:
        manifest = parse_json(content)
        newer = manifest["format"] > FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{where} is damaged: it is not the manifest of a pack. {_AGAIN}") from error
    if newer:
        raise WeightsError(f"{where} was written by a newer keras_fvvae (format {manifest['format']}); upgrade it.")
    try:
        name, files = manifest["entry"], manifest["files"]
        whole = isinstance(manifest["version"], int) and RECIPE in files
        whole = whole and len({CLASSIFIER, FVVAE_ONLY} & files.keys()) == 1
        for file, listed in files.items():
            whole = whole and bool(PLAIN_NAME.fullmatch(file) and re.fullmatch("[0-9a-f]{64}", listed["sha256"]))
            whole = whole and isinstance(listed["size"], int)
    except (KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise WeightsError(f"{where} is damaged: it is not the manifest of a pack. {_AGAIN}")
    if entry not in (None, name):
        raise WeightsError(f"{where} is of a pack of {name!r}, not of {entry!r}. Load it by that name.")
    return manifest


def checked_manifest(folder: Path, entry: str) -> dict[str, Any]:
    """The manifest in a pack's folder, as `parse_manifest`."""
    path = folder / MANIFEST
    if not path.is_file():
        raise WeightsError(f"There are no weights in {folder}: neither a pack nor a finished run is there.")
    return parse_manifest(read(path), path, entry)


def check_file(path: Path, digest: str, size: int | None = None) -> None:
    """Raises a `WeightsError` unless a file is there, with this SHA-256 and, where known, so many bytes."""
    if not path.is_file():
        raise WeightsError(f"{path.parent} is incomplete: {path.name} is missing. {_AGAIN}")
    found = path.stat().st_size
    if size is not None and found != size:
        raise WeightsError(f"{path} has {found} bytes instead of {size}: it is truncated. {_AGAIN}")
    if sha256(path) != digest:
        raise WeightsError(f"{path} was altered after it was written: its SHA-256 has changed. {_AGAIN}")


def read_recipe(folder: Path, manifest: dict[str, Any]) -> Recipe:
    """The recipe of a pack's folder, checked by the manifest."""
    path = folder / RECIPE
    listed = manifest["files"][RECIPE]
    check_file(path, listed["sha256"], listed["size"])
    return parse_recipe(read(path), path, f" (it was written by keras_fvvae {manifest.get('keras_fvvae')})")


def parse_recipe(content: bytes, path: Path, note: str = "") -> Recipe:
    """The recipe of weights.

    Raises:
        WeightsError: if this version of the library cannot use it; `note` says more.
    """
    try:
        return recipe_from_yaml(content.decode(), str(path))
    except (RecipeError, UnicodeDecodeError) as error:
        raise WeightsError(f"The weights cannot be used with keras_fvvae {__version__}{note}: {error}") from error


def read(path: Path) -> bytes:
    """The content of a small file; a `WeightsError` says why it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {reason(error)}.") from error
