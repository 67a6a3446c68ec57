"""One training at a time in a run's folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from keras_fvvae.errors import RunError
from keras_fvvae.runs import files
from keras_fvvae.utils.file_locks import lock_file


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a run's folder for this training alone, and creates it; the kernel releases what a killed process held.

    Raises:
        RunError: if another training holds it, in this process or another.
    """
    path = folder / files.LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(path)
    except BlockingIOError as error:
        raise RunError(
            f"Another training is writing to {folder}: wait until it has ended, or choose another folder with --out."
        ) from error
    except OSError:
        # Not writable, or no file locks there: whoever writes says so; a finished run is only read.
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):  # Windows removes nothing that is open: it stays, and means nothing
            path.unlink(missing_ok=True)  # before the lock goes, or the next holder's file would be removed
        os.close(descriptor)


def _lock(path: Path) -> int:
    """A file descriptor that holds the lock of a file."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            lock_file(descriptor, wait=False)
            # A holder may have removed the file after it was opened here: then the lock is of nothing.
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass  # removed between the two looks: again
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
