"""Vectors in the files of other programs: one format a file. The table of them needs no other package."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import os
from collections.abc import Iterator
from types import ModuleType

from keras_fvvae.errors import DataError, unknown_name
from keras_fvvae.utils.files import reason

DTYPES = ("float32", "float16")


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
        suffixes: of its files; the first is what is written.
        packages: that read and write it, by the names that they are imported by.
        extra: of this package, that brings them.
    """

    suffixes: tuple[str, ...]
    packages: tuple[str, ...]
    extra: str = ""


FORMATS = {
    "parquet": Format((".parquet",), ("pyarrow",), "parquet"),
    "lance": Format((".lance",), ("pyarrow", "lance"), "lance"),
    "hdf5": Format((".h5", ".hdf5"), ("h5py",)),
}


def require(name: str) -> ModuleType:
    """The module that reads and writes a format.

    Raises:
        DataError: if a package that it needs is not installed.
        ValueError: for an unknown format.
    """
    if name not in FORMATS:
        raise ValueError(unknown_name("format of vectors", name, FORMATS))
    form = FORMATS[name]
    missing = [package for package in form.packages if importlib.util.find_spec(package) is None]
    if missing:
        install = f"'keras_fvvae[{form.extra}]'" if form.extra else missing[0]
        raise DataError(f"Vectors as {name} need the package {missing[0]}: pip install {install}")
    return importlib.import_module(f"keras_fvvae.features.formats.{name}")


@contextlib.contextmanager
def reading(path: str | os.PathLike, *errors: type[Exception]) -> Iterator[None]:
    """What a format's packages raise for a damaged file becomes one sentence.

    Args:
        path: of the file.
        errors: kinds that they raise.

    Raises:
        DataError: naming the file.
    """
    try:
        yield
    except errors as error:
        raise DataError(f"The vectors {path} cannot be read: {reason(error)}; encode them again.") from error
