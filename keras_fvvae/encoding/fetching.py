"""An item of a tar file or of an object store as a file for readers; and whose fault it is where there is none."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from keras_fvvae.encoding.items import Item
from keras_fvvae.errors import DataError, RunError, WeightsError
from keras_fvvae.utils.files import reason
from keras_fvvae.zoo.remote import filesystems
from keras_fvvae.zoo.remote.addresses import is_url
from keras_fvvae.zoo.remote.errors import MissingError, NetworkError

COPY_BYTES = 2**20
# How long is waited before a store is asked again: the stores' own packages have tried for some seconds by then.
RETRY_SECONDS = (1.0, 5.0, 25.0)
_KEPT = "What was encoded is kept: the same command goes on."


class FetchError(RunError):
    """Items cannot be had for a reason that is not theirs, such as a store out of reach: none of them has failed."""


@contextlib.contextmanager
def fetched(item: Item) -> Iterator[object]:
    """The source of an item as readers take it: what lies elsewhere as a file, for as long as the block lasts.

    A store that does not answer is asked again, after `RETRY_SECONDS`.

    Raises:
        DataError: if it is not there, is refused alone, or the tar file ends before it does: the item has failed.
        FetchError: if the store cannot be reached or refuses everything, its package is not installed, or this
            machine has no room for a copy.
    """
    if not isinstance(item.source, str) or (item.part is None and not is_url(item.source)):
        yield item.source
        return
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="keras_fvvae-"))
            # Readers look at extensions.
            path = Path(folder, f"item{PurePosixPath(item.name).suffix[:10]}")
            _copy(item, path)
        except OSError as error:
            why = f"{item.source} cannot be copied to this machine's temporary folder (TMPDIR): {reason(error)}."
            raise FetchError(f"{why} {_KEPT}") from error
        yield path


def _copy(item, path):
    for seconds in (*RETRY_SECONDS, None):
        try:
            with open(path, "wb") as copy:
                for piece in _pieces(item):
                    copy.write(piece)
            return
        except MissingError as error:
            raise DataError(str(error)) from error
        except WeightsError as error:
            if isinstance(error.__cause__, ImportError):  # to ask again would change nothing
                raise FetchError(f"{error}. {_KEPT}") from error
            # A refusal says neither whether this file is meant nor whether rights have expired.
            if not isinstance(error, NetworkError) and _answers(item.source):
                raise DataError(str(error)) from error
            if seconds is None:
                raise FetchError(f"{error} It was asked {1 + len(RETRY_SECONDS)} times. {_KEPT}") from error
        time.sleep(seconds)


def _pieces(item):
    """The bytes of an item. A generator, so that what goes wrong with the copy is not taken for the store's fault."""
    start, left = item.part or (0, None)
    try:
        with filesystems.opened(item.source) if is_url(item.source) else open(item.source, "rb") as file:
            file.seek(start)
            while piece := file.read(COPY_BYTES if left is None else min(COPY_BYTES, left)):
                yield piece
                left = None if left is None else left - len(piece)
    except OSError as error:  # of a tar file on a disk
        raise DataError(f"{item.source} cannot be read: {reason(error)}.") from error
    if left:
        raise DataError("its tar file ends within it")


def _answers(url):
    """Whether a store tells of the folder that a file lies in."""
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url.rpartition("/")[0])
        system.invalidate_cache()  # an answer of before says nothing
        system.info(path)
    except FileNotFoundError:
        return True
    except Exception:  # each store's package has errors of its own
        return False
    return True
