"""HDF5 files on a disk that becomes full: HDF5 itself prints many lines then, and can crash the process at its exit."""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py
    import keras

# What a file of weights takes beside them: for itself, and for each. Seen: 1.5 to 7.7 kB for each, most where few are.
_FILE_BYTES, _WEIGHT_BYTES = 65_536, 4096


def save_weights(model: keras.Model, path: Path) -> None:
    """`model.save_weights` of a model and its optimizer, where there is room for them.

    Args:
        model: built.
        path: ends with `.weights.h5`; replaced.

    Raises:
        OSError: if there is no room, before HDF5 begins to write.

    Example:
        >>> import keras, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.weights.h5")
        >>> save_weights(keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)]), path)
        >>> path.stat().st_size > 8 * 4
        True
    """
    optimizer = getattr(model, "optimizer", None)
    weights = [*model.variables, *(optimizer.variables if optimizer else ())]
    size = sum(math.prod(weight.shape) * (8 if weight.dtype.endswith("64") else 4) for weight in weights)
    _require_room(path, _FILE_BYTES + _WEIGHT_BYTES * len(weights) + size)
    model.save_weights(path, overwrite=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to write to.

    Raises:
        OSError: at the end of the block, if not all could be written.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.h5")
        >>> with writing(path) as file:
        ...     file["numbers"] = [1, 2]
        >>> path.stat().st_size > 0
        True
    """
    import h5py  # here: the command line's help must not wait for it

    with _Patient(path, "w+") as target:
        try:
            with h5py.File(target, "w") as file:
                yield file
        finally:  # what was read back of what could not be written may have failed otherwise
            if target.error:
                raise target.error


class _Patient(io.FileIO):
    """A file that keeps its first error of writing for the one who asks, and goes on as if there had been none."""

    error: OSError | None = None

    def write(self, content: Any) -> int:
        size = memoryview(content).nbytes
        try:
            written = super().write(content)
        except OSError as error:
            self.error = self.error or error
        else:
            if written != size:  # what is left of a disk; the next call would have failed
                self.error = self.error or _full(self.name)
        return size


def _require_room(path, size):
    """Takes the room for a moment: quotas and limits count too, which the free space of a disk does not tell."""
    try:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except AttributeError:  # not of this system
        if shutil.disk_usage(path.parent).free < size:
            raise _full(path) from None
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # not of this file system
            raise
    finally:
        path.unlink(missing_ok=True)


def _full(path):
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
