"""Output folders in an object store: fsspec's own, in memory."""

import importlib.util
import uuid

import pytest

from keras_fvvae.encoding.extraction import Extraction
from keras_fvvae.encoding.items import Shard
from keras_fvvae.encoding.output import Output
from keras_fvvae.encoding.store_copies import copy_to, require_same_encoding, taken_over
from keras_fvvae.errors import RunError
from keras_fvvae.zoo.remote import filesystems
from tests.encoding.conftest import write_run

pytestmark = pytest.mark.skipif(importlib.util.find_spec("fsspec") is None, reason="needs fsspec: pip install fsspec")


@pytest.fixture
def url():
    return f"memory://bucket-{uuid.uuid4().hex}/vectors"


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("image_run") / "run", kind="image")


def _parts(run, images, folder):
    for number in (1, 2):
        extraction = Extraction(run, images, folder / str(number), shard=Shard(number, 2))
        extraction.run(verbose=0)
        extraction.output.note_labels({f"{number}.png": "cat"})
        yield extraction


def test_two_machines_copy_to_one_folder(image_run, images, tmp_path, url):
    for extraction in _parts(image_run, images, tmp_path):
        assert copy_to(extraction.output, url + "/") > 3
        copied = copy_to(extraction.output, url)
        assert copied == 1  # labels.csv, which is small
    whole = Extraction(image_run, images, tmp_path / "whole")
    with taken_over(url) as folder:
        whole.output.merge(folder)
    summary = whole.summary()
    assert (summary.stored, list(summary.failed), summary.missing) == (40, ["part0/broken.png"], [])
    labels = (tmp_path / "whole" / "labels.csv").read_text().splitlines()
    assert (labels[0], sorted(labels[1:])) == ("file,label", ["1.png,cat", "2.png,cat"])
    here = Extraction(image_run, images, tmp_path / "here")
    here.run(verbose=0)
    one, other = whole.output.open_store(), here.output.open_store()
    assert list(one) == list(other)
    assert all((one[key] == other[key]).all() for key in one)
    assert not any(name.endswith("failed.csv") for name in filesystems.find(url))


def test_a_listing_comes_after_its_vectors(image_run, images, tmp_path, url, monkeypatch):
    extraction = next(_parts(image_run, images, tmp_path))
    written = []
    monkeypatch.setattr(filesystems, "write", lambda target, path: written.append(target))
    copy_to(extraction.output, url)
    kinds = [name.rpartition(".")[2] for name in written if "shard-" in name]
    assert kinds == sorted(kinds, reverse=True)
    assert set(kinds) == {"npy", "json"}


def test_what_is_refused(image_run, images, tmp_path, url):
    extraction = next(_parts(image_run, images, tmp_path))
    copy_to(extraction.output, url)
    other = Output(tmp_path / "other", Extraction(image_run, images, tmp_path / "raw", raw=True).encoding)
    with pytest.raises(RunError, match="holds vectors of another encoder; choose another --copy-to"):
        require_same_encoding(other, url)
    with pytest.raises(RunError, match="holds vectors of another encoder"):
        copy_to(other, url)
    with pytest.raises(RunError, match="none is not the output folder of an encoding"), taken_over(f"{url}/none"):
        pass
    with pytest.raises(RunError, match="The folder https://host/x cannot be used: only s3, gs"):
        copy_to(extraction.output, "https://host/x")
