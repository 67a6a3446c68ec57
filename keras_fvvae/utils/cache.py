"""Where the library keeps what it downloads and computes once."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/keras_fvvae`, else `~/.cache/keras_fvvae`.

    In it: `zoo`, what was published on this machine; `mirrors`, what came from `$KERAS_FVVAE_ZOO`; `downloads`, what
    came from other addresses.
    """
    base = os.environ.get("XDG_CACHE_HOME") or ""
    # A relative path is to be ignored (XDG Base Directory Specification).
    return (Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()) / "keras_fvvae"
