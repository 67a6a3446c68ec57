"""The modules of the extra `serving`, with a reason where they are not installed."""

import importlib
from typing import Any

from keras_fvvae.errors import KerasFVVAEError


def require(*modules: str) -> Any:
    """Imports modules of the extra.

    Args:
        modules: names, such as `"uvicorn"`.

    Returns:
        The module, or a list of them where several are named.

    Raises:
        KerasFVVAEError: if one is missing, with the command that installs it.

    Example:
        >>> require("json").__name__
        'json'
        >>> require("no_such_module")
        Traceback (most recent call last):
        ...
        keras_fvvae.errors.KerasFVVAEError: Serving needs no_such_module: pip install "keras_fvvae[serving]"
    """
    found = []
    for name in modules:
        try:
            found.append(importlib.import_module(name))
        except ModuleNotFoundError as error:
            raise KerasFVVAEError(f'Serving needs {error.name}: pip install "keras_fvvae[serving]"') from error
    return found[0] if len(found) == 1 else found
