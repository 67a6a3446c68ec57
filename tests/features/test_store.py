"""The feature store: resumable, verified, keyed by settings."""

import json
import os
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from keras_fvvae.errors import DataError
from keras_fvvae.features import FeatureStore
from keras_fvvae.features import store as features


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


def test_full_shards_are_written_by_themselves(tmp_path):
    store = FeatureStore(tmp_path, {}, dtype="float32", shard_bytes=48)  # two arrays of 24 bytes
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


def test_arrays_of_different_lengths(tmp_path):
    store = FeatureStore(tmp_path, {}, dtype="float32")
    for key, count in (("one", 1), ("three", 3), ("none", 0), ("two", 2)):
        store.add(key, np.full((count, 2), count))
    store.flush()
    reopened = FeatureStore(tmp_path, {}, dtype="float32")
    assert {key: reopened[key].shape for key in reopened} == {
        "none": (0, 2),
        "one": (1, 2),
        "three": (3, 2),
        "two": (2, 2),
    }
    assert (reopened["three"] == 3).all()
    assert (reopened["two"] == 2).all()
    with pytest.raises(ValueError, match="first dimension only"):
        [store.add(key, np.zeros(shape)) for key, shape in (("x", (1, 2)), ("y", (1, 3)))]


def test_an_old_shard_is_written_before_it_is_full(tmp_path):
    FeatureStore(tmp_path, {}, shard_seconds=0).add("a", np.zeros(2))
    assert "a" in FeatureStore(tmp_path, {})


def test_notes(tmp_path):
    store = FeatureStore(tmp_path, {})
    store.add("a", np.zeros(2), "truncated")
    store.add("b", np.zeros(2))
    store.flush()
    store.add("c", np.zeros(2))
    store.flush()
    reopened = FeatureStore(tmp_path, {})
    assert [reopened.note(key) for key in "abc"] == ["truncated", "", ""]


def test_as_dataset(tmp_path):
    store = _filled(tmp_path)
    rows = list(store.as_dataset(["c", "a"]).as_numpy_iterator())
    assert [key for key, _ in rows] == [b"c", b"a"]
    assert np.array_equal(rows[0][1], np.full((2, 3), 2))


def test_leftovers_of_a_kill_are_removed_when_they_are_old(tmp_path):
    store = _filled(tmp_path)
    half, orphan, young = (store.path / name for name in (".shard-1.npy", "shard-2.npy", "shard-3.npy"))
    for path in (half, orphan, young):
        path.write_bytes(b"123")
    for path in (half, orphan):
        os.utime(path, (0, 0))
    for path in store.path.glob("shard-*-*.npy"):
        os.utime(path, (0, 0))
    FeatureStore(tmp_path, {"tap": "pool5"}, dtype="float32")
    assert not half.exists()
    assert not orphan.exists()
    assert young.exists()
    assert len(_filled(tmp_path)) == 3


_WRITER = """
import os, sys, numpy as np
from keras_fvvae.features import store as features
store = features.FeatureStore(sys.argv[1], {}, dtype="float32", shard_bytes=4000)
for number in range(100000):
    store.add(f"{sys.argv[2]}{number}", np.full((1 + number % 3, 50), number))
    print(number, flush=True)
"""


def test_killed_at_any_moment_by_any_of_two_processes(tmp_path):
    """What two killed writers left is whole: every array is what its key says."""
    for delay in (0, 40, 111):
        writers = [
            subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), name], stdout=subprocess.PIPE)
            for name in ("a", "b")
        ]
        for writer in writers:
            for _ in range(100 + delay):
                writer.stdout.readline()
            writer.kill()
            writer.wait()
            writer.stdout.close()
    store = FeatureStore(tmp_path, {}, dtype="float32")
    assert len(store) > 100
    assert store.discard_damaged() == 0
    for key in store:
        number = int(key[1:])
        assert np.array_equal(store[key], np.full((1 + number % 3, 50), number))


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "absent"])
def test_damage_is_found(tmp_path, damage):
    store = _filled(tmp_path)
    shard = next(store.path.glob("shard-*.npy"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes({"flip": content, "truncate": content[:-8]}.get(damage, b""))
    if damage == "absent":
        shard.unlink()
    reopened = FeatureStore(tmp_path, {"tap": "pool5"}, dtype="float32")
    with pytest.raises(DataError, match=r"is damaged|cannot be read"):
        reopened["a"]
    assert reopened.discard_damaged() == 3
    assert not list(store.path.glob("shard-*"))


def _mapped(store):
    return Path("/proc/self/maps").read_text().count(str(store.path))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_few_shards_are_mapped(tmp_path):
    """Neither checking nor reading takes more maps, files and memory where there are more shards."""
    store = FeatureStore(tmp_path, {}, dtype="float32", shard_bytes=1)
    for number in range(30):
        store.add(f"{number:02d}", np.full((2, 3), number))
    store = FeatureStore(tmp_path, {}, dtype="float32")
    assert store.discard_damaged() == 0
    assert _mapped(store) == 0
    for key in store:
        assert (store[key] == int(key)).all()
    assert _mapped(store) == features.MAPPED_SHARDS
    held = [store[key] for key in store]
    again = [store[key] for key in reversed(list(store))]
    assert _mapped(store) == 30  # each once, however often it is asked for
    assert all((array == number).all() for number, array in enumerate(held))
    del held, again
    assert _mapped(store) == features.MAPPED_SHARDS


def test_arrays_are_the_same_after_their_pages_were_released(tmp_path):
    store = FeatureStore(tmp_path, {}, dtype="float32")
    store.add("a", np.arange(6.0).reshape(2, 3))
    store.flush()
    array = store["a"]
    store.release()
    np.testing.assert_array_equal(array, np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(store["a"], array)


def test_what_cannot_be_opened_is_not_discarded(tmp_path):
    store = _filled(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(DataError, match="Too many open files"):
            store.discard_damaged()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert store.discard_damaged() == 0
    assert len(store) == 3


def test_arrays_in_fortran_order(tmp_path):
    store = FeatureStore(tmp_path, {}, dtype="float32")
    array = np.arange(24).reshape(2, 3, 4).T
    store.add("a", array)
    store.flush()
    assert np.array_equal(FeatureStore(tmp_path, {}, dtype="float32")["a"], array)


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        FeatureStore(tmp_path / "file", {})


def test_settings_are_readable(tmp_path):
    store = _filled(tmp_path, tap="res5c")
    assert json.loads((store.path / "settings.json").read_text())["tap"] == "res5c"


def _outcomes(folder, expected):
    """What a store with some damage gives: for every item the array, or in words why there is none."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        store = FeatureStore(folder, {"tap": "pool5"}, dtype="float32")
    assert not set(store) - set(expected), "an item under another name"
    outcomes = {}
    for key in expected:
        try:
            outcomes[key] = store[key].tolist(), store.note(key)
        except KeyError:
            assert any("is damaged; its arrays count as missing" in str(one.message) for one in said)
            outcomes[key] = "missing"
        except DataError as error:
            outcomes[key] = str(error) if "\n" in str(error) else "damaged"
    return outcomes


@pytest.mark.filterwarnings("ignore:The listing")
def test_no_single_bit_changes_an_array_unnoticed(tmp_path):
    store = FeatureStore(tmp_path, {"tap": "pool5"}, dtype="float32")
    for number, key in enumerate("abc"):
        store.add(key, np.arange(6 * (number + 1)).reshape(-1, 3), "a note" if key == "b" else "")
        if key != "b":
            store.flush()
    expected = {key: (store[key].tolist(), store.note(key)) for key in store}
    files = {path: path.read_bytes() for path in sorted(store.path.iterdir())}
    rng, noticed = np.random.default_rng(0), 0
    for flip in range(200):
        path = list(files)[flip % len(files)]
        changed = bytearray(files[path])
        bit = rng.integers(8 * len(changed))
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        outcomes = _outcomes(tmp_path, expected)
        assert all(outcome in (expected[key], "missing", "damaged") for key, outcome in outcomes.items()), (path, bit)
        noticed += outcomes != expected
        path.write_bytes(files[path])
    assert noticed > 100


def test_a_number_of_rows_that_was_changed(tmp_path):
    store = _filled(tmp_path)
    listing = next(store.path.glob("shard-*.json"))
    listing.write_text(listing.read_text().replace('"rows": [2,', '"rows": [3,'))
    with pytest.warns(UserWarning, match=r"shard-.*\.json is damaged; its arrays count as missing\."):
        reopened = FeatureStore(tmp_path, {"tap": "pool5"}, dtype="float32")
    assert len(reopened) == 0
    assert reopened.discard_damaged() == 0
    assert not list(store.path.glob("shard-*"))


def _as_before(listing, **changes):
    """Makes a listing that of version 0.1."""
    content = {**json.loads(listing.read_text()), **changes}
    del content["sha256"]
    listing.write_text(json.dumps(content))


def test_stores_of_the_first_version_open(tmp_path):
    store = _filled(tmp_path)
    _as_before(next(store.path.glob("shard-*.json")))
    reopened = FeatureStore(tmp_path, {"tap": "pool5"}, dtype="float32")
    assert np.array_equal(reopened["b"], np.ones((2, 3)))
    assert reopened.discard_damaged() == 0


def test_rows_of_the_first_version_must_add_up(tmp_path):
    store = _filled(tmp_path)
    _as_before(next(store.path.glob("shard-*.json")), rows=[2, 3, 2])
    reopened = FeatureStore(tmp_path, {"tap": "pool5"}, dtype="float32")
    with pytest.raises(DataError, match="is damaged; delete it"):
        reopened["b"]


def test_an_array_of_another_byte_order(tmp_path):
    """One bit of the header; its numbers stay as they are, and so does their checksum."""
    store = _filled(tmp_path)
    shard = next(store.path.glob("shard-*.npy"))
    shard.write_bytes(shard.read_bytes().replace(b"'<f4'", b"'>f4'"))
    with pytest.raises(DataError, match="is damaged; delete it"):
        FeatureStore(tmp_path, {"tap": "pool5"}, dtype="float32")["b"]
