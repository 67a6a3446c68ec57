"""Pages of the reference, one a public part: what `__all__` names, in its order, from the docstrings.

The package is read, not imported: names and where they are defined stand in its sources.
"""

import ast

# Public beside the parts that `keras_fvvae.__all__` names.
MORE = ("trajectories",)


def pages(root):
    """Markdown by address: the list of parts, and a page for each."""
    package = root / "keras_fvvae"
    parts = sorted((*_literal(_tree(package / "__init__.py"), "_PARTS"), *MORE))
    made = {f"reference/{part}.md": _page(package, part) for part in parts}
    rows = [f"| [`keras_fvvae.{part}`]({part}.md) | {_summary(package, part)} |" for part in parts]
    made["reference/index.md"] = "\n".join(
        [
            "# Reference",
            "",
            "The public parts of the package, from their docstrings; the examples in them are run by the test suite.",
            "`FVVAEClassifier` and `FisherVectorTransformer` (of [`estimators`](estimators.md)) and `load` (of",
            "[`zoo`](zoo.md)) are also names of `keras_fvvae` itself.",
            "",
            "| part | holds |",
            "| --- | --- |",
            *rows,
            "",
        ]
    )
    return made


def _page(package, part):
    if (package / f"{part}.py").is_file():
        return f"# keras_fvvae.{part}\n\n{_directive(f'keras_fvvae.{part}', heading=None)}"
    tree = _tree(package / part / "__init__.py")
    names = _literal(tree, "__all__")
    lines = [f"# keras_fvvae.{part}", "", *ast.get_docstring(tree).splitlines(), ""]
    if names is None:  # modules of functions
        modules = sorted(path.stem for path in (package / part).glob("*.py") if not path.stem.startswith("_"))
        names = [f"{module}.{name}" for module in modules for name in _functions(package / part / f"{module}.py")]
        lines += _contents([(name, f"keras_fvvae.{part}.{name}") for name in names], package)
        for module in modules:
            lines += [f"## {part}.{module}", "", _directive(f"keras_fvvae.{part}.{module}", heading=None)]
        return "\n".join(lines)
    homes = _homes(tree)
    paths = {name: f"{homes.get(name, f'keras_fvvae.{part}')}.{name}" for name in names}
    lines += _contents(paths.items(), package)
    for name, path in paths.items():
        lines.append(_directive(path, heading=f"{part}.{name}"))
    return "\n".join(lines)


def _contents(entries, package):
    """Lines of a table of what a page holds: names, as links, and the first lines of their docstrings."""
    rows = [f"| [`{name}`](#{path}) | {_first_line(path, package)} |" for name, path in entries]
    return ["| name | what it is |", "| --- | --- |", *rows, ""] if rows else []


def _first_line(path, package):
    """Of the docstring of what a path names, of a constant of the comment above it."""
    module, _, name = path.rpartition(".")
    folder = package.joinpath(*module.split(".")[1:])
    file = folder.with_suffix(".py") if folder.with_suffix(".py").is_file() else folder / "__init__.py"
    tree = _tree(file)
    for node in tree.body:
        if getattr(node, "name", None) == name:
            return (ast.get_docstring(node) or "").partition("\n")[0].replace("|", "\\|")
    constant = next((node for node in tree.body if name in _targets(node)), None)
    above = file.read_text(encoding="utf-8").splitlines()[constant.lineno - 2] if constant else ""
    return above.removeprefix("# ") if above.startswith("# ") else ""


def _targets(node):
    targets = getattr(node, "targets", [getattr(node, "target", None)])
    return [getattr(target, "id", "") for target in targets]


def _functions(file):
    """Public names that a module of functions defines and explains."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    found = [node for node in _tree(file).body if isinstance(node, kinds) and not node.name.startswith("_")]
    return [node.name for node in found if ast.get_docstring(node)]


def _directive(path, heading):
    """Of mkdocstrings; without a heading the members of a module alone."""
    options = (
        "      show_root_heading: false\n      show_root_toc_entry: false\n"
        if heading is None
        else f"      heading: {heading}\n      toc_label: {heading}\n      show_root_heading: true\n"
    )
    return f"::: {path}\n    options:\n{options}"


def _summary(package, part):
    file = package / f"{part}.py"
    return ast.get_docstring(_tree(file if file.is_file() else package / part / "__init__.py")).splitlines()[0]


def _tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def _assigned(tree, name):
    """The expression that a name is set to, or `None`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == [name]:
            return node.value
    return None


def _literal(tree, name):
    value = _assigned(tree, name)
    if isinstance(value, ast.Call):  # sorted(_HOMES)
        return sorted(_homes(tree))
    return value and ast.literal_eval(value)


def _homes(tree):
    """Modules by name: imported from at the top, or lazily by the dictionary `_HOMES`."""
    homes = {alias.name: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    lazy = _assigned(tree, "_HOMES")
    return {**homes, **(ast.literal_eval(lazy) if lazy else {})}
