"""A click command called from Python, as the shell would."""

from __future__ import annotations

from typing import Any

import click


def call_command(command: click.Command, *words: Any) -> None:
    """Runs a command on words.

    Raises:
        RuntimeError: if it ends with an exit code other than 0.
    """
    try:
        command([str(word) for word in words], standalone_mode=False)
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"exit code {end.code}") from end
