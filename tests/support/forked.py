"""Processes of their own for tests, forked from a server that has imported TensorFlow: the import takes most of a test.

Nothing has been computed in them: devices, strategies and random numbers are theirs to set.
"""

import multiprocessing
import os
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.support.strategy_worker", "tests.support.mirrored_training"])


def start(function, *arguments, stem, environment=None):
    """A started process that calls a module's function; its output and errors are in `stem.out` and `stem.err`."""
    process = _CONTEXT.Process(target=_call, args=(function, arguments, stem, environment or {}))
    process.start()
    return process


def end(process, stem, timeout):
    """Its exit code (minus the signal's number if one killed it), output and errors, once it has ended."""
    process.join(timeout)
    return process.exitcode, *(Path(f"{stem}.{name}").read_text() for name in ("out", "err"))


def _call(function, arguments, stem, environment):
    os.environ.update(environment)
    for descriptor, name in enumerate(("out", "err"), start=1):
        with open(f"{stem}.{name}", "wb") as file:
            os.dup2(file.fileno(), descriptor)
    function(*arguments)
