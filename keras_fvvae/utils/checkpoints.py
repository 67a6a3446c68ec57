"""Partial results of long computations on disk, so that an interruption costs minutes."""

import hashlib
import os
import time
import zipfile
from pathlib import Path

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import reason

# What an interruption costs at most, in seconds. Writing the Gram matrix of 9,537 vectors (0.73 GB) takes about two.
CHECKPOINT_SECONDS = 60


class Checkpoint:
    """Named arrays in one file, written beside and renamed, found again by what they depend on.

    A file is `directory/<name>-<digest of the key>.npz`: other data or settings never meet it. A damaged file (NumPy's
    archives carry CRC-32) counts as missing.

    Args:
        directory: folder, created if missing; `None` keeps nothing.
        name: of the computation.
        key: what its result depends on, with a `repr` that says all.

    Raises:
        DataError: if the folder cannot be created.

    Example:
        >>> import tempfile
        >>> checkpoint = Checkpoint(tempfile.mkdtemp(), "sums", ("data.npy", 3))
        >>> checkpoint.save(sums=np.arange(3))
        >>> checkpoint.load()["sums"].tolist()
        [0, 1, 2]
    """

    def __init__(self, directory, name, key):
        self.path = None
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
    def is_due(self):
        """Whether there is a folder and the last save is long enough ago."""
        return self.path is not None and time.monotonic() - self._saved_at >= CHECKPOINT_SECONDS

    def load(self):
        """The saved arrays by name; empty if there are none, or if they are damaged."""
        try:
            with np.load(self.path) as content:
                return dict(content)
        except (TypeError, OSError, ValueError, EOFError, zipfile.BadZipFile):
            return {}

    def save(self, **arrays):
        """Writes arrays in place of those before.

        Raises:
            DataError: if the disk does not take them; what was written before stays valid.
        """
        if self.path is None:
            return
        # Not named after the process: what a kill left half-written is overwritten by the next.
        partial = self.path.with_name(f".{self.path.name}.partial")
        try:
            with open(partial, "wb") as file:
                np.savez(file, **arrays)
            os.replace(partial, self.path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise self._error(error) from error
        self._saved_at = time.monotonic()

    def _error(self, error):
        return DataError(f"The checkpoint {self.path} cannot be written: {reason(error)}; free space or give another.")
