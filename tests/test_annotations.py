"""Every public function and method says what it takes and gives: annotations of all arguments and of the result."""

import ast
from pathlib import Path

import pytest

import keras_fvvae

PACKAGE = Path(keras_fvvae.__file__).parent
TOOLS = PACKAGE.parent / "tools"


def _modules():
    """Pairs of a part of the package and a module of it; names that begin with `_` are private."""
    files = [(path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path) for path in PACKAGE.rglob("*.py")]
    files += [("tools", path) for path in TOOLS.rglob("*.py")]
    return [(part, path) for part, path in sorted(files) if not path.stem.startswith("_") or path.stem == "__init__"]


def _public_functions(tree):
    """Functions, and methods of classes, whose names do not begin with `_`; the constructors too."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                is_method = isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
                if is_method and (method.name == "__init__" or not method.name.startswith("_")):
                    yield f"{node.name}.{method.name}", method


def _missing(name, function):
    """What lacks an annotation, in words."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    static = any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in function.decorator_list)
    every = every[1:] if "." in name and not static else every
    lacking = [f"{name}: `{one.arg}`" for one in every if one is not None and one.annotation is None]
    # A constructor gives nothing.
    wants_result = function.returns is None and not name.endswith(".__init__")
    return lacking + ([f"{name}: the result"] if wants_result else [])


def _unannotated(path):
    functions = _public_functions(ast.parse(path.read_text(encoding="utf-8")))
    return [text for name, function in functions for text in _missing(name, function)]


@pytest.mark.parametrize(("part", "path"), _modules(), ids=lambda value: getattr(value, "stem", value))
def test_public_functions_are_annotated(part, path):
    assert _unannotated(path) == []


def test_what_counts_as_missing():
    tree = ast.parse(
        "def f(a: int, b, *c, d=1, **e): ...\n"
        "def _private(a): ...\n"
        "class A:\n"
        "    def __init__(self, a): ...\n"
        "    def m(self) -> int: ...\n"
        "    @staticmethod\n"
        "    def s(a) -> int: ...\n"
        "    def _m(self, a): ...\n"
    )
    found = [text for name, function in _public_functions(tree) for text in _missing(name, function)]
    assert found == ["f: `b`", "f: `d`", "f: `c`", "f: `e`", "f: the result", "A.__init__: `a`", "A.s: `a`"]
