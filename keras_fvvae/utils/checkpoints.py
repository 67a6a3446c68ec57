"""Partial results of long computations on disk, so that an interruption costs minutes."""

from __future__ import annotations

import hashlib
import os
import struct
import time
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import reason, replacing

# What an interruption costs at most, in seconds. Writing the Gram matrix of 9,537 vectors (0.73 GB) takes about two.
CHECKPOINT_SECONDS = 60
# Name of the array that holds the SHA-256 of the others.
DIGEST = "sha256"
# What NumPy's and Python's readers of archives raise for one with changed bits.
DAMAGE: tuple[type[Exception], ...]
DAMAGE = (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, MemoryError, SyntaxError, AttributeError)
DAMAGE += (struct.error, zipfile.BadZipFile, zlib.error)


class Checkpoint:
    """Named arrays in one file, written beside and renamed, found again by what they depend on.

    A file is `directory/<name>-<digest of the key>.npz`: other data or settings never meet it. It holds a SHA-256 of
    its arrays; a damaged file counts as missing, with a warning of one line.

    Args:
        directory: folder, created if missing; `None` keeps nothing.
        name: of the computation.
        key: what its result depends on, with a `repr` that says all.
        seconds: after which the next save is due.

    Attributes:
        path: the file; `None` without a folder.

    Raises:
        DataError: if the folder cannot be created.

    Example:
        >>> import tempfile
        >>> checkpoint = Checkpoint(tempfile.mkdtemp(), "sums", ("data.npy", 3))
        >>> checkpoint.save(sums=np.arange(3))
        >>> checkpoint.load()["sums"].tolist()
        [0, 1, 2]
    """

    def __init__(
        self, directory: str | os.PathLike | None, name: str, key: object, seconds: float = CHECKPOINT_SECONDS
    ) -> None:
        self.path: Path | None = None
        self.seconds = seconds
        self._saved_at = time.monotonic()
        if directory is None:
            return
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        self.path = Path(directory) / f"{name}-{digest}.npz"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._error(error) from error

    @property
    def is_due(self) -> bool:
        """Whether there is a folder and the last save is long enough ago."""
        return self.path is not None and time.monotonic() - self._saved_at >= self.seconds

    def load(self) -> dict[str, np.ndarray]:
        """The saved arrays by name; empty if there are none, or if they are damaged."""
        if self.path is None or not self.path.exists():
            return {}
        try:
            with np.load(self.path) as content:
                arrays = dict(content)
            if arrays.pop(DIGEST).tobytes() == _digest(arrays):
                return arrays
        except DAMAGE:
            pass
        warnings.warn(f"The checkpoint {self.path} is damaged; its part is computed anew.", stacklevel=2)
        return {}

    def save(self, **arrays: np.ndarray) -> None:
        """Writes arrays in place of those before.

        Raises:
            DataError: if the disk does not take them; what was written before stays valid.
        """
        if self.path is None:
            return
        content: dict[str, Any] = {**arrays, DIGEST: np.frombuffer(_digest(arrays), np.uint8)}
        try:
            with replacing(self.path, unique=False) as partial, open(partial, "wb") as file:
                np.savez(file, **content)
        except OSError as error:
            raise self._error(error) from error
        self._saved_at = time.monotonic()

    def _error(self, error):
        return DataError(f"The checkpoint {self.path} cannot be written: {reason(error)}; free space or give another.")


def _digest(arrays):
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        # The Gram matrix lies in Fortran order: its transpose needs no copy.
        digest.update(array.T.data if array.flags.f_contiguous else np.ascontiguousarray(array).data)
    return digest.digest()
