"""What may be removed from a run's folder, and what must not."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from keras_fvvae.errors import RunError
from keras_fvvae.runs import files


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed training left half-written, and the checkpoints of a finished one."""
    for path in folder.rglob(".*partial*"):
        with contextlib.suppress(OSError):
            path.unlink()
    if (folder / files.MANIFEST).is_file():
        for path in [*_checkpoints(folder), folder / files.FINE_TUNING]:
            shutil.rmtree(path, ignore_errors=True)


def holds_results(folder: Path) -> bool:
    """Whether more would be lost with a run than its settings, as after a mistake in the first call."""
    names = (files.BRANCHES, files.FINE_TUNING, files.HISTORY, files.MANIFEST)
    return any((folder / name).exists() for name in names) or bool(_checkpoints(folder))


def clear(folder: Path) -> None:
    """Empties a run's folder, but for the lock that this training holds.

    Raises:
        RunError: if it holds anything which a run does not write: that is never deleted.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    foreign = sorted(
        name
        for name in names
        if name not in files.OWN and ".partial" not in name and not name.startswith(files.CHECKPOINTS)
    )
    if foreign:
        raise RunError(
            f"{folder} exists and is not a run of keras_fvvae alone (it holds {foreign[0]!r}); choose another folder "
            f"with --out."
        )
    for path in folder.iterdir():
        if path.name == files.LOCK:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _checkpoints(folder: Path) -> list[Path]:
    return list(folder.glob(f"{files.CHECKPOINTS}*"))
