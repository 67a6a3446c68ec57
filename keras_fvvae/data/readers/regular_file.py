"""Reading what lies in a data folder: regular files alone, as a named pipe would be waited for without end."""

import os
import stat
from pathlib import Path

from keras_fvvae.errors import DataError

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def require_regular(path: str | os.PathLike) -> None:
    """Refuses what only looks like a file.

    Args:
        path: of a file; symbolic links are followed.

    Raises:
        DataError: if it is a named pipe, a socket or a device; without the path.
        OSError: if there is nothing.
    """
    kind = stat.S_IFMT(os.stat(path).st_mode)
    if kind in _KINDS:
        raise DataError(f"it is {_KINDS[kind]}, not a file")


def read_regular(path: str | os.PathLike) -> bytes:
    """The content of a file.

    Raises:
        DataError: as `require_regular`.
        OSError: if it cannot be read.
    """
    require_regular(path)
    return Path(path).read_bytes()
