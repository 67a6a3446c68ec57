"""Writing files so that they are whole or not there."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import time
from pathlib import Path

# Half-written files that are younger than this may belong to a process that is still writing.
LEFTOVER_SECONDS = 3600


def write_atomically(path, content):
    """Writes bytes beside `path` and renames them into place."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def remove_leftovers(paths):
    """Removes those of half-written files and folders that are too old to be of a process that is still writing."""
    before = time.time() - LEFTOVER_SECONDS
    for path in paths:
        with contextlib.suppress(OSError):  # a folder that is only read, or another process was faster
            if path.stat().st_mtime >= before:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def reason(error):
    """Why an `OSError` happened, in a few words; HDF5 buries them in several lines."""
    full = os.strerror(errno.ENOSPC)
    # NumPy tells a full disk as "6144 requested and 6080 written".
    if full in str(error) or re.search(r"\d+ requested and \d+ written", str(error)):
        return full
    return (error.strerror or str(error) or type(error).__name__).splitlines()[0]


def sha256(path):
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
