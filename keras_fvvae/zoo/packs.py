"""Packs: trained weights with all that belongs to them, in a folder or on a server, found and checked.

    <root>/<entry>/index.json         {entry, versions, latest}
    <root>/<entry>/<N>/               N = 1, 2, 3 ..., as in TensorFlow Serving
        model.keras                   the classifier: backbone, descriptors, FV-VAE, Fisher statistics, SVM
                                      (trained without labels: the encoder, all but the SVM);
          or fvvae.keras              where there is none: descriptors and FV-VAE on activation maps (released weights)
        recipe.yaml                   every setting it was trained with
        labels.json, metrics.json, card.md    where there are any
        manifest.json                 {format, entry, version, created, keras_fvvae, files: {name: {sha256, size}}}

A plain file server can serve it. A version is written beside and renamed, its manifest last; then the index. Versions
are never replaced. Every file's size and SHA-256 is checked each time a pack is opened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from keras_fvvae.errors import WeightsError
from keras_fvvae.recipes import Recipe
from keras_fvvae.utils.cache import known_cache_folder
from keras_fvvae.utils.text import parse_json
from keras_fvvae.zoo.manifests import (
    CLASSIFIER,
    FVVAE_ONLY,
    INDEX,
    MANIFEST,
    PLAIN_NAME,
    RECIPE,
    check_file,
    checked_manifest,
    parse_recipe,
    read,
    read_index,
    read_recipe,
)
from keras_fvvae.zoo.remote import hub
from keras_fvvae.zoo.remote.addresses import is_hub, is_url, require_scheme
from keras_fvvae.zoo.remote.mirrors import bring, split_url, store_of, versions_of

MIRROR_VARIABLE = "KERAS_FVVAE_ZOO"


@dataclasses.dataclass(frozen=True)
class Pack:
    """Checked weights in a folder.

    Attributes:
        model: path of the model file.
        recipe: what it was trained with.
        version: of the pack; `None` for a run that is not published.
    """

    model: Path
    recipe: Recipe
    version: int | None = None


def is_entry_name(name: str) -> bool:
    """Whether a name can be that of an entry: no path, and not that of a recipe file.

    Example:
        >>> is_entry_name("digits_conv"), is_entry_name("../digits"), is_entry_name("mine.yaml")
        (True, False, False)
    """
    return bool(PLAIN_NAME.fullmatch(name)) and not name.endswith((".yaml", ".yml"))


def find(entry: str, fits: Callable[[Recipe], bool] = lambda recipe: True) -> Pack | None:
    """The newest pack of an entry whose recipe fits: in `$KERAS_FVVAE_ZOO`, then in the local cache.

    Args:
        entry: name of the entry.
        fits: function of a `Recipe`.

    Returns:
        A `Pack`, or `None`.

    Raises:
        WeightsError: if the mirror cannot be used, or the pack is damaged.
    """
    for found in _candidates(entry):
        if fits(_recipe(*found)):
            return _open_version(*found)
    return None


def find_recipe(entry: str) -> Recipe | None:
    """The recipe of the newest pack of an entry, or `None`; found as by `find`."""
    found = next(_candidates(entry), None)
    return None if found is None else _recipe(*found)


def on_this_machine() -> dict[str, Recipe]:
    """By name of an entry the recipe of its newest pack that is on this machine; no server is asked.

    On the mirror, where that is a folder; published here; or downloaded from a mirror before.

    Raises:
        WeightsError: if the mirror cannot be used, or a pack is damaged.
    """
    roots = [root for root, _ in _roots() if not is_url(root)]
    if (cache := known_cache_folder()) is not None:
        roots += (cache / "mirrors").glob("*")
    names = {path.parent.name for root in roots for path in root.glob(f"*/{INDEX}")}
    found: dict[str, Recipe] = {}
    for name in names:
        versions = ((root, version) for root in roots for version in versions_of(root, name, None))
        whole = (one for one in versions if _is_whole(one[0] / name / str(one[1]), name))
        if (newest := next(whole, None)) is not None:
            found[name] = _recipe(newest[0], name, newest[1], None)
    return found


def open_weights(source: str | Path, entry: str | None) -> Pack:
    """Opens weights by their address and checks them.

    Args:
        source: the folder of a pack, of an entry's packs (the latest is taken), or of a finished run; or a URL of a
            pack, of an entry's packs, or of a zoo; or `hf://ORG/NAME`, see `keras_fvvae.zoo.remote.addresses`.
        entry: the entry that they must be of; `None`, of an address of the Hub alone: any.

    Returns:
        A `Pack`.

    Raises:
        WeightsError: if they are missing, damaged, of another entry or a newer format, or cannot be downloaded.
    """
    if is_hub(source):
        folder, manifest = hub.bring(str(source))  # its files are checked there
        if entry not in (None, manifest["entry"]):
            raise WeightsError(f"{source} is a pack of {manifest['entry']!r}, not of {entry!r}. Load it by that name.")
        return _pack(folder, manifest)
    if is_url(source):
        root, version = split_url(str(source), entry)
        store = store_of("downloads", root)
        if version is None:
            version = next(iter(versions_of(root, entry, store)), None)
        if version is None:
            raise WeightsError(f"There is no pack of {entry!r} at {source}. Check the address and the entry's name.")
        return _open_version(root, entry, version, store)
    source = Path(source)
    for folder in (source, source / entry):
        if (folder / INDEX).is_file():
            parent, name = folder.absolute().parent, folder.absolute().name
            return _open_version(parent, entry, read_index(folder / INDEX, entry)[0], None, name)
    if (source / RECIPE).is_file() and not _is_pack(source):
        return _open_run(source, entry)
    return _open_pack(source, entry)


def _candidates(entry):
    """Versions of an entry in the order in which they are taken: root, entry, version, store."""
    for root, store in _roots():
        for version in versions_of(root, entry, store):
            yield root, entry, version, store
    for root in _kept_mirrors(entry):
        for version in versions_of(root, entry, None):
            if _is_whole(root / entry / str(version), entry):
                yield root, entry, version, None


def _roots():
    """Where packs are looked for, as pairs of the root and the folder that keeps what is downloaded from there."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    if mirror and is_hub(mirror):
        raise WeightsError(
            f"{MIRROR_VARIABLE} is {mirror}: a repository of the Hub is one pack, no zoo. Unset it, and load the pack "
            f"by its address."
        )
    if mirror and is_url(mirror):
        require_scheme(mirror, what=f"{MIRROR_VARIABLE}:")  # before anything is made of it
        yield mirror.rstrip("/"), store_of("mirrors", mirror.rstrip("/"))
    elif mirror:
        if not Path(mirror).is_dir():
            raise WeightsError(
                f"{MIRROR_VARIABLE} is {mirror}, which is neither a folder nor a URL: correct or unset it."
            )
        yield Path(mirror), None
    if (cache := known_cache_folder()) is not None:  # what ships with the package needs none
        yield cache / "zoo", None


def _kept_mirrors(entry):
    """Folders of what was downloaded from mirrors, the one used last first."""
    cache = known_cache_folder()
    indices = [] if cache is None else (cache / "mirrors").glob(f"*/{entry}/{INDEX}")
    return [path.parents[1] for path in sorted(indices, key=os.path.getmtime, reverse=True)]


def _is_whole(folder, entry):
    """Whether all files of a version were downloaded."""
    if not (folder / MANIFEST).is_file():
        return False
    return all((folder / name).is_file() for name in checked_manifest(folder, entry)["files"])


def _recipe(root, entry, version, store):
    """The recipe of a version; nothing else of it is downloaded or checked."""
    if not is_url(root):
        folder = root / entry / str(version)
        return read_recipe(folder, checked_manifest(folder, entry))
    manifest = bring(root, entry, version, store, [RECIPE])
    return read_recipe(store / entry / str(version), manifest)


def _open_version(root, entry, version, store, name=None):
    """Opens a version of an entry; `name` is that of its folder where it was renamed."""
    if not is_url(root):
        return _open_pack(root / (name or entry) / str(version), entry)
    manifest = bring(root, entry, version, store)  # its files are checked there
    return _pack(store / entry / str(version), manifest)


def _open_pack(folder, entry):
    manifest = checked_manifest(folder, entry)
    for name, listed in manifest["files"].items():
        check_file(folder / name, listed["sha256"], listed["size"])
    return _pack(folder, manifest)


def _pack(folder, manifest):
    """The `Pack` of a folder whose files were checked."""
    (model,) = {CLASSIFIER, FVVAE_ONLY} & manifest["files"].keys()
    return Pack(folder / model, read_recipe(folder, manifest), manifest["version"])


def _is_pack(folder):
    with contextlib.suppress(OSError, ValueError, TypeError):
        return "entry" in parse_json((folder / MANIFEST).read_bytes())
    return False


def _open_run(folder, entry):
    """Opens the folder of a finished training as weights."""
    if not (folder / MANIFEST).is_file():
        raise WeightsError(f"The training in {folder} is not finished: repeat its `keras-fvvae train` to go on.")
    try:
        digests = parse_json(read(folder / MANIFEST))["sha256"]
        digests = {name: digests[name] for name in (RECIPE, CLASSIFIER)}
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder / MANIFEST} is damaged; train again with --overwrite.") from error
    for name, digest in digests.items():
        check_file(folder / name, digest)
    recipe = parse_recipe(read(folder / RECIPE), folder / RECIPE)
    if recipe.name != entry:
        raise WeightsError(f"{folder} is a run of {recipe.name!r}, not of {entry!r}. Load it by that name.")
    return Pack(folder / CLASSIFIER, recipe)
