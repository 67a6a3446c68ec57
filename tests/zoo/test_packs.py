"""Packs are written: what is in them, whatever happens meanwhile. Their models are not opened: any bytes will do."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

import keras_fvvae
from keras_fvvae.errors import WeightsError
from keras_fvvae.recipes import load_recipe
from keras_fvvae.zoo import packs, publishing
from tests.support.pack_files import ENTRY, content_of


def test_pack_of_a_run(unopened_run, tmp_path):
    path = publishing.publish_run(unopened_run, tmp_path / "zoo")
    assert path == tmp_path / "zoo" / ENTRY / "1"
    names = {"card.md", "labels.json", "metrics.json", "model.keras", "recipe.yaml"}
    assert {file.name for file in path.iterdir()} == {*names, "manifest.json"}
    manifest = json.loads((path / "manifest.json").read_text())
    assert {key: manifest[key] for key in ("format", "entry", "version", "keras_fvvae")} == {
        "format": 1, "entry": ENTRY, "version": 1, "keras_fvvae": keras_fvvae.__version__,
    }  # fmt: skip
    assert manifest["created"].endswith("+00:00")
    assert manifest["files"] == {
        name: {
            "sha256": hashlib.sha256((path / name).read_bytes()).hexdigest(),
            "size": (path / name).stat().st_size,
        }
        for name in names
    }
    for name in names - {"recipe.yaml", "card.md"}:
        assert (path / name).read_bytes() == (unopened_run.path / name).read_bytes()
    pack = packs.open_weights(path, ENTRY)
    (measured,) = pack.recipe.measured
    assert (measured["accuracy"], measured["protocol"]) == ({"FV-VAE": 0.1235}, "2 training images")
    assert pack.recipe == unopened_run.recipe.replace(weights={}, measured=[measured])
    card = (path / "card.md").read_text()
    assert card.startswith(f"# {ENTRY}")
    assert "FV-VAE 12.3 percent" in card
    assert "model.keras" in card
    assert (pack.version, pack.model) == (1, path / "model.keras")


def test_versions_and_index(publish, tmp_path):
    for version in (1, 2, 3):
        assert publish(tmp_path / "zoo").name == str(version)
    folder = tmp_path / "zoo" / ENTRY
    assert {path.name for path in folder.iterdir()} == {"1", "2", "3", "index.json"}
    index = json.loads((folder / "index.json").read_text())
    assert index == {"entry": ENTRY, "versions": [1, 2, 3], "latest": 3}


def test_a_server_may_read_it(publish, tmp_path):
    path = publish(tmp_path / "zoo")
    assert path.stat().st_mode & 0o055 == 0o055


def test_index_is_written_last(publish, tmp_path, monkeypatch):
    publish(tmp_path / "zoo")

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(publishing, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path / "zoo", "new")
    monkeypatch.undo()
    assert json.loads((tmp_path / "zoo" / ENTRY / "index.json").read_text())["latest"] == 1
    assert (tmp_path / "zoo" / ENTRY / "2" / "manifest.json").is_file()
    assert publish(tmp_path / "zoo").name == "3"


def test_half_a_pack_is_never_seen(publish, tmp_path, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(publishing, "_manifest", killed)
    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path / "zoo")
    assert list((tmp_path / "zoo" / ENTRY).iterdir()) == []


def test_what_a_kill_left_is_removed(publish, tmp_path):
    old, young = (tmp_path / "zoo" / ENTRY / f".partial-{name}-1" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "model.keras").touch()
    os.utime(old, (0, 0))
    publish(tmp_path / "zoo")
    assert not old.exists()
    assert young.exists()


def test_processes_that_publish_at_the_same_time(tmp_path):
    code = (
        "import sys; from keras_fvvae.zoo import publishing; from keras_fvvae.recipes import load_recipe\n"
        "recipe = load_recipe('digits_conv')\n"
        "for _ in range(10): publishing.publish(recipe, {'model.keras': sys.argv[1]}, sys.argv[2])\n"
    )
    (tmp_path / "model").write_text("model")
    arguments = [sys.executable, "-c", code, str(tmp_path / "model"), str(tmp_path / "zoo")]
    processes = [subprocess.Popen(arguments) for _ in range(3)]
    assert [process.wait() for process in processes] == [0] * 3
    index = json.loads((tmp_path / "zoo" / ENTRY / "index.json").read_text())
    assert index == {"entry": ENTRY, "versions": list(range(1, 31)), "latest": 30}
    for version in index["versions"]:
        assert packs.open_weights(tmp_path / "zoo" / ENTRY / str(version), ENTRY).version == version


def test_index_of_a_process_that_was_overtaken(publish, tmp_path, monkeypatch):
    """Another publishes between its look at the versions and its writing of the index."""
    write, overtaken = publishing.write_atomically, []

    def late(path, content):
        if not overtaken:
            overtaken.append(True)
            publish(tmp_path / "zoo")
        write(path, content)

    monkeypatch.setattr(publishing, "write_atomically", late)
    publish(tmp_path / "zoo")
    assert json.loads((tmp_path / "zoo" / ENTRY / "index.json").read_text())["versions"] == [1, 2]


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "mine.yaml", "a b"])
def test_names_that_no_entry_can_have(unopened_run, tmp_path, name):
    unopened_run.write("recipe.yaml", load_recipe(ENTRY).replace(name=name).to_yaml().encode())
    with pytest.raises(WeightsError, match="cannot be the name of an entry.*--name"):
        publishing.publish_run(unopened_run, tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_folder_that_cannot_be_written(publish, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        WeightsError, match="'digits_conv' cannot be published to .*file: (Not a directory|File exists)"
    ):
        publish(tmp_path / "file")


def test_full_disk(publish, small_disk):
    publish(small_disk(64))
    with pytest.raises(
        WeightsError, match="'digits_conv' cannot be published to .*disk: No space left on device. Free"
    ):
        publish(small_disk(64), "x" * 100_000)
    assert packs.open_weights(small_disk(64), ENTRY).version == 1


def test_publishing_to_a_server(publish, server, tmp_path):
    assert publish(server.url, "one") == f"{server.url}/{ENTRY}/1"
    assert publish(f"{server.url}/", "two") == f"{server.url}/{ENTRY}/2"
    assert content_of(packs.open_weights(server.folder, ENTRY)) == "two"
    assert content_of(packs.open_weights(server.url, ENTRY)) == "two"
    puts = [path.rsplit("/", 1)[1] for method, path, _ in server.requests if method == "PUT"]
    assert puts == ["model.keras", "recipe.yaml", "manifest.json", "index.json"] * 2


def test_publishing_to_a_server_that_refuses(publish, server):
    server.status = 403
    with pytest.raises(WeightsError, match="index.json cannot be read: HTTP 403 Forbidden"):
        publish(server.url)
    with pytest.raises(WeightsError, match="abfs and memory are, not ftp. Copy it to a folder"):
        publish("ftp://bucket/zoo")
