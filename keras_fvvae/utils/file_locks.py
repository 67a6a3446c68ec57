"""Locks on open files, which the system releases when their process ends, on Linux, macOS and Windows."""

from __future__ import annotations

import os
import time

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

# Windows locks bytes, against reading too: one that no file has.
_BEYOND = 2**31 - 2
# It has no waiting of its own; seconds between two attempts.
_POLL = 0.1


def lock_file(descriptor: int, *, wait: bool) -> None:
    """Takes the lock of an open file; closing the file gives it back.

    Args:
        descriptor: of a file that is open for writing.
        wait: until another process has given it back.

    Raises:
        BlockingIOError: if another holds it, and it is not waited for.
        OSError: if there are no locks on its file system.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryFile() as file:
        ...     lock_file(file.fileno(), wait=False)
    """
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        while True:
            os.lseek(descriptor, _BEYOND, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
                return
            except PermissionError as error:  # another holds it
                if not wait:
                    raise BlockingIOError(*error.args) from error
            time.sleep(_POLL)
    finally:
        os.lseek(descriptor, position, os.SEEK_SET)
