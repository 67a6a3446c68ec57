"""Where an export is written: `DIR/VERSION`, of formats beside the SavedModel `DIR/FORMAT/VERSION`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from keras_fvvae.errors import RunError
from keras_fvvae.export.formats import FORMATS
from keras_fvvae.serving.version_folders import MAX_VERSION, version_folders
from keras_fvvae.utils.files import PARTIAL, reason, remove_leftovers, replacing


@contextlib.contextmanager
def version_folder(
    directory: str | os.PathLike, version: int | None, format: str = "savedmodel"
) -> Iterator[tuple[Path, Path]]:
    """A folder to write to, and that of the version, to which it is renamed when the block ends well.

    Args:
        directory: of the export.
        version: positive integer. `None`: one above the highest there, in whatever format.
        format: of `FORMATS`.

    Raises:
        RunError: if the version exists already, or what is written in the block cannot be.
    """
    parent = Path(directory, FORMATS[format].folder)
    stack = contextlib.ExitStack()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(parent.glob(f"{PARTIAL}*"))
        version = next_version(directory) if version is None else version
        if version > MAX_VERSION:
            raise RunError(f"TensorFlow Serving has no version beyond {MAX_VERSION}. Received: {version}.")
        target = parent / str(version)
        if target.exists():
            raise RunError(f"{target} exists; served versions are never replaced. Choose another --version.")
        partial = stack.enter_context(replacing(target, folder=True))
    except OSError as error:
        raise RunError(f"The export folder {directory} cannot be written: {reason(error)}.") from error
    try:
        with stack:
            yield partial, target
    except (OSError, tf.errors.OpError) as error:  # TensorFlow writes the variables
        raise RunError(f"The export to {target} failed: {reason(error)}. Free space or rights there.") from error
    finally:
        if format != "savedmodel":
            with contextlib.suppress(OSError):  # of this export alone where nothing is in it
                parent.rmdir()


def next_version(directory: str | os.PathLike) -> int:
    """One above the highest version of an export's folder, in whatever format: one number is one model."""
    folders = (Path(directory, form.folder) for form in FORMATS.values())
    return 1 + max((number for folder in folders for number in version_folders(folder)), default=0)
