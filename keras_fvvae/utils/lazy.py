"""Packages whose parts are imported at first use: the command line's help and a client do not wait for TensorFlow."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def lazy_attributes(package: str, homes: dict[str, str | None]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose public names live in modules that are not imported with it.

    Args:
        package: its name.
        homes: dictionary from a public name to the module that defines it; `None` for a module of the package itself.

    Example:
        >>> __getattr__, __dir__ = lazy_attributes("keras_fvvae.zoo", {"load": "keras_fvvae.zoo.loading"})
        >>> __dir__()
        ['load']
    """

    def find(name):
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if homes[name] is None:
            return importlib.import_module(f"{package}.{name}")
        return getattr(importlib.import_module(homes[name]), name)

    return find, lambda: sorted(homes)


def imported(path: str) -> Any:
    """What `"module:attribute"` names, imported now.

    Example:
        >>> imported("keras_fvvae.errors:DataError").__name__
        'DataError'
    """
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
