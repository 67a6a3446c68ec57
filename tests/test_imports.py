"""Imports go to lower levels only, and every part of the package has a level (`tests/support/parts.py`)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import keras_fvvae
from tests.support.parts import CONTRIBUTING, PARTS, with_table

PACKAGE = Path(keras_fvvae.__file__).parent
ROOT = PACKAGE.parent


def _sources():
    """Pairs of a module's part of the package and its file; the command line lives in the folder `tools`."""
    files = [(path.relative_to(PACKAGE).parts, path) for path in PACKAGE.rglob("*.py")]
    tools = [(("tools", *path.relative_to(ROOT / "tools").parts), path) for path in (ROOT / "tools").rglob("*.py")]
    return [(_part(parts), path) for parts, path in [*files, *tools] if parts != ("__init__.py",)]


def _part(names):
    """The part that a module belongs to; a folder of a part can have a level of its own."""
    longer = ".".join(names[:2])
    return longer if longer in PARTS else names[0].removesuffix(".py")


def _imported_parts(path):
    """Parts of the package that a file imports, at its top or inside of functions."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        parts |= {_part(name.split(".")[1:]) for name in names if name.startswith("keras_fvvae.")}
    return parts - {"__version__"}


@pytest.mark.parametrize(("part", "path"), _sources(), ids=lambda value: getattr(value, "stem", value))
def test_imports_go_down(part, path):
    assert part in PARTS, f"{part} has no level: add it to tests/support/parts.py"
    for imported in _imported_parts(path) - {part}:
        assert imported in PARTS, f"{path} imports {imported}, which has no level"
        assert PARTS[imported][0] < PARTS[part][0], f"{path} imports {imported}"


def test_the_test_reads_what_it_should():
    assert {part for part, _ in _sources()} == set(PARTS)
    assert "layers" in _imported_parts(PACKAGE / "models" / "fisher_encoder.py")
    assert "models" in _imported_parts(PACKAGE / "zoo" / "loading.py")


def test_contributing_has_the_table():
    text = CONTRIBUTING.read_text(encoding="utf-8")
    assert text == with_table(text), "run `python -m tests.support.parts`"


def _run(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_importing_the_package_does_not_import_tensorflow():
    code = "import sys, keras_fvvae; print(*{name.split('.')[0] for name in sys.modules})"
    assert not {"tensorflow", "keras", "sklearn", "numpy"} & set(_run(code))


def test_submodules_are_imported_at_first_use():
    code = "import sys, keras_fvvae; keras_fvvae.errors.DataError; print(*sys.modules)"
    modules = _run(code)
    assert "keras_fvvae.errors" in modules
    assert "tensorflow" not in modules


def test_every_submodule_is_there():
    for name in keras_fvvae.__all__:
        assert getattr(keras_fvvae, name)
    assert set(keras_fvvae.__all__) <= set(dir(keras_fvvae))


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="module 'keras_fvvae' has no attribute 'modells'"):
        _ = keras_fvvae.modells
