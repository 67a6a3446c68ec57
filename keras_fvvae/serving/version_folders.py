"""Version folders: `BASE/1`, `BASE/2`, ..., named by positive numbers as TensorFlow Serving takes them."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from keras_fvvae.errors import RunError
from keras_fvvae.utils.text import printable

# int64 of TensorFlow Serving's protocol.
MAX_VERSION = 2**63 - 1
# As many digits as that number has.
_NUMBER = re.compile(r"[0-9]{1,19}")


# TensorFlow looks for a SavedModel's variables by a pattern that begins with its path.
_PATTERN = re.compile(r"[*?\[\\]")
# Addresses of other file systems; `Path` makes one slash of two.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def why_not_loadable(path: str | os.PathLike) -> str:
    """Why TensorFlow could not load a SavedModel below a folder, whatever is in it; empty if nothing speaks against it.

    Example:
        >>> why_not_loadable("/models/birds [1]")
        "TensorFlow takes '[' in a path for a pattern and finds nothing there"
    """
    text = os.fspath(path)
    if _ADDRESS.match(text):
        return "it is an address, not a folder on this machine; export to a folder and copy it there"
    whole = os.path.abspath(text)
    if found := _PATTERN.search(whole):
        return f"TensorFlow takes {found[0]!r} in a path for a pattern and finds nothing there"
    if not whole.isprintable() and printable(whole) != whole:
        return "TensorFlow takes no path that is no Unicode or holds control characters"
    return ""


def require_export_folder(directory: str | os.PathLike) -> None:
    """Refuses a folder from which no export could be loaded, or that cannot be written, before anything is computed.

    Raises:
        RunError: saying what to do.
    """
    if why := why_not_loadable(directory):
        raise RunError(f"The export folder {directory} cannot be used: {why}. Choose another.")
    folder = Path(directory)
    if folder.exists() and not folder.is_dir():
        raise RunError(f"The export folder {folder} cannot be written: it is a file.")
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        raise RunError(f"The export folder {folder} cannot be written: {os.strerror(errno.EACCES)}.")


def version_number(name: str) -> int | None:
    """The version that a text names; `None` where it is none: other digits than 0 to 9, or beyond int64.

    Example:
        >>> version_number("12"), version_number("9223372036854775808"), version_number("\\u0663")
        (12, None, None)
    """
    number = int(name) if _NUMBER.fullmatch(name) else None
    return number if number is not None and number <= MAX_VERSION else None


def version_folders(base_path: str | Path) -> dict[int, Path]:
    """Dictionary from version to folder; empty where `base_path` is no folder."""
    base = Path(base_path)
    if not base.is_dir():
        return {}
    numbered = ((version_number(path.name), path) for path in base.iterdir() if path.is_dir())
    return {number: path for number, path in numbered if number is not None}
