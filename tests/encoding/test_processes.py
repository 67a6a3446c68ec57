"""Encoding in real processes that are killed with SIGKILL."""

import dataclasses
import multiprocessing
import os
import random
import signal

import numpy as np
import pytest

from keras_fvvae.data.datasets.folder import load_folder
from keras_fvvae.encoding import processes as module
from keras_fvvae.encoding.extraction import Extraction
from keras_fvvae.encoding.item_encoder import ItemEncoder, open_encoding
from keras_fvvae.encoding.items import Item, Shard, list_items
from keras_fvvae.encoding.output import Output
from keras_fvvae.encoding.processes import encode_in_processes
from keras_fvvae.errors import RunError, WeightsError


class _Lethal:
    """What ends the process that unpickles it, as a crash of a decoder would."""

    def __reduce__(self):
        return os._exit, (1,)


def _expected(encoding, items):
    encoder = ItemEncoder(encoding)
    return {result.key: result for item in items for result in encoder.results(encoder.submit([item]))}


def _assert_same(results, expected):
    assert sorted(result.key for result in results) == sorted(expected)
    for result in results:
        assert (result.vector is None) == (expected[result.key].vector is None)
        assert result.reason == expected[result.key].reason
        if result.vector is not None:
            np.testing.assert_allclose(result.vector, expected[result.key].vector, atol=1e-6)


@pytest.fixture
def small_chunks(monkeypatch):
    """Processes take two videos at a time, so that a killed one holds some and others wait."""
    from keras_fvvae.encoding.item_encoder import Encoding

    monkeypatch.setattr(Encoding, "chunk_items", 2)
    monkeypatch.setattr(module, "CHUNKS_AHEAD", 0)


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_processes(run, videos, small_chunks, kills):
    """Two processes; after every second result one of them, drawn at random, is killed."""
    items = list_items(load_folder(videos, unlabelled=True))
    encoding = open_encoding(run, "video")
    draw, results, killed = random.Random(0), [], []
    for result in encode_in_processes(encoding, items, processes=2):
        results.append(result)
        if len(killed) < kills and len(results) % 2 == 0:
            victim = draw.choice([child for child in multiprocessing.active_children() if child.pid not in killed])
            os.kill(victim.pid, signal.SIGKILL)
            killed.append(victim.pid)
    assert len(killed) == kills
    _assert_same(results, _expected(encoding, items))
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_an_item_that_kills_fails_alone(run, images, small_chunks):
    good = list_items(load_folder(images, unlabelled=True))[1:4]
    items = [good[0], Item("lethal.jpg:1", "lethal.jpg", _Lethal()), *good[1:]]
    encoding = open_encoding(run, "image")
    results = list(encode_in_processes(encoding, items))
    (failed,) = (result for result in results if result.key == "lethal.jpg:1")
    assert failed.reason == "3 processes died while they encoded it (exit code 1)"
    _assert_same([result for result in results if result is not failed], _expected(encoding, good))


@pytest.mark.slow
def test_processes_that_die_at_the_start(run, monkeypatch):
    monkeypatch.setattr(module, "MAX_FAILED_STARTS", 1)
    with pytest.raises(RunError, match=r"died while they loaded the model \(exit code 1\)"):
        list(encode_in_processes(_LethalEncoding(), [Item("a:1", "a", "/a")]))


class _LethalEncoding(_Lethal):
    chunk_items = 1


@pytest.mark.slow
def test_a_model_that_changes_is_an_error(run, tmp_path):
    model = tmp_path / "model.keras"
    model.write_bytes((run / "model.keras").read_bytes())
    encoding = dataclasses.replace(open_encoding(run, "image"), model=str(model), digest="0" * 64)
    with pytest.raises(WeightsError, match="is not the model that the encoding began with"):
        list(encode_in_processes(encoding, [Item("a:1", "a", "/a")]))


def test_restart_shards_and_failures(run, images, tmp_path):
    """An extraction of one shard, then of all, then again, then with what was broken repaired."""
    out = tmp_path / "out"
    shard = Extraction(run, images, out, shard=Shard(1, 3)).run(verbose=0)
    assert shard.complete
    assert 0 < shard.stored < 40
    extraction = Extraction(run, images, out)
    before = {key: np.array(extraction.output.open_store()[key]) for key in extraction.output.open_store()}
    summary = extraction.run(verbose=0)
    assert (summary.stored, list(summary.failed), summary.missing) == (40, ["part0/broken.png"], [])
    store = extraction.output.open_store()
    assert len(store) == 40
    expected = _expected(extraction.encoding, extraction.items)
    for key in store:
        np.testing.assert_allclose(store[key], expected[key].vector, atol=1e-6)
    for key, vector in before.items():
        np.testing.assert_array_equal(store[key], vector)
    # Nothing is left: no process is started, no file is written to the store.
    files = sorted(store.path.iterdir())
    assert extraction.run(verbose=0) == summary
    assert sorted(store.path.iterdir()) == files
    # Tried again when asked to; it fails again, and is listed once.
    again = extraction.run(retry_failed=True, verbose=0)
    assert again == summary
    assert len(list((out / "failed").iterdir())) == 2
    assert Output(out, extraction.encoding).failures().keys() == {"part0/broken.png:8"}
