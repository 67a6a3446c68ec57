"""Checks what others have made before it is loaded: nothing in it is built or run here."""

from __future__ import annotations

import os
from pathlib import Path

from keras_fvvae.errors import WeightsError
from keras_fvvae.serving.operations import SAVED_MODEL, verify_export
from keras_fvvae.serving.version_folders import version_folders
from keras_fvvae.utils.saved_files import require_known_classes
from keras_fvvae.utils.text import parse_json
from keras_fvvae.zoo import packs
from keras_fvvae.zoo.manifests import (
    CLASSIFIER,
    FVVAE_ONLY,
    INDEX,
    MANIFEST,
    check_file,
    checked_manifest,
    read,
    read_index,
    read_recipe,
)
from keras_fvvae.zoo.remote.addresses import entry_in, is_url


def verify(path: str | os.PathLike) -> list[str]:
    """Checks a pack, an entry's packs, a finished run, a `.keras` file, a SavedModel or a folder of exports.

    Of packs and runs every file is compared with the SHA-256 in the manifest, and the model may name classes of Keras
    and of this library only. A SavedModel may hold operations only that this library's exports hold. A manifest tells
    whether something was altered since it was written, not who wrote it.

    Args:
        path: of a folder or file; or the URL of a pack, `hf://ORG/NAME` too, which is downloaded and kept in the cache.

    Returns:
        A sentence for each thing that was checked.

    Raises:
        WeightsError, RunError: saying what is wrong with the first that is.
    """
    if is_url(url := os.fspath(path)):
        path = packs.open_weights(url, entry_in(url)).model.parent
    path = Path(path)
    if not path.exists():
        raise WeightsError(f"There is nothing at {path}.")
    if path.is_file():
        require_known_classes(path)
        return [f"{path}: a model of known classes."]
    if (path / SAVED_MODEL).is_file() or any((one / SAVED_MODEL).is_file() for one in version_folders(path).values()):
        return [f"{version}: a SavedModel of known operations." for version in verify_export(path)]
    if (path / INDEX).is_file():
        entry = path.absolute().name
        return [_pack(path / str(version), entry) for version in read_index(path / INDEX, entry)]
    if not (path / MANIFEST).is_file():
        raise WeightsError(f"{path} is neither a pack nor an entry's folder of packs, a finished run or a SavedModel.")
    entry = _entry(path)
    return [_pack(path, entry)] if entry is not None else [_run(path)]


def _entry(folder):
    """The entry that a manifest is of; `None` for the manifest of a run."""
    try:
        return parse_json(read(folder / MANIFEST)).get("entry")
    except (ValueError, AttributeError) as error:
        raise WeightsError(f"{folder / MANIFEST} is damaged: it is no manifest.") from error


def _pack(folder, entry):
    manifest = checked_manifest(folder, entry)
    for name, listed in manifest["files"].items():
        check_file(folder / name, listed["sha256"], listed["size"])
    unlisted = sorted({path.name for path in folder.iterdir()} - manifest["files"].keys() - {MANIFEST})
    if unlisted:
        raise WeightsError(f"{folder / unlisted[0]} is not in the manifest: remove it, or publish the pack again.")
    recipe = read_recipe(folder, manifest)
    (model,) = {CLASSIFIER, FVVAE_ONLY} & manifest["files"].keys()
    require_known_classes(folder / model)
    return f"{folder}: a pack of {recipe.name!r}, {len(manifest['files'])} files as published, of known classes."


def _run(folder):
    from keras_fvvae.runs.folder import RunFolder

    run = RunFolder.open(folder)
    for name in run.manifest.sha256:
        run.manifest.check(run.path, name)
    require_known_classes(run.model_path)
    count = len(run.manifest.sha256)
    return f"{folder}: a finished run of {run.recipe.name!r}, {count} files as written, of known classes."
