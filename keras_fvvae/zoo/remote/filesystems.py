"""Files in object stores, through fsspec: S3, Google Cloud Storage, Azure, and the memory of this process.

Who may read and write there is said as the stores' own packages want it said: variables, files, roles of a machine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from keras_fvvae.errors import WeightsError, first_line
from keras_fvvae.zoo.remote.addresses import STORES, scheme
from keras_fvvae.zoo.remote.errors import MissingError, NetworkError


class StoredFile:
    """A file of a store from a byte on, to be read as the answer of an HTTP server is.

    Args:
        url: of the file.
        start: bytes that are not wanted; where the file has no more, it is read from its first one.

    Raises:
        MissingError, NetworkError, WeightsError: if it cannot be opened.
    """

    def __init__(self, url: str, start: int = 0) -> None:
        with _named_errors(url, "read"):
            system, path = _system(url)
            size = system.size(path)
            self._file = system.open(path, "rb")
            start = start if start < size else 0
            self._file.seek(start)
        self.headers = {"Content-Length": str(size - start)}
        if start:
            self.headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"

    def read1(self, size: int) -> bytes:
        """The next bytes, at most `size`.

        Raises:
            OSError: whatever broke; stores raise errors of their own.
        """
        try:
            return self._file.read(size)
        except Exception as error:
            raise OSError(first_line(error)) from error

    def __enter__(self) -> StoredFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def find(url: str) -> dict[str, int]:
    """Files of a store: URL and bytes of each, sorted.

    Args:
        url: of a file; of a folder, below which all are taken; or a pattern of `*`, `?`, `[...]` and `**`.

    Raises:
        NetworkError, WeightsError: if the store cannot be read. Nothing is found where nothing is.
    """
    with _named_errors(url, "read"):
        system, path = _system(url)
        patterned = any(letter in path for letter in "*?[")
        found = system.glob(path, detail=True) if patterned else system.find(path, detail=True)
        files = {name: one["size"] for name, one in sorted(found.items()) if one["type"] == "file"}
        return {f"{scheme(url)}://{name.lstrip('/')}": size for name, size in files.items()}


@contextlib.contextmanager
def opened(url: str) -> Iterator[BinaryIO]:
    """A file of a store to read and seek in.

    Raises:
        MissingError, NetworkError, WeightsError: if it cannot be read.
    """
    with _named_errors(url, "read"):
        system, path = _system(url)
        with system.open(path, "rb") as file:
            yield file


def write(url: str, content: bytes | str | Path) -> None:
    """Writes a file into a store.

    Args:
        url: where the file will be.
        content: bytes, or the path of a file.

    Raises:
        NetworkError, WeightsError: if it cannot be written there.
    """
    with _named_errors(url, "written"):
        system, path = _system(url)
        if isinstance(content, bytes):
            system.pipe_file(path, content)
        else:
            system.put_file(str(content), path)


def _system(url: str) -> tuple[Any, str]:
    package = STORES[scheme(url)]
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(url)
    except ImportError as error:
        raise WeightsError(f"{url} needs {package}: pip install {package}") from error


@contextlib.contextmanager
def _named_errors(url: str, done: str) -> Iterator[None]:
    try:
        yield
    except WeightsError:
        raise
    except FileNotFoundError as error:
        raise MissingError(f"{url} does not exist. Check the address.") from error
    except (PermissionError, ValueError) as error:
        why = first_line(error).rstrip(".")
        raise WeightsError(f"{url} cannot be {done}: {why}. Check the address and your rights there.") from error
    except Exception as error:  # each store's package has errors of its own for a network that is not there
        why = first_line(error).rstrip(".")
        raise NetworkError(f"{url} cannot be {done}: {why}. Check the network and how you are known there.") from error
