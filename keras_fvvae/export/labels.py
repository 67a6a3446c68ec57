"""The names of an export's classes, as a file that any program reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from keras_fvvae.utils.text import to_bytes

LABELS_FILE = "labels.txt"


def write_labels(folder: str | os.PathLike, class_names: Sequence[str]) -> Path:
    """Writes `labels.txt`: the class names, one a line, in the order of the scores.

    Returns:
        Its path.

    Example:
        >>> import tempfile
        >>> write_labels(tempfile.mkdtemp(), ["cat", "dog"]).read_text()
        'cat\\ndog\\n'
    """
    path = Path(folder, LABELS_FILE)
    path.write_bytes(b"".join(to_bytes(name) + b"\n" for name in one_line(class_names)))
    return path


def one_line(class_names: Sequence[str]) -> list[str]:
    """Class names without line breaks, which would shift all names after them in `labels.txt`."""
    return [" ".join(name.splitlines()) for name in class_names]
