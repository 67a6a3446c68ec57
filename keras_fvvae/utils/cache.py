"""Where the library keeps what it downloads and computes once."""

from __future__ import annotations

import os
from pathlib import Path

from keras_fvvae.errors import KerasFVVAEError

CACHE_VARIABLE = "XDG_CACHE_HOME"


def known_cache_folder() -> Path | None:
    """`$XDG_CACHE_HOME/keras_fvvae`, else `~/.cache/keras_fvvae`; `None` where neither is known.

    In it: `zoo`, what was published on this machine; `mirrors`, what came from `$KERAS_FVVAE_ZOO`; `downloads`, what
    came from other addresses.

    A process may have no home: a container's user without an entry in the list of users, and without `HOME`.
    """
    # A relative path is to be ignored (XDG Base Directory Specification).
    for base in (os.environ.get(CACHE_VARIABLE) or "", os.path.expanduser("~/.cache")):
        if os.path.isabs(base):
            return Path(base) / "keras_fvvae"
    return None


def cache_folder() -> Path:
    """The same, for who cannot do without.

    Raises:
        KerasFVVAEError: if it is not known.
    """
    folder = known_cache_folder()
    if folder is None:
        raise KerasFVVAEError(
            f"There is no folder to keep files in: this user has no home directory. Set {CACHE_VARIABLE} (or HOME) to "
            f"the absolute path of a folder that can be written."
        )
    return folder


def activations_folder(given: str | os.PathLike | None = None) -> Path:
    """The folder of cached activations: the given one, else `activations` in `cache_folder()`."""
    return Path(given) if given else cache_folder() / "activations"
