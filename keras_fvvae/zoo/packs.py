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

import contextlib
import dataclasses
import hashlib
import os
import re
import urllib.parse
import warnings
from pathlib import Path

from keras_fvvae import __version__
from keras_fvvae.errors import RecipeError, WeightsError
from keras_fvvae.recipes import Recipe, recipe_from_yaml
from keras_fvvae.utils.cache import cache_folder
from keras_fvvae.utils.files import reason, sha256, write_atomically
from keras_fvvae.utils.text import parse_json
from keras_fvvae.zoo.downloads import MissingError, NetworkError, download, is_url, read_url

FORMAT = 1
MIRROR_VARIABLE = "KERAS_FVVAE_ZOO"
CLASSIFIER = "model.keras"
FVVAE_ONLY = "fvvae.keras"
RECIPE = "recipe.yaml"
MANIFEST = "manifest.json"
INDEX = "index.json"
_AGAIN = "Publish, copy or train it again."
# Names of entries and files become parts of paths and URLs.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


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


def is_entry_name(name):
    """Whether a name can be that of an entry: no path, and not that of a recipe file.

    Example:
        >>> is_entry_name("digits_conv"), is_entry_name("../digits"), is_entry_name("mine.yaml")
        (True, False, False)
    """
    return bool(_PLAIN_NAME.fullmatch(name)) and not name.endswith((".yaml", ".yml"))


def find(entry, fits=lambda recipe: True):
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


def find_recipe(entry):
    """The recipe of the newest pack of an entry, or `None`; found as by `find`."""
    found = next(_candidates(entry), None)
    return None if found is None else _recipe(*found)


def open_weights(source, entry):
    """Opens weights by their address and checks them.

    Args:
        source: the folder of a pack, of an entry's packs (the latest is taken), or of a finished run; or a URL of a
            pack, of an entry's packs, or of a zoo.
        entry: the entry that they must be of.

    Returns:
        A `Pack`.

    Raises:
        WeightsError: if they are missing, damaged, of another entry or a newer format, or cannot be downloaded.
    """
    if is_url(source):
        root, version = _split_url(str(source), entry)
        store = _store("downloads", root)
        if version is None:
            version = next(iter(_versions(root, entry, store)), None)
        if version is None:
            raise WeightsError(f"There is no pack of {entry!r} at {source}. Check the address and the entry's name.")
        return _open_version(root, entry, version, store)
    source = Path(source)
    for folder in (source, source / entry):
        if (folder / INDEX).is_file():
            root, name = folder.absolute().parent, folder.absolute().name
            return _open_version(root, entry, _read_index(folder / INDEX, entry)[0], None, name)
    if (source / RECIPE).is_file() and not _is_pack(source):
        return _open_run(source, entry)
    return _open_pack(source, entry)


def _candidates(entry):
    """Versions of an entry in the order in which they are taken: root, entry, version, store."""
    for root, store in _roots():
        for version in _versions(root, entry, store):
            yield root, entry, version, store
    for root in _kept_mirrors(entry):
        for version in _versions(root, entry, None):
            if _is_whole(root / entry / str(version), entry):
                yield root, entry, version, None


def _roots():
    """Where packs are looked for, as pairs of the root and the folder that keeps what is downloaded from there."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    if mirror and is_url(mirror):
        yield mirror.rstrip("/"), _store("mirrors", mirror.rstrip("/"))
    elif mirror:
        if not Path(mirror).is_dir():
            raise WeightsError(
                f"{MIRROR_VARIABLE} is {mirror}, which is neither a folder nor a URL: correct or unset it."
            )
        yield Path(mirror), None
    yield cache_folder() / "zoo", None


def _kept_mirrors(entry):
    """Folders of what was downloaded from mirrors, the one used last first."""
    indices = (cache_folder() / "mirrors").glob(f"*/{entry}/{INDEX}")
    return [path.parents[1] for path in sorted(indices, key=os.path.getmtime, reverse=True)]


def _is_whole(folder, entry):
    """Whether all files of a version were downloaded."""
    if not (folder / MANIFEST).is_file():
        return False
    return all((folder / name).is_file() for name in _checked_manifest(folder, entry)["files"])


def _store(kind, root):
    """The folder for what is downloaded from a root; its name tells the server, and differs for every root."""
    host = re.sub(r"[^A-Za-z0-9.-]", "_", urllib.parse.urlsplit(root).hostname or "")
    return cache_folder() / kind / f"{host}-{hashlib.sha256(root.encode()).hexdigest()[:12]}"


def _split_url(url, entry):
    """`root, version` of the URL of a pack, an entry (version `None`) or a zoo (version `None`)."""
    url = url.rstrip("/").removesuffix(f"/{MANIFEST}").removesuffix(f"/{INDEX}")
    if match := re.fullmatch(r"(.+)/([^/]+)/([1-9][0-9]*)", url):
        root, name, version = match.groups()
        if name != entry:
            raise WeightsError(f"{url} is a pack of {name!r}, not of {entry!r}. Load it by that name.")
        return root, int(version)
    return url.removesuffix(f"/{entry}"), None


def _versions(root, entry, store):
    """Versions of an entry, newest first; empty where there are none."""
    if not is_url(root):
        path = root / entry / INDEX
        return _read_index(path, entry) if path.is_file() else []
    url, kept = f"{root}/{urllib.parse.quote(entry)}/{INDEX}", store / entry / INDEX
    try:
        content = read_url(url)
    except MissingError:
        return []
    except NetworkError as error:
        if not kept.is_file():
            raise
        warnings.warn(f"{error} The copy in {kept.parent} is used.", stacklevel=2)
        return _read_index(kept, entry)
    versions = parse_index(content, url, entry)
    _keep(kept, content)
    return versions


def _read_index(path, entry):
    return parse_index(_read(path), path, entry)


def parse_index(content, where, entry):
    """Versions that the content of an `index.json` lists, newest first."""
    try:
        index = parse_json(content)
        name, versions, latest = index["entry"], sorted(map(int, index["versions"]), reverse=True), index["latest"]
        if latest != versions[0]:
            raise ValueError("the latest version is not the highest")
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise WeightsError(f"{where} is damaged: it is not an index of packs. Publish the entry again.") from error
    if name != entry:
        raise WeightsError(f"{where} lists packs of {name!r}, not of {entry!r}. Load them by that name.")
    return versions


def _recipe(root, entry, version, store):
    """The recipe of a version; nothing else of it is downloaded or checked."""
    if not is_url(root):
        folder = root / entry / str(version)
        return _read_recipe(folder, _checked_manifest(folder, entry))
    manifest = _download(root, entry, version, store, [RECIPE])
    return _read_recipe(store / entry / str(version), manifest)


def _open_version(root, entry, version, store, name=None):
    """Opens a version of an entry; `name` is that of its folder where it was renamed."""
    if not is_url(root):
        return _open_pack(root / (name or entry) / str(version), entry)
    manifest = _download(root, entry, version, store)  # its files are checked there
    return _pack(store / entry / str(version), manifest)


def _download(root, entry, version, store, names=None):
    """Brings files of a version (default: all) into the store; returns the manifest."""
    url, folder = f"{root}/{urllib.parse.quote(entry)}/{version}", store / entry / str(version)
    kept = folder / MANIFEST
    try:
        content = read_url(f"{url}/{MANIFEST}")
        _parse_manifest(content, f"{url}/{MANIFEST}", entry)
        _keep(kept, content)
    except NetworkError as error:
        if not kept.is_file():
            raise
        warnings.warn(f"{error} The copy in {folder} is used.", stacklevel=2)
        content = kept.read_bytes()
    manifest = _parse_manifest(content, f"{url}/{MANIFEST}", entry)
    for name in names or manifest["files"]:
        listed = manifest["files"][name]
        download(f"{url}/{urllib.parse.quote(name)}", folder / name, listed["sha256"], listed["size"])
    return manifest


def _keep(path, content):
    """Writes a small file into the cache, unless it is there: a cache may be filled and then closed to writing."""
    if path.is_file() and _read(path) == content:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise WeightsError(
            f"The cache folder {path.parent} cannot be written: {reason(error)}. Free space or rights there, or choose "
            f"another with the environment variable XDG_CACHE_HOME."
        ) from error


def _is_pack(folder):
    with contextlib.suppress(OSError, ValueError, TypeError):
        return "entry" in parse_json((folder / MANIFEST).read_bytes())
    return False


def _open_pack(folder, entry):
    manifest = _checked_manifest(folder, entry)
    for name, listed in manifest["files"].items():
        _check_file(folder / name, listed["sha256"], listed["size"])
    return _pack(folder, manifest)


def _pack(folder, manifest):
    """The `Pack` of a folder whose files were checked."""
    (model,) = {CLASSIFIER, FVVAE_ONLY} & manifest["files"].keys()
    return Pack(folder / model, _read_recipe(folder, manifest), manifest["version"])


def _open_run(folder, entry):
    """Opens the folder of a finished training as weights."""
    if not (folder / MANIFEST).is_file():
        raise WeightsError(f"The training in {folder} is not finished: repeat its `keras-fvvae train` to go on.")
    try:
        digests = parse_json(_read(folder / MANIFEST))["sha256"]
        digests = {name: digests[name] for name in (RECIPE, CLASSIFIER)}
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder / MANIFEST} is damaged; train again with --overwrite.") from error
    for name, digest in digests.items():
        _check_file(folder / name, digest)
    recipe = _parse_recipe(_read(folder / RECIPE), folder / RECIPE)
    if recipe.name != entry:
        raise WeightsError(f"{folder} is a run of {recipe.name!r}, not of {entry!r}. Load it by that name.")
    return Pack(folder / CLASSIFIER, recipe)


def _checked_manifest(folder, entry):
    path = folder / MANIFEST
    if not path.is_file():
        raise WeightsError(f"There are no weights in {folder}: neither a pack nor a finished run is there.")
    return _parse_manifest(_read(path), path, entry)


def _parse_manifest(content, where, entry):
    try:
        manifest = parse_json(content)
        newer = manifest["format"] > FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{where} is damaged: it is not the manifest of a pack. {_AGAIN}") from error
    if newer:
        raise WeightsError(f"{where} was written by a newer keras_fvvae (format {manifest['format']}); upgrade it.")
    try:
        name, files = manifest["entry"], manifest["files"]
        whole = isinstance(manifest["version"], int) and RECIPE in files
        whole = whole and len({CLASSIFIER, FVVAE_ONLY} & files.keys()) == 1
        for file, listed in files.items():
            whole = whole and _PLAIN_NAME.fullmatch(file) and re.fullmatch("[0-9a-f]{64}", listed["sha256"])
            whole = whole and isinstance(listed["size"], int)
    except (KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise WeightsError(f"{where} is damaged: it is not the manifest of a pack. {_AGAIN}")
    if name != entry:
        raise WeightsError(f"{where} is of a pack of {name!r}, not of {entry!r}. Load it by that name.")
    return manifest


def _check_file(path, digest, size=None):
    if not path.is_file():
        raise WeightsError(f"{path.parent} is incomplete: {path.name} is missing. {_AGAIN}")
    found = path.stat().st_size
    if size is not None and found != size:
        raise WeightsError(f"{path} has {found} bytes instead of {size}: it is truncated. {_AGAIN}")
    if sha256(path) != digest:
        raise WeightsError(f"{path} was altered after it was written: its SHA-256 has changed. {_AGAIN}")


def _read_recipe(folder, manifest):
    path = folder / RECIPE
    listed = manifest["files"][RECIPE]
    _check_file(path, listed["sha256"], listed["size"])
    return _parse_recipe(_read(path), path, f" (it was written by keras_fvvae {manifest.get('keras_fvvae')})")


def _parse_recipe(content, path, note=""):
    try:
        return recipe_from_yaml(content.decode(), str(path))
    except (RecipeError, UnicodeDecodeError) as error:
        raise WeightsError(f"The weights cannot be used with keras_fvvae {__version__}{note}: {error}") from error


def _read(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {reason(error)}.") from error
