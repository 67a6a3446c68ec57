"""Version folders: `BASE/1`, `BASE/2`, ..., named by positive numbers as TensorFlow Serving takes them."""

from __future__ import annotations

import re
from pathlib import Path

# int64 of TensorFlow Serving's protocol.
MAX_VERSION = 2**63 - 1
# As many digits as that number has.
_NUMBER = re.compile(r"[0-9]{1,19}")


def version_number(name: str) -> int | None:
    """The version that a text names; `None` where it is none: other digits than 0 to 9, or beyond int64.

    Example:
        >>> version_number("12"), version_number("9223372036854775808"), version_number("\\u0663")
        (12, None, None)
    """
    number = int(name) if _NUMBER.fullmatch(name) else None
    return number if number is not None and number <= MAX_VERSION else None


def version_folders(base_path: str | Path) -> dict[int, Path]:
    """Dictionary from version to folder; empty where `base_path` is no folder."""
    base = Path(base_path)
    if not base.is_dir():
        return {}
    numbered = ((version_number(path.name), path) for path in base.iterdir() if path.is_dir())
    return {number: path for number, path in numbered if number is not None}
