"""The command line of this process, as a reader of results would repeat it."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

COMMAND = "keras-fvvae"
# Names and passwords in URLs: reports are passed on.
_CREDENTIALS = re.compile(r"://[^/@\s]+@")
# What stands first where Python was not started by a file of the user's.
_NO_FILE = ("", "-", "-c", "ipykernel_launcher.py")


def called_command(words: Sequence[str] | None = None) -> str:
    """The command line, quoted for a shell; empty in an interactive session or a notebook.

    Args:
        words: program and arguments. Default: those of this process.

    Example:
        >>> called_command(["/usr/bin/keras-fvvae", "train", "--data", "my photos"])
        "keras-fvvae train --data 'my photos'"
        >>> called_command(["work/fit.py", "https://me:secret@host/x"]), called_command(["-c"])
        ('python work/fit.py https://***@host/x', '')
    """
    program, *arguments = sys.argv if words is None else words
    path = Path(program)
    if program in _NO_FILE or path.name in _NO_FILE:
        return ""
    if path.name == "__main__.py" and path.parent.name == "keras_fvvae":
        start = [COMMAND]
    elif path.suffix == ".py":
        start = ["python", program]
    else:
        start = [path.stem if path.suffix == ".exe" else path.name]
    return _CREDENTIALS.sub("://***@", shlex.join([*start, *arguments]))
