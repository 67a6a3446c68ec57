"""Packages of an extra, with a reason where they are not installed."""

from __future__ import annotations

import importlib
from typing import Any

from keras_fvvae.errors import KerasFVVAEError


def require(*modules: str, extra: str, what: str) -> Any:
    """Imports modules of an extra.

    Args:
        modules: names, such as `"uvicorn"`.
        extra: its name.
        what: what needs it, for the error.

    Returns:
        The module, or a list of them where several are named.

    Raises:
        KerasFVVAEError: if one is missing, with the command that installs it.

    Example:
        >>> require("json", extra="serving", what="Serving").__name__
        'json'
        >>> require("no_such_module", extra="serving", what="Serving")
        Traceback (most recent call last):
        ...
        keras_fvvae.errors.KerasFVVAEError: Serving needs no_such_module: pip install "keras_fvvae[serving]"
    """
    found = []
    for name in modules:
        try:
            found.append(importlib.import_module(name))
        except ModuleNotFoundError as error:
            raise KerasFVVAEError(f'{what} needs {error.name}: pip install "keras_fvvae[{extra}]"') from error
    return found[0] if len(found) == 1 else found
