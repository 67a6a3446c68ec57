"""Commands in a fresh process: what they print, what they import, how long they take."""

import contextlib
import io
import json
import subprocess
import sys
import time
from typing import NamedTuple


class Called(NamedTuple):
    """Exit code, names of all packages that were imported until then, seconds of CPU time, and what was printed."""

    code: int
    modules: list
    seconds: float
    output: str
    errors: str


def call_all(commands):
    """Calls commands one after the other in one new process; their imports add up.

    Args:
        commands: lists of words, without the program's name.

    Returns:
        List of `Called`.
    """
    result = subprocess.run(
        [sys.executable, "-m", __name__], input=json.dumps(commands), capture_output=True, text=True, check=True
    )
    return [Called(*fields) for fields in json.loads(result.stdout)]


def _call(words):
    from keras_fvvae.tools.main import main

    sys.argv = ["keras-fvvae", *words]
    output, errors, code = io.StringIO(), io.StringIO(), None
    start = time.process_time()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    seconds = time.process_time() - start
    modules = sorted({name.split(".")[0] for name in sys.modules})
    return Called(code or 0, modules, seconds, output.getvalue(), errors.getvalue())


if __name__ == "__main__":
    called = [_call(words) for words in json.load(sys.stdin)]
    print(json.dumps(called))
