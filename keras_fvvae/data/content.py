"""Whether two items are the same, whatever their files are called."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from keras_fvvae.data.readers.regular_file import require_regular

CHUNK_BYTES = 2**20


def content_digest(source: str | os.PathLike | np.ndarray) -> str:
    """SHA-256 of a file's content, of an array's, or of all files of a folder of frames, read a piece at a time.

    Raises:
        DataError: if it is a named pipe or a device, which would be read for ever; without the path.
        OSError: if a file cannot be read.

    Example:
        >>> content_digest(np.zeros(3, "uint8"))[:8]
        '709e80c8'
    """
    if isinstance(source, np.ndarray):
        return hashlib.sha256(source.tobytes()).hexdigest()
    path = Path(source)
    digest = hashlib.sha256()
    for part in sorted(filter(Path.is_file, path.iterdir())) if path.is_dir() else [path]:
        require_regular(part)
        with open(part, "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()
