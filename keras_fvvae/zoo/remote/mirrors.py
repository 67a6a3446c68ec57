"""Packs on servers: which versions there are, and their files brought to this machine and kept."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
import warnings
from pathlib import Path
from typing import Any

from keras_fvvae.errors import WeightsError
from keras_fvvae.utils.cache import cache_folder
from keras_fvvae.utils.files import reason, write_atomically
from keras_fvvae.zoo.manifests import INDEX, MANIFEST, parse_index, parse_manifest, read, read_index
from keras_fvvae.zoo.remote.addresses import url_parts
from keras_fvvae.zoo.remote.downloads import download, read_url
from keras_fvvae.zoo.remote.errors import MissingError, NetworkError


def store_of(kind: str, root: str) -> Path:
    """The folder for what is downloaded from a root; its name tells the server, and differs for every root."""
    host = re.sub(r"[^A-Za-z0-9.-]", "_", url_parts(root).hostname or "")
    return cache_folder() / kind / f"{host}-{hashlib.sha256(root.encode()).hexdigest()[:12]}"


def split_url(url: str, entry: str) -> tuple[str, int | None]:
    """`root, version` of the URL of a pack, an entry (version `None`) or a zoo (version `None`)."""
    url = url.rstrip("/").removesuffix(f"/{MANIFEST}").removesuffix(f"/{INDEX}")
    if match := re.fullmatch(r"(.+)/([^/]+)/([1-9][0-9]*)", url):
        root, name, version = match.groups()
        if name != entry:
            raise WeightsError(f"{url} is a pack of {name!r}, not of {entry!r}. Load it by that name.")
        return root, int(version)
    return url.removesuffix(f"/{entry}"), None


def versions_of(root: str | Path, entry: str, store: Path | None) -> list[int]:
    """Versions of an entry, newest first; empty where there are none. A root that is a URL has a `store`."""
    if store is None:
        path = Path(root, entry, INDEX)
        return read_index(path, entry) if path.is_file() else []
    url, kept = f"{root}/{urllib.parse.quote(entry)}/{INDEX}", store / entry / INDEX
    try:
        content = read_url(url)
    except MissingError:
        return []
    except NetworkError as error:
        if not kept.is_file():
            raise
        warnings.warn(f"{error} The copy in {kept.parent} is used.", stacklevel=2)
        return read_index(kept, entry)
    versions = parse_index(content, url, entry)
    keep(kept, content)
    return versions


def bring(root: str, entry: str, version: int, store: Path, names: list[str] | None = None) -> dict[str, Any]:
    """Brings files of a version (default: all) into the store; returns the manifest.

    Raises:
        WeightsError: if they are damaged, of another entry or a newer format, or cannot be downloaded or kept.
    """
    url, folder = f"{root}/{urllib.parse.quote(entry)}/{version}", store / entry / str(version)
    kept = folder / MANIFEST
    try:
        content = read_url(f"{url}/{MANIFEST}")
        parse_manifest(content, f"{url}/{MANIFEST}", entry)
        keep(kept, content)
    except NetworkError as error:
        if not kept.is_file():
            raise
        warnings.warn(f"{error} The copy in {folder} is used.", stacklevel=2)
        content = kept.read_bytes()
    manifest = parse_manifest(content, f"{url}/{MANIFEST}", entry)
    for name in names or manifest["files"]:
        listed = manifest["files"][name]
        download(f"{url}/{urllib.parse.quote(name)}", folder / name, listed["sha256"], listed["size"])
    return manifest


def keep(path: Path, content: bytes) -> None:
    """Writes a small file into the cache, unless it is there: a cache may be filled and then closed to writing."""
    if path.is_file() and read(path) == content:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise WeightsError(
            f"The cache folder {path.parent} cannot be written: {reason(error)}. Free space or rights there, or choose "
            f"another with the environment variable XDG_CACHE_HOME."
        ) from error
