"""The long measurements start: each finds what it imports and shows its help; nothing of the tests is imported."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

from keras_fvvae.benchmarks import long

FOLDER = Path(long.__file__).parent
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py") if 'if __name__ == "__main__":' in path.read_text())


@pytest.mark.parametrize("name", PROGRAMS)
def test_shows_its_help(name, monkeypatch, capsys):
    module = importlib.import_module(f"keras_fvvae.benchmarks.long.{name}")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("usage:")


def test_imports_nothing_of_the_tests():
    nodes = [node for path in FOLDER.parent.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert len(names) > 20
    assert not [name for name in names if name and name.split(".")[0] == "tests"]


@pytest.mark.slow
def test_no_flipped_bit_is_silent(tmp_path, monkeypatch):
    from keras_fvvae.benchmarks.long.bit_flips import OUTCOMES, flip_all

    monkeypatch.setenv("KERAS_FVVAE_ZOO", "")  # which it sets
    counts = flip_all(tmp_path, 60, seed=1)
    assert {what for what, _, _ in counts} == {"run", "pack", "store"}
    assert {outcome for _, _, outcome in counts} <= set(OUTCOMES) - {"silent"}
