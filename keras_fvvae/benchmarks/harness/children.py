"""Functions in processes of their own: a crash costs one of them, and the peak of memory is theirs alone."""

import dataclasses
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


@dataclasses.dataclass
class Outcome:
    """What became of a call.

    Attributes:
        value: what the function returned; `None` if it failed.
        peak_mb: largest resident memory of the process in MiB; `None` if it failed.
        seconds: from its start to its end, imports included.
        reason: why it failed, or "".
    """

    value: Any
    peak_mb: float | None
    seconds: float
    reason: str = ""


def call_in_child(function: str, arguments: dict, log: str | Path | None = None) -> Outcome:
    """Calls a function in a fresh Python process, on TensorFlow, and waits.

    Args:
        function: `"module:name"`; it takes and returns what JSON can hold.
        arguments: dictionary of keyword arguments.
        log: file for what the process prints; default: it is dropped.

    Returns:
        An `Outcome`.

    Example:
        >>> call_in_child("os:fspath", {"path": "runs"}).value
        'runs'
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        call, result, text = (Path(folder, name) for name in ("call.json", "result.json", "log.txt"))
        call.write_text(json.dumps([function, arguments]))
        # Peers' OpenMP threads that spin while they wait take the cores from whoever is timed, their own next call too:
        # they make VLFeat's VLAD several times as slow.
        environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
        environment |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        with open(text, "wb") as output:
            process = subprocess.Popen(
                # -P: a checkout in the working directory is not taken for the installed package.
                [sys.executable, "-P", "-m", __name__, str(call), str(result)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )
            try:
                code = process.wait()
            except BaseException:  # Ctrl-C above all: nobody waits for the result any more
                process.kill()
                process.wait()
                raise
        seconds, lines = time.perf_counter() - start, text.read_text(errors="replace").splitlines()
        if log is not None:
            Path(log).write_text("\n".join(lines) + "\n")
        if code == 0:
            return Outcome(**json.loads(result.read_text()), seconds=seconds)
        return Outcome(None, None, seconds, _reason(code, lines))


def _reason(code, lines):
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"
    return next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {code}")


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process so far, in MiB; `None` on Windows."""
    try:
        # Not `getrusage`, whose maximum starts at the parent's memory at the time of the fork.
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        try:
            import resource
        except ImportError:
            return None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def _main(call, result):
    function, arguments = json.loads(Path(call).read_text())
    module, name = function.split(":")
    value = getattr(importlib.import_module(module), name)(**arguments)
    Path(result).write_text(json.dumps({"value": value, "peak_mb": peak_memory_mb()}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
