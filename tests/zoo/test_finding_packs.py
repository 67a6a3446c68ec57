"""Packs are found: in the local zoo, a folder, on a server, offline. Their models are not opened here."""

import subprocess
from pathlib import Path

import pytest

from keras_fvvae.errors import WeightsError
from keras_fvvae.utils.cache import cache_folder
from keras_fvvae.zoo import packs
from tests.support.pack_files import ENTRY, content_of


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
    assert content_of(packs.find(ENTRY)) == "new"


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_mirror_comes_first(publish, server, monkeypatch, kind):
    publish(model="local")
    publish(server.folder, "mirror")
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url + "/" if kind == "url" else str(server.folder))
    assert content_of(packs.find(ENTRY)) == "mirror"


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_local_cache_where_the_mirror_lacks_the_entry(publish, server, monkeypatch, kind):
    publish(model="local")
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url if kind == "url" else str(server.folder))
    assert content_of(packs.find(ENTRY)) == "local"


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_newest_that_fits(publish, server, monkeypatch, kind):
    for size in (3, 5, 7):
        publish(server.folder, f"model {size}", latent_dim=size)
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url if kind == "url" else str(server.folder))
    assert packs.find_recipe(ENTRY).latent_dim == 7
    assert not [path for _, path, _ in server.requests if path.endswith(".keras")]
    assert content_of(packs.find(ENTRY)) == "model 7"
    assert content_of(packs.find(ENTRY, lambda recipe: recipe.latent_dim == 5)) == "model 5"
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
        assert content_of(packs.find(ENTRY)) == "mirror"
    with pytest.raises(WeightsError, match="index.json cannot be read: Connection refused. Check the network"):
        packs.find("image_folder")
    monkeypatch.setenv(packs.MIRROR_VARIABLE, f"{server.url}/other")
    with pytest.raises(WeightsError, match="Connection refused"):
        packs.find(ENTRY)
    monkeypatch.delenv(packs.MIRROR_VARIABLE)
    assert content_of(packs.find(ENTRY)) == "mirror"


def test_what_was_not_downloaded_whole_is_not_found_offline(publish, server, monkeypatch):
    publish(server.folder, "old", latent_dim=3)
    publish(server.folder, "new")
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url)
    packs.find(ENTRY, lambda recipe: recipe.latent_dim == 3)
    monkeypatch.delenv(packs.MIRROR_VARIABLE)
    assert content_of(packs.find(ENTRY)) == "old"


def test_what_came_from_a_mirror_is_checked_at_every_load(publish, server, monkeypatch):
    publish(server.folder, "mirror")
    monkeypatch.setenv(packs.MIRROR_VARIABLE, server.url)
    kept = packs.find(ENTRY).model
    kept.write_text("MIRROR")
    assert content_of(packs.find(ENTRY)) == "mirror"
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
    with pytest.raises(WeightsError, match="abfs and memory are, not ftp"):
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
    assert (content_of(pack), pack.version) == ("two", 2)


def test_older_version_by_its_url(publish, server):
    for model in ("one", "two"):
        publish(server.folder, model)
    assert content_of(packs.open_weights(f"{server.url}/{ENTRY}/1", ENTRY)) == "one"


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


def test_finished_run(unopened_run):
    pack = packs.open_weights(unopened_run.path, ENTRY)
    assert (pack.model, pack.recipe, pack.version) == (unopened_run.path / "model.keras", unopened_run.recipe, None)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://", "KERAS_FVVAE_ZOO: http:// is not a URL that can be used: it names no server"),
        ("s3:///birds", "KERAS_FVVAE_ZOO: s3:///birds is not a URL that can be used: it names no server"),
        ("file:///tmp", "KERAS_FVVAE_ZOO: file:///tmp cannot be used: only http"),
        ("http://a:b", "http://a:b is not a URL that can be used: Port could not"),
        ("http://[::1", r"http://\[::1 is not a URL that can be used: Invalid IPv6"),
    ],
)
def test_address_that_is_none(monkeypatch, address, message):
    """It is told as such by what only lists, too."""
    monkeypatch.setenv(packs.MIRROR_VARIABLE, address)
    with pytest.raises(WeightsError, match=message):
        packs.on_this_machine()
    with pytest.raises(WeightsError, match=message):
        packs.find(ENTRY)
