"""Which files a run was trained on: what a model says of these tells nothing about new ones."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path, PurePath

from keras_fvvae.data.content import content_digest
from keras_fvvae.errors import DataError
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.utils.text import normal_name

CONTENT, BY_PATH = "content", "path"


class SeenItems:
    """The training items of a run, by their content and by their names.

    Args:
        digests: SHA-256 of their contents; empty for runs that did not note them (0.1, and 0.2 before this was there).
        names: their names, relative to the data folder. They are compared only without digests, and only where they
            have a folder, such as `cat/1.jpg`: `1.jpg` alone can be anything.

    Example:
        >>> SeenItems([], ["cat/1.jpg"]).how("/data/photos/cat/1.jpg"), SeenItems([], ["1.jpg"]).how("/data/1.jpg")
        ('path', '')
    """

    def __init__(self, digests: Collection[str], names: Collection[str]) -> None:
        self._digests = set(digests)
        self._names = {normal_name(PurePath(name).as_posix()) for name in names}
        self._depths = sorted({len(PurePath(name).parts) for name in self._names} - {1})

    @classmethod
    def of_run(cls, run: RunFolder) -> SeenItems:
        """Those of an opened run.

        Raises:
            RunError: if a file of it is damaged.
        """
        return cls(run.training_digests(), run.training_names())

    def how(self, file: str | os.PathLike) -> str:
        """How a file is known to be a training item: by `"content"`, by `"path"` (its last folders and name, which may
        be another's too), or not, `""`."""
        if self._digests:
            try:
                return CONTENT if content_digest(file) in self._digests else ""
            except (OSError, DataError):
                return ""  # who reads it says why
        parts = Path(os.path.abspath(file)).parts
        return BY_PATH if any("/".join(parts[-depth:]) in self._names for depth in self._depths) else ""
