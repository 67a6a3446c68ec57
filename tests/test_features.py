"""The feature store: resumable, verified, keyed by settings."""

import json

import numpy as np
import pytest

from keras_fvvae import features
from keras_fvvae.errors import DataError
from keras_fvvae.features import FeatureStore


def _filled(directory, keys="abc", **settings):
    store = FeatureStore(directory, settings or {"tap": "pool5"}, dtype="float32")
    for number, key in enumerate(keys):
        store.add(key, np.full((2, 3), number))
    store.flush()
    return store


def test_round_trip(tmp_path):
    _filled(tmp_path)
    store = FeatureStore(tmp_path, {"tap": "pool5"}, dtype="float32")
    assert len(store) == 3
    assert "b" in store
    assert "z" not in store
    assert np.array_equal(store["b"], np.ones((2, 3)))
    with pytest.raises(KeyError):
        store["z"]


def test_other_settings_are_another_store(tmp_path):
    _filled(tmp_path)
    assert len(FeatureStore(tmp_path, {"tap": "pool4"}, dtype="float32")) == 0
    assert len(FeatureStore(tmp_path, {"tap": "pool5"}, dtype="float16")) == 0


def test_full_shards_are_written_by_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SHARD_BYTES", 48)  # two arrays of 24 bytes
    store = FeatureStore(tmp_path, {}, dtype="float32")
    for key in "abc":
        store.add(key, np.zeros((2, 3)))
    reopened = FeatureStore(tmp_path, {}, dtype="float32")
    assert sorted(k for k in "abc" if k in reopened) == ["a", "b"]


def test_killed_between_the_two_files_of_a_shard(tmp_path):
    store = _filled(tmp_path)
    listing = next(store.path.glob("shard-*.json"))
    listing.unlink()
    assert len(FeatureStore(tmp_path, {"tap": "pool5"}, dtype="float32")) == 0
    assert len(_filled(tmp_path)) == 3


def test_two_writers(tmp_path):
    one = FeatureStore(tmp_path, {}, dtype="float32")
    two = FeatureStore(tmp_path, {}, dtype="float32")
    one.add("a", np.ones(2))
    two.add("b", np.zeros(2))
    one.flush()
    two.flush()
    merged = FeatureStore(tmp_path, {}, dtype="float32")
    assert merged["a"].tolist() == [1, 1]
    assert merged["b"].tolist() == [0, 0]


@pytest.mark.parametrize("damage", ["flip", "truncate"])
def test_damage_is_found(tmp_path, damage):
    store = _filled(tmp_path)
    shard = next(store.path.glob("shard-*.npy"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content if damage == "flip" else content[:-8])
    with pytest.raises(DataError, match=r"is damaged|cannot be read"):
        FeatureStore(tmp_path, {"tap": "pool5"}, dtype="float32")["a"]


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        FeatureStore(tmp_path / "file", {})


def test_settings_are_readable(tmp_path):
    store = _filled(tmp_path, tap="res5c")
    assert json.loads((store.path / "settings.json").read_text())["tap"] == "res5c"
