"""Programs that run without this library: in a process of their own, with arrays in and arrays out."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from keras_fvvae.errors import RunError


def run_isolated(
    program: Iterable[object],
    arrays: Mapping[str, np.ndarray],
    failure: Callable[[str], str],
    further: Iterable[object] = (),
) -> dict[str, np.ndarray]:
    """What a Python program that reads one `.npz` file and writes another makes of arrays.

    Args:
        program: arguments of `python -I`: a file, or `-c` and code, and the program's own first arguments. The paths of
            the file to read and of that to write follow.
        arrays: what it reads.
        failure: from the program's last line of errors to the sentence of the exception.
        further: arguments after the paths.

    Returns:
        Dictionary of the arrays that it wrote.

    Raises:
        RunError: if the process fails.

    Example:
        >>> code = "import sys, numpy; numpy.savez(sys.argv[2], twice=2 * numpy.load(sys.argv[1])['x'])"
        >>> run_isolated(["-c", code], {"x": np.arange(3)}, "It failed: {}".format)["twice"]
        array([0, 2, 4])
    """
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder, "inputs.npz"), Path(folder, "outputs.npz")
        np.savez(given, **arrays)  # type: ignore[arg-type]  # NumPy's stubs count its own option among them
        command = list(map(str, [sys.executable, "-I", *program, given, result, *further]))
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:
            raise RunError(failure((process.stderr.strip().splitlines() or [f"exit status {process.returncode}"])[-1]))
        return dict(np.load(result))
