"""Imports point one way: ops -> layers -> models -> (zoo, export, tasks) -> tools (STYLE: Code, 8)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import keras_fvvae

PACKAGE = Path(keras_fvvae.__file__).parent
ROOT = PACKAGE.parent

# Modules may import modules of a lower number, and of their own package. Unlisted modules are helpers: they may be
# imported by all, and import nothing but helpers.
LEVELS = {
    "ops": 1,
    "layers": 2,
    "positions": 2,
    "explanations": 3,
    "backbones": 3,
    "models": 3,
    "representations": 3,
    "building": 4,
    "encoders": 4,
    "endpoints": 4,
    "zoo": 5,
    "export": 5,
    "serving": 5,
    "release": 6,
    "tasks": 6,
    "distributed": 7,
    "benchmarking": 7,
    "experiments": 7,
    "tools": 8,
}
HIGHEST = max(LEVELS.values())
KNOW_NOTHING_OF_MODELS = ("data", "features", "metrics", "statistics", "svm", "recipes", "optimizers", "ops", "layers")


def _sources():
    """Pairs of a module's part of the package and its file; the command line lives in the folder `tools`."""
    files = [(path.relative_to(PACKAGE).parts, path) for path in PACKAGE.rglob("*.py")]
    tools = [(("tools", *path.relative_to(ROOT / "tools").parts), path) for path in (ROOT / "tools").glob("*.py")]
    return [(parts[0].removesuffix(".py"), path) for parts, path in [*files, *tools] if parts != ("__init__.py",)]


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
        parts |= {name.split(".")[1] for name in names if name.startswith("keras_fvvae.")}
    return parts - {"__version__"}


def _level(part):
    return LEVELS.get(part, 0)


@pytest.mark.parametrize(("part", "path"), _sources(), ids=lambda value: getattr(value, "stem", value))
def test_imports_point_one_way(part, path):
    for imported in _imported_parts(path) - {part}:
        assert _level(imported) < _level(part) or _level(imported) == 0, f"{path} imports {imported}"


@pytest.mark.parametrize("part", KNOW_NOTHING_OF_MODELS)
def test_what_knows_nothing_of_models(part):
    files = [path for name, path in _sources() if name == part]
    assert files
    for path in files:
        assert not _imported_parts(path) & {"models", "zoo", "tasks", "export", "tools", "release"}, path


def test_the_test_reads_what_it_should():
    parts = {part for part, _ in _sources()}
    assert set(LEVELS) <= parts
    assert "layers" in _imported_parts(PACKAGE / "models" / "nested.py") | _imported_parts(PACKAGE / "zoo.py")
    assert "models" in _imported_parts(PACKAGE / "zoo.py")


def test_no_helper_imports_a_level_above():
    """Helpers reach every level: `progress` and `errors`, for example, import nothing of the package."""
    for part in ("errors", "files", "progress", "metrics", "statistics"):
        (path,) = [path for name, path in _sources() if name == part]
        assert all(_level(imported) == 0 for imported in _imported_parts(path)), path


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
