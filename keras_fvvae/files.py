"""Writing files so that they are whole or not there."""

import errno
import hashlib
import os
import re
from pathlib import Path


def write_atomically(path, content):
    """Writes bytes beside `path` and renames them into place."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


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
