"""The output folder: of one encoding, merged, verified, with a list of failures."""

import csv
import dataclasses

import numpy as np
import pytest

from keras_fvvae.data.views import Views
from keras_fvvae.encoding.item_encoder import Encoding, Result
from keras_fvvae.encoding.items import Item, shard_of
from keras_fvvae.encoding.output import FAILED, Output
from keras_fvvae.errors import RunError

ENCODING = Encoding("model.keras", "0" * 64, Views((8, 8)), "image")
ITEMS = [Item(f"{name}:1", name, f"/data/{name}") for name in ("a.jpg", "b.jpg", "c.jpg", "d, e.jpg")]


def _result(item, reason=""):
    vector = None if reason else np.full((1, 3), ord(item.name[0]), "float32")
    return Result(item.key, vector, reason=reason, note="cut short" if item.name == "b.jpg" else "")


def _fill(path, items, encoding=ENCODING, **reasons):
    output = Output(path, encoding)
    writer = output.writer()
    for item in items:
        writer.keep(_result(item, reasons.get(item.name[0], "")))
    writer.flush()
    return output


def test_summary(tmp_path):
    output = _fill(tmp_path / "out", ITEMS[:2] + ITEMS[3:], d="not\nreadable")
    summary = output.summary(ITEMS, shards=5, absent={"z.jpg": "it is listed, and not on disk"})
    assert (summary.items, summary.stored, summary.missing) == (5, 2, ["c.jpg"])
    assert summary.failed == {"d, e.jpg": "not readable", "z.jpg": "it is listed, and not on disk"}
    assert summary.shards == {number: int(number == shard_of("c.jpg", 5)) for number in range(1, 6)}
    assert summary.damaged == {"b.jpg": "cut short"}
    assert not summary.complete
    assert output.summary(ITEMS[:1]).others == 1
    text = (tmp_path / "out" / "failed.csv").read_text()
    assert list(csv.reader(text.splitlines())) == [["file", "reason"], ["d, e.jpg", "not readable"]]


def test_what_is_stored_later_has_not_failed(tmp_path):
    output = _fill(tmp_path / "out", ITEMS, a="absent")
    assert list(output.summary(ITEMS).failed) == ["a.jpg"]
    _fill(tmp_path / "out", ITEMS[:1])
    summary = output.summary(ITEMS)
    assert (summary.failed, summary.stored) == ({}, 4)
    assert (tmp_path / "out" / "failed.csv").read_text() == "file,reason\n"


def test_half_a_line_of_a_killed_process(tmp_path):
    output = _fill(tmp_path / "out", ITEMS[:1], a="one reason")
    (tmp_path / "out" / FAILED / "killed.csv").write_text("b.jpg:1,whole\nc.jpg:1,ha")
    assert output.failures() == {"a.jpg:1": "one reason", "b.jpg:1": "whole"}


def test_odd_names(tmp_path):
    item = Item('q "\udcff\n.jpg:1', 'q "\udcff\n.jpg', "/data/q")
    output = _fill(tmp_path / "out", [item], q="why")
    assert output.summary([item]).failed == {item.name: "why"}


def test_merge(tmp_path):
    whole = _fill(tmp_path / "whole", ITEMS, d="broken")
    first, second = _fill(tmp_path / "1", ITEMS[:2]), _fill(tmp_path / "2", ITEMS[2:], d="broken")
    merged = Output(tmp_path / "merged", ENCODING)
    for _ in range(2):  # the second time changes nothing
        for part in (first, second):
            merged.merge(part.path)
    assert dataclasses.replace(merged.summary(ITEMS), path=None) == dataclasses.replace(whole.summary(ITEMS), path=None)
    assert len(list(merged.open_store().path.glob("shard-*.npy"))) == 2
    for key in whole.open_store():
        np.testing.assert_array_equal(merged.open_store()[key], whole.open_store()[key])
    with pytest.raises(RunError, match="is not the output folder of an encoding"):
        merged.merge(tmp_path)
    other = Output(tmp_path / "other", dataclasses.replace(ENCODING, raw=True))
    with pytest.raises(RunError, match="raw = True, now False"):
        merged.merge(other.path)


def test_damaged_shards_are_missing(tmp_path):
    output = _fill(tmp_path / "out", ITEMS[:2])
    _fill(tmp_path / "out", ITEMS[2:])
    shard = sorted(output.open_store().path.glob("shard-*.npy"))[0]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    assert output.summary(ITEMS).complete  # nothing is read
    summary = output.summary(ITEMS, check=True)
    assert len(summary.missing) == 2
    assert not shard.exists()
    _fill(tmp_path / "out", [item for item in ITEMS if item.name in summary.missing])
    assert output.summary(ITEMS, check=True).complete


def test_folders_that_are_refused(tmp_path):
    _fill(tmp_path / "out", ITEMS)
    another = dataclasses.replace(ENCODING, digest="1" * 64, dtype="float16")
    with pytest.raises(RunError, match=r"of another encoder \(another model; dtype = 'float32', now 'float16'\)"):
        Output(tmp_path / "out", another)
    moved = dataclasses.replace(ENCODING, model="/elsewhere/model.keras")
    assert Output(tmp_path / "out", moved).summary(ITEMS).complete
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cat.jpg").write_bytes(b"")
    with pytest.raises(RunError, match="is not the output folder of an encoding"):
        Output(tmp_path / "data", ENCODING)
    with pytest.raises(RunError, match="cannot be written"):
        Output(tmp_path / "data" / "cat.jpg", ENCODING)
    (tmp_path / "out" / "encoding.json").write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        Output(tmp_path / "out", ENCODING)
