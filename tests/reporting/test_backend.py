"""Matplotlib's backend: files without windows by default, and the caller's where there is one."""

import os
import subprocess
import sys

import pytest

AFTER = "import keras_fvvae.reporting.figures, matplotlib; print(matplotlib.get_backend().lower())"


@pytest.mark.parametrize(
    ("before", "variables", "backend"),
    [
        ("", {}, "agg"),
        ("", {"MPLBACKEND": "svg"}, "svg"),  # as a notebook's kernel sets it
        ("import matplotlib; matplotlib.use('pdf'); import matplotlib.pyplot; ", {}, "pdf"),
    ],
)
def test_backend(before, variables, backend):
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"} | variables
    command = [sys.executable, "-c", before + AFTER]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [backend]
