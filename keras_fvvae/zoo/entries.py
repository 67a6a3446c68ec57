"""The entries of the zoo by name. Needs no TensorFlow."""

from __future__ import annotations

from fnmatch import fnmatch

from keras_fvvae.recipes import list_recipes


def list_entries(pattern: str = "*") -> list[str]:
    """Names of the zoo's entries that match a shell pattern.

    Example:
        >>> list_entries("digits*")
        ['digits_conv']
    """
    return [name for name in list_recipes() if fnmatch(name, pattern)]
