"""Stores of activations and vectors, shards on disk that were altered: found, never read as something else."""

import hashlib
import json
import shutil
import warnings

import numpy as np
import pytest

from keras_fvvae.errors import DataError
from keras_fvvae.features import FeatureStore
from tests.support.hostile import check_sentence

ARRAYS = {
    "a": np.arange(6, dtype="float32").reshape(3, 2),
    "b": np.full((1, 2), -1.5, "float32"),
    "c": np.zeros((2, 2), "float32"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    store = FeatureStore(folder, {"x": 1}, "float32")
    for key, array in ARRAYS.items():
        store.add(key, array, note="of a" if key == "a" else "")
    store.flush()
    return folder


@pytest.fixture
def copy(written, tmp_path):
    """A copy of the store: its listing, its array, and how it is opened."""
    folder = tmp_path / "store"
    shutil.copytree(written, folder)
    (listing,) = folder.glob("*/shard-*.json")
    return listing, listing.with_suffix(".npy"), lambda: FeatureStore(folder, {"x": 1}, "float32")


def edited(change, signed=False):
    """Changes a listing; `signed` as who knows its SHA-256 too."""

    def apply(listing, array):
        content = json.loads(listing.read_text())
        change(content)
        if signed:
            content.pop("sha256", None)
            content["sha256"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        listing.write_text(json.dumps(content))

    return apply


def replaced(which, content):
    return lambda *files: files[which].write_bytes(content(files[which].read_bytes()))


def array_of(make):
    return lambda listing, array: np.save(array, make(np.load(array)), allow_pickle=True)


LISTINGS = {
    "a row less": edited(lambda c: c["rows"].__setitem__(0, 2)),
    "a row moved": edited(lambda c: c.update(rows=[2, 2, 2])),
    "keys exchanged": edited(lambda c: c.update(keys=["b", "a", "c"])),
    "a key less": edited(lambda c: c["keys"].pop()),
    "another key": edited(lambda c: c["keys"].__setitem__(0, "z")),
    "another note": edited(lambda c: c.update(notes={})),
    "another checksum": edited(lambda c: c.update(crc32=0)),
    "a further entry": edited(lambda c: c.update(more=1)),
    "negative rows": edited(lambda c: c.update(rows=[-1, 5, 2]), signed=True),
    "rows that are text": edited(lambda c: c.update(rows=["3", "1", "2"]), signed=True),
    "rows that are true": edited(lambda c: c.update(rows=[True, 3, 2]), signed=True),
    "rows that are no list": edited(lambda c: c.update(rows=6), signed=True),
    "more keys than rows": edited(lambda c: c.update(keys=["a", "b", "c", "d"]), signed=True),
    "no rows": edited(lambda c: c.pop("rows"), signed=True),
    "a list": replaced(0, lambda content: b"[]"),
    "nothing": replaced(0, lambda content: b""),
    "half of it": replaced(0, lambda content: content[: len(content) // 2]),
    "binary": replaced(0, lambda content: b"\x89PNG\xff\0"),
    "100,000 brackets": replaced(0, lambda content: b"[" * 100_000),
    "5,000 digits": replaced(0, lambda content: content.replace(b"[3", b"[" + b"3" * 5000, 1)),
}
SHARDS = {
    "a bit": replaced(1, lambda content: content[:-1] + bytes([content[-1] ^ 1])),
    "the last byte": replaced(1, lambda content: content[:-1]),
    "its last bytes": replaced(1, lambda content: content[:-8] + b"\1" * 8),
    "nothing": replaced(1, lambda content: b""),
    "half of it": replaced(1, lambda content: content[: len(content) // 2]),
    "no array": replaced(1, lambda content: b"this is text"),
    "another dtype": array_of(lambda array: array.view("int32")),
    "more rows": array_of(lambda array: np.concatenate([array, array])),
    "fewer rows": array_of(lambda array: array[:-1]),
    "zeros": array_of(np.zeros_like),
    "NaN": array_of(lambda array: array * np.nan),
    "objects": array_of(lambda array: np.array([{}] * 6)),
    "a header of 100 kB": replaced(1, lambda content: content[:8] + b"\xff\xff" + b"[" * 70_000),
    "rows that its listing moved": edited(lambda c: c.update(rows=[3, 2, 2]), signed=True),
    "a checksum that its listing altered": edited(lambda c: c.update(crc32=1), signed=True),
    "no file": lambda listing, array: array.unlink(),
    "a folder": lambda listing, array: (array.unlink(), array.mkdir()),
}


def test_untouched(copy):
    _, _, opened = copy
    store = opened()
    assert {key: store[key].tolist() for key in store} == {key: array.tolist() for key, array in ARRAYS.items()}
    assert store.note("a") == "of a"


@pytest.mark.parametrize("name", LISTINGS)
def test_listings(copy, name):
    """Its arrays count as missing, with one warning, and can be removed and written again."""
    listing, array, opened = copy
    LISTINGS[name](listing, array)
    with pytest.warns(UserWarning, match="The listing .* is damaged; its arrays count as missing") as caught:
        store = opened()
    assert len(caught) == 1
    assert list(store) == []
    store.discard_damaged()
    assert not listing.exists()
    store.add("a", ARRAYS["a"])
    store.flush()
    assert opened()["a"].tolist() == ARRAYS["a"].tolist()


@pytest.mark.parametrize("name", SHARDS)
def test_shards(copy, name):
    listing, array, opened = copy
    SHARDS[name](listing, array)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = opened()
    with pytest.raises(DataError) as caught:
        store["b"]
    check_sentence(str(caught.value), r"The shard .*shard-.*npy (is damaged; delete it|cannot be read: )")
