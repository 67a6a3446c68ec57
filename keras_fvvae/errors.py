"""The library's own errors: for files, data, weights and recipes. Wrong arguments raise `ValueError` or `TypeError`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KerasFVVAEError(Exception):
    """Base of all errors that a user's files, data, downloads or recipes can cause; one clear sentence each."""


class DataError(KerasFVVAEError):
    """A data set, image or video cannot be used as it is."""


class RecipeError(KerasFVVAEError):
    """A recipe holds an unknown key or a value that cannot work."""


class WeightsError(KerasFVVAEError):
    """Weights are missing, damaged, of another architecture or of another format."""


class RunError(KerasFVVAEError):
    """A run folder cannot be created, continued or read."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """One sentence for an unknown name, with the nearest known ones.

    Example:
        >>> unknown_name("recipe key", "latent_dims", ["latent_dim", "dropout"])
        "Unknown recipe key 'latent_dims'; did you mean 'latent_dim'? Known: 'dropout', 'latent_dim'."
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"Unknown {kind} {name!r}{hint} Known: {', '.join(map(repr, known))}."


def first_line(error: BaseException) -> str:
    """What went wrong, in a line: its class where it says nothing.

    Keras quotes it at the end of pages about each of the models around it.

    Example:
        >>> first_line(ValueError("a model. Exception encountered: no such layer"))
        'no such layer'
        >>> first_line(KeyError())
        'KeyError'
    """
    text = str(error).rpartition("Exception encountered: ")[2].strip()
    return text.splitlines()[0] if text else type(error).__name__
