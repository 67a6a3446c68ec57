"""Packs: what is written, what is found, and what is refused. Their models are not opened here: any bytes will do."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_fvvae
from keras_fvvae.errors import WeightsError
from keras_fvvae.recipes import load_recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.results import RunResults
from keras_fvvae.utils.cache import cache_folder
from keras_fvvae.zoo import packs, publishing
from tests.zoo.test_downloads import serving

ENTRY = "digits_conv"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(packs.MIRROR_VARIABLE, raising=False)


@pytest.fixture
def publish(tmp_path):
    """Publishes a pack whose model is the given text; keywords change the recipe."""

    def call(to=None, model="model", **changes):
        (tmp_path / "model.keras").write_text(model)
        recipe = load_recipe(ENTRY, **changes)
        return publishing.publish(recipe, {"model.keras": tmp_path / "model.keras"}, to)

    return call


@pytest.fixture
def run(tmp_path):
    """A finished run of which only the files are there."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.write("recipe.yaml", load_recipe(ENTRY, latent_dim=7).to_yaml().encode())
    folder.write_json("labels.json", {"class_names": ["a", "b"], "data": {"kind": "image"}})
    folder.write("model.keras", b"model")
    folder.write_results(RunResults("2 training images", "FV-VAE", {"FV-VAE": {"accuracy": 0.123456}}), {})
    folder.write_json("history.json", {"loss": []})
    folder.finish()
    return RunFolder.open(folder.path)


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as server:
        yield server


def _model(pack):
    return pack.model.read_text()


def _edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_pack_of_a_run(run, tmp_path):
    path = publishing.publish_run(run, tmp_path / "zoo")
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
        assert (path / name).read_bytes() == (run.path / name).read_bytes()
    pack = packs.open_weights(path, ENTRY)
    (measured,) = pack.recipe.measured
    assert (measured["accuracy"], measured["protocol"]) == ({"FV-VAE": 0.1235}, "2 training images")
    assert pack.recipe == run.recipe.replace(weights={}, measured=[measured])
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
def test_names_that_no_entry_can_have(run, tmp_path, name):
    run.write("recipe.yaml", load_recipe(ENTRY).replace(name=name).to_yaml().encode())
    with pytest.raises(WeightsError, match="cannot be the name of an entry.*--name"):
        publishing.publish_run(run, tmp_path / "zoo")
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


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/keras_fvvae")
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == tmp_path / ".cache" / "keras_fvvae"


def test_nothing_is_found_where_nothing_is(tmp_path, monkeypatch):
    assert packs.find(ENTRY) is None
    assert packs.find_recipe(ENTRY) is None
    monkeypatch.setenv(packs.MIRROR_VARIABLE, str(tmp_path))
    assert packs.find(ENTRY) is None


def test_default_is_the_local_zoo(publish, tmp_path):
    publish(model="old")
    assert publish(model="new") == tmp_path / "cache" / "keras_fvvae" / "zoo" / ENTRY / "2"
    assert _model(packs.find(ENTRY)) == "new"


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_mirror_comes_first(publish, server, monkeypatch, kind):
    publish(model="local")
    publish(server.folder, "mirror")
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url + "/" if kind == "url" else str(server.folder))
    assert _model(packs.find(ENTRY)) == "mirror"


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_local_cache_where_the_mirror_lacks_the_entry(publish, server, monkeypatch, kind):
    publish(model="local")
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url if kind == "url" else str(server.folder))
    assert _model(packs.find(ENTRY)) == "local"


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_newest_that_fits(publish, server, monkeypatch, kind):
    for size in (3, 5, 7):
        publish(server.folder, f"model {size}", latent_dim=size)
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url if kind == "url" else str(server.folder))
    assert packs.find_recipe(ENTRY).latent_dim == 7
    assert not [path for _, path, _ in server.requests if path.endswith(".keras")]
    assert _model(packs.find(ENTRY)) == "model 7"
    assert _model(packs.find(ENTRY, lambda recipe: recipe.latent_dim == 5)) == "model 5"
    assert packs.find(ENTRY, lambda recipe: recipe.latent_dim == 6) is None


def test_mirror_is_downloaded_once(publish, server, monkeypatch):
    publish(server.folder)
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url)
    for _ in range(2):
        packs.find(ENTRY)
    assert [path.rsplit("/", 1)[1] for _, path, _ in server.requests].count("model.keras") == 1


def test_mirror_that_is_gone(publish, server, monkeypatch):
    """What came from it is used, with a warning; also without the variable, but not for another address."""
    publish(server.folder, "mirror")
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url)
    packs.find(ENTRY)
    server.shutdown()
    server.server_close()
    with pytest.warns(UserWarning, match=r"Connection refused.* The copy in .*mirrors/127.0.0.1-\w+/digits_conv"):
        assert _model(packs.find(ENTRY)) == "mirror"
    with pytest.raises(WeightsError, match="index.json cannot be read: Connection refused. Check the network"):
        packs.find("image_folder")
    monkeypatch.setenv(packs.MIRROR_VARIABLE, f"{server.url}/other")
    with pytest.raises(WeightsError, match="Connection refused"):
        packs.find(ENTRY)
    monkeypatch.delenv(packs.MIRROR_VARIABLE)
    assert _model(packs.find(ENTRY)) == "mirror"


def test_what_was_not_downloaded_whole_is_not_found_offline(publish, server, monkeypatch):
    publish(server.folder, "old", latent_dim=3)
    publish(server.folder, "new")
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url)
    packs.find(ENTRY, lambda recipe: recipe.latent_dim == 3)
    monkeypatch.delenv(packs.MIRROR_VARIABLE)
    assert _model(packs.find(ENTRY)) == "old"


def test_what_came_from_a_mirror_is_checked_at_every_load(publish, server, monkeypatch):
    publish(server.folder, "mirror")
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url)
    kept = packs.find(ENTRY).model
    kept.write_text("MIRROR")
    assert _model(packs.find(ENTRY)) == "mirror"
    kept.write_text("MIRROR")
    server.shutdown()
    server.server_close()
    with pytest.warns(UserWarning, match="is used"), pytest.raises(WeightsError, match="Connection refused"):
        packs.find(ENTRY)
    monkeypatch.delenv(packs.MIRROR_VARIABLE)
    with pytest.raises(WeightsError, match="model.keras was altered"):
        packs.find(ENTRY)


def test_mirror_that_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv(packs.MIRROR_VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(WeightsError, match="KERAS_FVVAE_ZOO is .*absent, which is neither a folder nor a URL"):
        packs.find(ENTRY)
    monkeypatch.setenv(packs.MIRROR_VARIABLE, "ftp://a/zoo")
    with pytest.raises(WeightsError, match="only http and https are, not ftp"):
        packs.find(ENTRY)


def test_cache_that_cannot_be_written(publish, server, tmp_path, monkeypatch):
    publish(server.folder)
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="The cache folder .*file.* cannot be written: Not a directory.*XDG_CACHE_H"):
        packs.find(ENTRY)


def test_filled_cache_need_not_be_writable(publish, server, small_disk, monkeypatch):
    publish(server.folder)
    disk = small_disk(1000)
    monkeypatch.setenv("XDG_CACHE_HOME", str(disk))
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url)
    packs.find(ENTRY)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
    assert packs.find(ENTRY).version == 1


@pytest.mark.parametrize("part", ["", f"/{ENTRY}", f"/{ENTRY}/", f"/{ENTRY}/2", f"/{ENTRY}/2/manifest.json"])
@pytest.mark.parametrize("kind", ["folder", "url"])
def test_addresses(publish, server, part, kind):
    for model in ("one", "two"):
        publish(server.folder, model)
    if kind == "folder":
        part = part.removesuffix("/manifest.json")
    pack = packs.open_weights((server.url if kind == "url" else str(server.folder)) + part, ENTRY)
    assert (_model(pack), pack.version) == ("two", 2)


def test_older_version_by_its_url(publish, server):
    for model in ("one", "two"):
        publish(server.folder, model)
    assert _model(packs.open_weights(f"{server.url}/{ENTRY}/1", ENTRY)) == "one"


def test_renamed_and_moved_folders(publish, tmp_path):
    publish(tmp_path / "zoo")
    (tmp_path / "zoo" / ENTRY).rename(tmp_path / "moved here")
    assert packs.open_weights(tmp_path / "moved here", ENTRY).version == 1
    (tmp_path / "moved here" / "1").rename(tmp_path / "pack")
    assert packs.open_weights(tmp_path / "pack", ENTRY).version == 1


def test_other_addresses_do_not_change_what_is_found(publish, server):
    publish(server.folder)
    packs.open_weights(server.url, ENTRY)
    assert packs.find(ENTRY) is None


def test_finished_run(run):
    pack = packs.open_weights(run.path, ENTRY)
    assert (pack.model, pack.recipe, pack.version) == (run.path / "model.keras", run.recipe, None)


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
def test_runs_that_cannot_be_used(run, damage, message):
    damage(run.path)
    with pytest.raises(WeightsError, match=message):
        packs.open_weights(run.path, ENTRY)


def test_run_of_another_entry(run):
    with pytest.raises(WeightsError, match="run is a run of 'digits_conv', not of 'image_folder'"):
        packs.open_weights(run.path, "image_folder")


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
        (lambda p: _edit(p / "manifest.json", files=[]), "manifest.json is damaged"),
        (lambda p: _edit(p / "manifest.json", files={}), "manifest.json is damaged"),
        (lambda p: _edit(p / "manifest.json", version="1"), "manifest.json is damaged"),
        (lambda p: _edit(p / "manifest.json", entry="other"), "of a pack of 'other', not of 'digits_conv'"),
        (lambda p: _edit(p / "manifest.json", format=2, files=0), "written by a newer keras_fvvae .format 2.; upgrade"),
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
        _edit(path / "manifest.json", files={**files, name: files["model.keras"]})
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
    _edit(path / "manifest.json", files=files, keras_fvvae="9.0")
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


def test_publishing_to_a_server(publish, server, tmp_path):
    assert publish(server.url, "one") == f"{server.url}/{ENTRY}/1"
    assert publish(f"{server.url}/", "two") == f"{server.url}/{ENTRY}/2"
    assert _model(packs.open_weights(server.folder, ENTRY)) == "two"
    assert _model(packs.open_weights(server.url, ENTRY)) == "two"
    puts = [path.rsplit("/", 1)[1] for method, path, _ in server.requests if method == "PUT"]
    assert puts == ["model.keras", "recipe.yaml", "manifest.json", "index.json"] * 2


def test_publishing_to_a_server_that_refuses(publish, server):
    server.status = 403
    with pytest.raises(WeightsError, match="index.json cannot be read: HTTP 403 Forbidden"):
        publish(server.url)
    with pytest.raises(WeightsError, match="only http and https are, not s3. Copy it to a folder"):
        publish("s3://bucket/zoo")
