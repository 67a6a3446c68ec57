"""Zoos in object stores: fsspec's own, in memory, which behaves as one; what is said where a store is not to be had."""

import importlib.util
import uuid

import pytest

from keras_fvvae import zoo
from keras_fvvae.errors import WeightsError
from keras_fvvae.recipes import load_recipe
from keras_fvvae.zoo import packs, publishing
from keras_fvvae.zoo.remote import downloads, filesystems
from keras_fvvae.zoo.remote.downloads import download, read_url, upload
from keras_fvvae.zoo.remote.errors import MissingError, NetworkError
from keras_fvvae.zoo.sources import entry_weights
from tests.support.pack_files import ENTRY, content_of
from tests.zoo.test_downloads import CONTENT, DIGEST

pytestmark = pytest.mark.skipif(importlib.util.find_spec("fsspec") is None, reason="needs fsspec: pip install fsspec")


@pytest.fixture
def root():
    """Of a zoo that no other test has: the memory is the process's."""
    return f"memory://bucket-{uuid.uuid4().hex}/zoo"


def test_publishing_finding_and_loading(publish, root, monkeypatch):
    assert publish(root, "one") == f"{root}/{ENTRY}/1"
    assert publish(f"{root}/", "two") == f"{root}/{ENTRY}/2"
    for address in (root, f"{root}/{ENTRY}", f"{root}/{ENTRY}/2/manifest.json"):
        assert content_of(packs.open_weights(address, ENTRY)) == "two"
    assert content_of(packs.open_weights(f"{root}/{ENTRY}/1", ENTRY)) == "one"
    assert packs.find(ENTRY) is None
    monkeypatch.setenv(packs.MIRROR_VARIABLE, root)
    assert content_of(packs.find(ENTRY)) == "two"
    with pytest.raises(WeightsError, match="There is no pack of 'image_folder' at memory://bucket"):
        packs.open_weights(root, "image_folder")


def test_models_are_loaded_by_their_address(root):
    recipe = load_recipe(ENTRY).replace(name="mine", weights={})
    address = publishing.publish(recipe, {"model.keras": entry_weights(load_recipe(ENTRY))}, root)
    assert zoo.load_encoder(address).count_params() == zoo.load_encoder(ENTRY).count_params()
    assert zoo.load(address).fvvae.latent_dim == 31


def test_store_that_is_gone(publish, root, monkeypatch):
    """What came from it is used, with a warning."""
    publish(root)
    monkeypatch.setenv(packs.MIRROR_VARIABLE, root)
    packs.find(ENTRY)

    def gone(url):
        raise RuntimeError("Could not connect to the endpoint.")

    monkeypatch.setattr(filesystems, "_system", gone)
    with pytest.warns(UserWarning, match="index.json cannot be read: Could not connect to the endpoint. .* is used"):
        assert content_of(packs.find(ENTRY)) == "model"
    with pytest.raises(NetworkError, match="cannot be written: Could not connect"):
        upload(f"{root}/x", b"")


def test_download_goes_on_where_it_ended_and_is_checked(root, tmp_path):
    target, url = tmp_path / "weights.bin", f"{root}/weights.bin"
    upload(url, CONTENT)
    (tmp_path / "weights.bin.partial").write_bytes(CONTENT[:1000])
    read, starts = filesystems.StoredFile, []

    class Noted(read):
        def __init__(self, url, start=0):
            starts.append(start)
            super().__init__(url, start)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filesystems, "StoredFile", Noted)
        download(url, target, DIGEST, len(CONTENT))
    assert (target.read_bytes(), starts) == (CONTENT, [1000])
    upload(url, CONTENT[:-1] + b"x")
    with pytest.raises(WeightsError, match="is not the file that was published"):
        download(url, tmp_path / "other.bin", DIGEST, len(CONTENT))
    assert not (tmp_path / "other.bin").exists()


def test_transfer_that_breaks(root, tmp_path, monkeypatch):
    upload(f"{root}/weights.bin", CONTENT)

    def breaks(self, size):
        raise OSError("connection reset")

    monkeypatch.setattr(filesystems.StoredFile, "read1", breaks)
    with pytest.raises(NetworkError, match="weights.bin broke off .connection reset"):
        download(f"{root}/weights.bin", tmp_path / "weights.bin", DIGEST)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_one_sentence(root):
    with pytest.raises(MissingError, match=f"{root}/x does not exist. Check the address"):
        read_url(f"{root}/x")
    upload(f"{root}/x", b" " * (downloads.MAX_TEXT_BYTES + 1))
    with pytest.raises(WeightsError, match="is larger than"):
        read_url(f"{root}/x")


@pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="s3fs is installed")
def test_package_that_is_missing():
    with pytest.raises(WeightsError, match="s3://bucket/zoo/index.json needs s3fs: pip install s3fs"):
        read_url("s3://bucket/zoo/index.json")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "local:///etc/passwd", "simplecache::s3://a/b", "github://a/b"])
def test_other_file_systems_of_fsspec_are_not_taken(url):
    with pytest.raises(WeightsError, match="cannot be used: only http, https, s3, gs, gcs, az, abfs and memory are"):
        read_url(url)
