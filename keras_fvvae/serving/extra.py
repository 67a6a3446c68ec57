"""The modules of the extras `serving` and `grpc`, with a reason where they are not installed."""

import importlib
import importlib.util
from typing import Any

from keras_fvvae.errors import KerasFVVAEError

# What the extra `grpc` brings; REST, the page and the metrics need none of it.
GRPC = ("grpc", "tensorflow_serving")


def has_grpc() -> bool:
    """Whether the extra `grpc` is installed."""
    return all(importlib.util.find_spec(name) for name in GRPC)


def require(*modules: str, extra: str = "serving", what: str = "Serving") -> Any:
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
            raise KerasFVVAEError(f'{what} needs {error.name}: pip install "keras_fvvae[{extra}]"') from error
    return found[0] if len(found) == 1 else found
