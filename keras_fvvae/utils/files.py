"""Writing files and folders so that they are whole or not there."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# How the name of what is half-written begins: hidden, and with the ending of the final name, which writers look at.
PARTIAL = ".partial-"
_HIDDEN = re.compile(re.escape(PARTIAL) + "(?:[0-9a-f]{8}-)?")
# Names of nodes and operations in messages of TensorFlow.
_TENSORFLOW = re.compile(r"\{\{.*?\}\}|\s*\[Op:.*?\]")
# Half-written files that are younger than this may belong to a process that is still writing.
LEFTOVER_SECONDS = 3600


@contextlib.contextmanager
def replacing(path: str | os.PathLike, *, folder: bool = False, unique: bool = True) -> Iterator[Path]:
    """A path beside `path` to write to: renamed to it when the block ends well, removed otherwise.

    A kill leaves it there: see `remove_leftovers`.

    Args:
        path: of the file or folder. A file is replaced; a folder must not be there yet, or be empty.
        folder: whether it is a folder, which is created.
        unique: whether each writer has a path of its own. `False` where one writes alone: the next call writes over
            what a kill left.

    Raises:
        OSError: if it cannot be created, written or renamed; it names `path`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a.txt")
        >>> with replacing(path) as partial:
        ...     _ = partial.write_text("whole")
        >>> path.read_text(), [other.name for other in path.parent.iterdir()]
        ('whole', ['a.txt'])
    """
    path = Path(path)
    partial = path.with_name(f"{PARTIAL}{uuid.uuid4().hex[:8] + '-' if unique else ''}{path.name}")
    try:
        if folder:
            partial.mkdir(parents=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        _name(error, partial, path)
        raise
    finally:
        with contextlib.suppress(OSError):  # what went wrong before says more
            if partial.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
            else:
                partial.unlink(missing_ok=True)


def _name(error, partial, path):
    """An error of writing to the hidden name becomes one of the user's; a full disk's tells no name at all."""
    if error.errno is None:
        return  # NumPy's: with a name it would tell nothing else
    named = error.filename
    if named is None:
        error.filename = str(path)
    elif isinstance(named, str | bytes | os.PathLike) and os.fsdecode(named).startswith(str(partial)):
        error.filename = f"{path}{os.fsdecode(named)[len(str(partial)) :]}"
    error.filename2 = None


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Writes bytes beside `path` and renames them into place."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_json(path: str | os.PathLike, content: Any, indent: int | None = None) -> None:
    """Writes plain data as JSON, whole or not at all."""
    write_atomically(path, json.dumps(content, indent=indent).encode())


def write_npy(path: str | os.PathLike, array: np.ndarray) -> None:
    """Writes an array, whole or not at all."""
    # Into an open file: NumPy would add the ending .npy to another name.
    import numpy as np  # here, where it is needed: the command line's help must not wait for it

    with replacing(path) as partial, open(partial, "wb") as file:
        np.save(file, array)


def remove_leftovers(paths: Iterable[Path], seconds: float = LEFTOVER_SECONDS) -> None:
    """Removes those of half-written files and folders that are too old to be of a process that is still writing.

    Args:
        paths: candidates; those that are not there (any more) are passed over.
        seconds: the age from which on nobody writes there any more.
    """
    before = time.time() - seconds
    for path in paths:
        with contextlib.suppress(OSError):  # a folder that is only read, or another process was faster
            if path.stat().st_mtime >= before:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def reason(error: Any) -> str:
    """Why an `OSError`, or an error of FFmpeg, happened, in a few words; HDF5 buries them in several lines."""
    full = os.strerror(errno.ENOSPC)
    # NumPy tells a full disk as "6144 requested and 6080 written".
    if full in str(error) or re.search(r"\d+ requested and \d+ written", str(error)):
        return full
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return _HIDDEN.sub("", _TENSORFLOW.sub("", text)).strip().splitlines()[0].rstrip(".")


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
