"""Messages that libraries print from C++, past Python's streams."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Inside, what is written to the file descriptor of standard error is dropped; exceptions are raised as ever.

    Example:
        >>> with quiet_stderr():
        ...     _ = os.write(2, b"not seen")
    """
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
