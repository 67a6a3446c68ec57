"""What every test of the command line shares."""

import sys

import pytest
from keras_fvvae.tools import main as tools_main


@pytest.fixture
def run_command(monkeypatch, capsys):
    """Calls `keras-fvvae ARGUMENTS`; returns exit code, standard output and standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["keras-fvvae", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            tools_main.main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call
