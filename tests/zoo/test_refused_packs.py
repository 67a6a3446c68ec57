"""Packs and runs that cannot be used, and why."""

import hashlib
import json

import pytest

from keras_fvvae.errors import WeightsError
from keras_fvvae.zoo import packs
from tests.support.pack_files import ENTRY, edit_json


def _append(path, text="x"):
    path.write_text(path.read_text() + text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), "is not finished"),
        (lambda f: (f / "manifest.json").write_text("{"), "manifest.json is damaged"),
        (lambda f: (f / "manifest.json").write_text("[]"), "manifest.json is damaged"),
        (lambda f: (f / "model.keras").unlink(), "run is incomplete: model.keras is missing"),
        (lambda f: _append(f / "model.keras"), "model.keras was altered"),
        (lambda f: _append(f / "recipe.yaml", "steps: 3"), "recipe.yaml was altered"),
    ],
)
def test_runs_that_cannot_be_used(unopened_run, damage, message):
    damage(unopened_run.path)
    with pytest.raises(WeightsError, match=message):
        packs.open_weights(unopened_run.path, ENTRY)


def test_run_of_another_entry(unopened_run):
    with pytest.raises(WeightsError, match="run is a run of 'digits_conv', not of 'image_folder'"):
        packs.open_weights(unopened_run.path, "image_folder")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (p / "model.keras").write_text("MODEL"), "model.keras was altered.*SHA-256 has changed"),
        (lambda p: (p / "model.keras").write_text("mod"), "model.keras has 3 bytes instead of 5: it is truncated"),
        (lambda p: (p / "model.keras").unlink(), "/1 is incomplete: model.keras is missing"),
        (lambda p: _append(p / "recipe.yaml", "#"), "recipe.yaml has .* truncated"),
        (lambda p: (p / "manifest.json").unlink(), "There are no weights in .*/1: neither a pack nor a finished run"),
        (lambda p: (p / "manifest.json").write_text("{"), "manifest.json is damaged"),
        (lambda p: (p / "manifest.json").write_text("{}"), "manifest.json is damaged"),
        (lambda p: (p / "manifest.json").write_bytes(b"\xff"), "manifest.json is damaged"),
        (lambda p: edit_json(p / "manifest.json", files=[]), "manifest.json is damaged"),
        (lambda p: edit_json(p / "manifest.json", files={}), "manifest.json is damaged"),
        (lambda p: edit_json(p / "manifest.json", version="1"), "manifest.json is damaged"),
        (lambda p: edit_json(p / "manifest.json", entry="other"), "of a pack of 'other', not of 'digits_conv'"),
        (
            lambda p: edit_json(p / "manifest.json", format=2, files=0),
            "written by a newer keras_fvvae .format 2.; upgrade",
        ),
    ],
)
def test_packs_that_cannot_be_used(publish, damage, message):
    damage(publish())
    with pytest.raises(WeightsError, match=message):
        packs.find(ENTRY)


def test_what_a_manifest_names_stays_in_its_folder(publish, server):
    """A server must not choose where files are written."""
    path = publish(server.folder)
    files = json.loads((path / "manifest.json").read_text())["files"]
    for name in ("../../evil", "/tmp/evil", ".bashrc", "a/b"):
        edit_json(path / "manifest.json", files={**files, name: files["model.keras"]})
        with pytest.raises(WeightsError, match="manifest.json is damaged"):
            packs.open_weights(server.url, ENTRY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "index.json is damaged: it is not an index of packs"),
        ("<html>", "index.json is damaged"),
        ('{"entry": "digits_conv", "versions": [], "latest": 0}', "index.json is damaged"),
        ('{"entry": "digits_conv", "versions": [1, 2], "latest": 1}', "index.json is damaged"),
        ('{"entry": "digits_conv", "versions": ["../.."], "latest": "../.."}', "index.json is damaged"),
        ('{"entry": "other", "versions": [1], "latest": 1}', "index.json lists packs of 'other', not of 'digits_conv'"),
    ],
)
def test_indices_that_cannot_be_used(publish, server, content, message):
    publish(server.folder)
    (server.folder / ENTRY / "index.json").write_text(content)
    for address in (server.folder, server.url):
        with pytest.raises(WeightsError, match=message):
            packs.open_weights(address, ENTRY)


def test_recipe_of_a_newer_version(publish, tmp_path):
    path = publish()
    (path / "recipe.yaml").write_text("name: digits_conv\nnew_key: 3\n")
    content = (path / "recipe.yaml").read_bytes()
    files = json.loads((path / "manifest.json").read_text())["files"]
    files["recipe.yaml"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    edit_json(path / "manifest.json", files=files, keras_fvvae="9.0")
    with pytest.raises(WeightsError, match="with keras_fvvae .* .it was written by keras_fvvae 9.0.*key 'new_key'"):
        packs.find(ENTRY)


def test_addresses_where_nothing_is(publish, server, tmp_path):
    publish(server.folder)
    with pytest.raises(WeightsError, match="There are no weights in .*absent"):
        packs.open_weights(tmp_path / "absent", ENTRY)
    with pytest.raises(WeightsError, match="There is no pack of 'image_folder' at http://"):
        packs.open_weights(server.url, "image_folder")
    with pytest.raises(WeightsError, match="/7/manifest.json does not exist .HTTP 404"):
        packs.open_weights(f"{server.url}/{ENTRY}/7", ENTRY)
    with pytest.raises(WeightsError, match="is a pack of 'digits_conv', not of 'image_folder'"):
        packs.open_weights(f"{server.url}/{ENTRY}/1", "image_folder")
