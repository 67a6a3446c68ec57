"""What is looked at before TensorFlow is imported, so that a mistake is told at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from keras_fvvae.errors import DataError


def require_runs(paths: Iterable[str]) -> None:
    """Raises `RunError` unless every path is the folder of a finished run; their files are not read yet."""
    from keras_fvvae.runs.folder import RunFolder

    for path in paths:
        RunFolder(path).require_finished()


def require_run_or_pack(path: str) -> None:
    """Raises `RunError` for a folder that is neither a finished run nor packs, and for a path where nothing is.

    A URL, an entry's name and a file are taken.
    """
    from keras_fvvae.runs.folder import RunFolder
    from keras_fvvae.zoo import packs
    from keras_fvvae.zoo.remote.addresses import is_url

    if Path(path).is_dir():
        known = any((Path(path) / name).is_file() for name in (packs.MANIFEST, packs.INDEX))
    else:
        known = is_url(path) or Path(path).exists() or packs.is_entry_name(path)
    if not known:
        RunFolder(path).require_finished()


def require_files(*paths: str | None) -> None:
    """Raises `DataError` unless every path that is not `None` exists."""
    for path in paths:
        if path is not None and not Path(path).exists():
            raise DataError(f"The file {path} does not exist.")


def output_folder(out: str | None, name: str) -> Path:
    """`--out`, else `runs/NAME`; raises `UsageError` for a name, a recipe's, that would lead out of there."""
    if out:
        return Path(out)
    if name in (".", "..") or "/" in name or "\\" in name or not name.isprintable():
        raise click.UsageError(f"The recipe's name {name!r} cannot be that of a folder: name one with --out.")
    return Path("runs") / name


def require_outside(out: str | Path, data: str | None, consequence: str) -> None:
    """Raises `UsageError` where the output folder lies inside the data's, which it would become a part of."""
    inner = Path(out).resolve()
    if data is not None and Path(data).is_dir() and Path(data).resolve() in (inner, *inner.parents):
        raise click.UsageError(f"--out {out} lies inside --data {data}: {consequence}")


def default_tap(name: str) -> str | None:
    """Where a network of the table is tapped when nothing else is said; `None`: at its last stage, or unknown."""
    from keras_fvvae.backbones import BACKBONES

    return BACKBONES[name].default_tap if name in BACKBONES else None
