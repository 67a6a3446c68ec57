"""Publishing of trained weights as packs: to a folder, to a server by PUT, to an object store, to the Hub."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import re
import shutil
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

from keras_fvvae import __version__
from keras_fvvae.errors import WeightsError
from keras_fvvae.recipes import DATASETS
from keras_fvvae.recipes.cards import recipe_card
from keras_fvvae.runs.files import LABELS
from keras_fvvae.utils.cache import cache_folder
from keras_fvvae.utils.files import PARTIAL, reason, remove_leftovers, replacing, sha256, write_atomically
from keras_fvvae.utils.text import parse_json
from keras_fvvae.zoo.manifests import CLASSIFIER, FORMAT, INDEX, MANIFEST, RECIPE, parse_index, read
from keras_fvvae.zoo.packs import is_entry_name
from keras_fvvae.zoo.remote import hub
from keras_fvvae.zoo.remote.addresses import is_hub, is_url
from keras_fvvae.zoo.remote.downloads import read_url, upload
from keras_fvvae.zoo.remote.errors import MissingError
from keras_fvvae.zoo.remote.hub_card import hub_card

if TYPE_CHECKING:
    from keras_fvvae.recipes import Recipe
    from keras_fvvae.runs.folder import RunFolder

# What a pack takes from a run, where it is there.
RUN_FILES = (CLASSIFIER, LABELS, "metrics.json")
CARD = "card.md"


def publish_run(run: RunFolder, to: str | Path | None = None, name: str | None = None) -> str | Path:
    """Publishes a finished run as the next version of an entry.

    Args:
        run: an opened `keras_fvvae.runs.folder.RunFolder`, which has checked the run's hashes.
        to: the root of a zoo, a folder or a URL (http(s), s3, gs, ...), or `hf://ORG/NAME`. Default: the local zoo,
            where `zoo.load` looks.
        name: the entry. Default: that of the run's recipe.

    Returns:
        Path or URL of the version.

    Raises:
        WeightsError: if it cannot be written there.
    """
    # Weights and results of the entry it was trained from are not those of this run.
    recipe = run.recipe.replace(name=name or run.recipe.name, weights={}, measured=_measured(run))
    files = {file: run.path / file for file in RUN_FILES if (run.path / file).is_file()}
    card = recipe_card(recipe, "They are `model.keras` beside this card; `manifest.json` has their SHA-256.")
    return publish(recipe, {**files, CARD: card.encode("utf-8", "backslashreplace")}, to)


def _measured(run):
    """The accuracies of a run as a recipe lists them."""
    results = run.results
    accuracy = {name: round(metrics["accuracy"], 4) for name, metrics in results.metrics.items()}
    if not accuracy:
        return []
    return [
        {
            "command": f"keras-fvvae train {run.recipe.name}",
            "protocol": results.protocol,
            "machine": platform.machine(),
            "accuracy": accuracy,
        }
    ]


def publish(recipe: Recipe, files: dict[str, bytes | Path], to: str | Path | None = None) -> str | Path:
    """Writes a pack as the next version of the entry `recipe.name`.

    Args:
        recipe: the `Recipe` of the weights.
        files: mapping from the names in the pack to the paths of the files, or to their bytes; one is `model.keras` or
            `fvvae.keras`.
        to: the root of a zoo, a folder or a URL (http(s), s3, gs, ...), or `hf://ORG/NAME`. Default: the local one.

    Returns:
        Path or URL of the version.

    Raises:
        WeightsError: if it cannot be written there.
    """
    if not is_entry_name(recipe.name):
        raise WeightsError(
            f"{recipe.name!r} cannot be the name of an entry: letters, digits, '.', '_' and '-' are allowed, and not "
            f"the ending .yaml. Choose another with --name."
        )
    to = cache_folder() / "zoo" if to is None else to
    contents = {**files, RECIPE: recipe.to_yaml().encode()}
    try:
        if is_hub(to):
            return _publish_to_hub(contents, recipe, str(to))
        write = _publish_to_server if is_url(to) else _publish_to_folder
        return write(contents, recipe.name, to)
    except OSError as error:
        raise WeightsError(
            f"{recipe.name!r} cannot be published to {to}: {reason(error)}. Free space or rights there, or choose "
            f"another folder with --to."
        ) from error


def _manifest(entry, version, listed):
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    content = {
        "format": FORMAT,
        "entry": entry,
        "version": version,
        "created": created,
        "keras_fvvae": __version__,
        "files": listed,
    }
    return json.dumps(content, indent=2).encode()


def _index(entry, versions):
    return json.dumps({"entry": entry, "versions": versions, "latest": versions[-1]}, indent=2).encode()


def _listed(contents):
    """The manifest's list of files, given as bytes or paths."""
    listed = {}
    for name, content in contents.items():
        if isinstance(content, bytes):
            listed[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        else:
            listed[name] = {"sha256": sha256(content), "size": Path(content).stat().st_size}
    return listed


def _publish_to_folder(contents, entry, root):
    folder = Path(root) / entry
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.glob(f"{PARTIAL}*"))
    target = _write_next_version(contents, entry, folder)
    # Another process may publish at the same time: whoever writes the index last has seen all versions.
    while True:
        versions = _versions_in(folder)
        write_atomically(folder / INDEX, _index(entry, versions))
        if versions == _versions_in(folder):
            return target


def _write_next_version(contents, entry, folder):
    while True:
        version = 1 + max(_versions_in(folder), default=0)
        target = folder / str(version)
        try:
            with replacing(target, folder=True) as pack:
                for name, content in contents.items():
                    if isinstance(content, bytes):
                        (pack / name).write_bytes(content)
                    else:
                        shutil.copyfile(content, pack / name)
                listed = _listed({path.name: path for path in sorted(pack.iterdir())})
                (pack / MANIFEST).write_bytes(_manifest(entry, version, listed))
            return target
        except OSError:
            if not target.exists():
                raise
            # Another process took the number: the next one.


def _versions_in(folder):
    return sorted(int(path.name) for path in folder.iterdir() if re.fullmatch("[1-9][0-9]*", path.name))


def _publish_to_server(contents, entry, root):
    url = f"{str(root).rstrip('/')}/{urllib.parse.quote(entry)}"
    try:
        versions = sorted(parse_index(read_url(f"{url}/{INDEX}"), f"{url}/{INDEX}", entry))
    except MissingError:
        versions = []
    version = 1 + max(versions, default=0)
    manifest = _manifest(entry, version, _listed(contents))
    for name, content in contents.items():
        upload(f"{url}/{version}/{urllib.parse.quote(name)}", content)
    upload(f"{url}/{version}/{MANIFEST}", manifest)
    upload(f"{url}/{INDEX}", _index(entry, [*versions, version]))
    return f"{url}/{version}"


def _publish_to_hub(contents, recipe, address):
    repository = hub.open_repository(address)
    before = repository.manifest or {"entry": recipe.name, "version": 0}
    if before["entry"] != recipe.name:
        raise WeightsError(
            f"{address} has packs of {before['entry']!r}: publish to another repository, or with --name "
            f"{before['entry']}."
        )
    version = before["version"] + 1
    labels = contents.get(LABELS, b"{}")
    labels = parse_json(labels if isinstance(labels, bytes) else read(Path(labels)))
    kind = labels.get("data", {}).get("kind") or DATASETS[recipe.dataset].kind or "image"
    card = hub_card(recipe, address, kind, bool(labels.get("class_names")))
    contents = {name: content for name, content in contents.items() if name != CARD}  # the Hub shows README.md
    manifest = _manifest(recipe.name, version, _listed(contents))
    contents |= {MANIFEST: manifest, hub.CARD: card.encode("utf-8", "backslashreplace")}
    return hub.commit(address, repository, contents, f"{recipe.name}, version {version}")
