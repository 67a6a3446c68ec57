"""Half-written files: those that a kill left go, those of a running process stay."""

import contextlib
import json
import os
import time

import numpy as np
import pytest

from keras_fvvae.errors import RunError
from keras_fvvae.export.places import version_folder
from keras_fvvae.utils.files import LEFTOVER_SECONDS, reason, remove_leftovers, replacing, write_json, write_npy


def _age(path, seconds=LEFTOVER_SECONDS + 60):
    os.utime(path, (time.time() - seconds,) * 2)


def test_only_old_leftovers_are_removed(tmp_path):
    (tmp_path / "old").mkdir()
    for name in ("old/inside", "old.npy", "young.npy"):
        (tmp_path / name).write_text("half")
    _age(tmp_path / "old")
    _age(tmp_path / "old.npy")
    remove_leftovers([*tmp_path.iterdir(), tmp_path / "absent"])
    assert [path.name for path in tmp_path.iterdir()] == ["young.npy"]


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def _stop_half_way(path, folder=False):
    with replacing(path, folder=folder) as partial:
        (partial / "file" if folder else partial).write_text("half")
        assert partial.suffix == path.suffix, "writers look at the ending"
        assert partial.name.startswith(".partial-")
        raise RuntimeError("stopped")


def test_a_file_is_whole_or_as_before(tmp_path):
    path = tmp_path / "a.keras"
    path.write_text("before")
    with pytest.raises(RuntimeError, match="stopped"):
        _stop_half_way(path)
    assert (path.read_text(), _names(tmp_path)) == ("before", ["a.keras"])
    with replacing(path) as partial:
        partial.write_text("after")
    assert (path.read_text(), _names(tmp_path)) == ("after", ["a.keras"])


def test_writers_of_one_file_have_paths_of_their_own(tmp_path):
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as other:
        assert one != other
        one.write_text("1")
        other.write_text("2")
    assert (tmp_path / "a").read_text() == "1", "the outer one ends last"


def test_what_a_kill_left_is_written_over_where_one_writes_alone(tmp_path):
    (tmp_path / ".partial-a").write_text("a kill's")
    with replacing(tmp_path / "a", unique=False) as partial:
        partial.write_text("new")
    assert (_names(tmp_path), (tmp_path / "a").read_text()) == (["a"], "new")


def test_a_folder_is_whole_or_not_there(tmp_path):
    with pytest.raises(RuntimeError, match="stopped"):
        _stop_half_way(tmp_path / "b", folder=True)
    assert not _names(tmp_path)
    for content in ("first", "second"):
        expected = contextlib.nullcontext() if content == "first" else pytest.raises(OSError, match="not empty")
        with expected, replacing(tmp_path / "b", folder=True) as partial:
            (partial / "file").write_text(content)
    assert (_names(tmp_path), (tmp_path / "b" / "file").read_text()) == (["b"], "first")


def test_arrays_and_plain_data(tmp_path):
    write_npy(tmp_path / "array", np.arange(3))
    write_json(tmp_path / "data.json", {"a": [1, "é"]}, indent=2)
    assert np.load(tmp_path / "array").tolist() == [0, 1, 2]
    assert json.loads((tmp_path / "data.json").read_text()) == {"a": [1, "é"]}
    assert _names(tmp_path) == ["array", "data.json"]


def _export(directory, version=None):
    with version_folder(directory, version) as (partial, target):
        (partial / "saved_model.pb").write_text("graph")
    return target


def test_an_export_removes_what_killed_ones_left(tmp_path):
    for name in (".partial-old", ".partial-young"):
        (tmp_path / name / "model").mkdir(parents=True)
    _age(tmp_path / ".partial-old")
    assert _export(tmp_path) == tmp_path / "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".partial-young", "1"]


def test_a_served_version_is_never_old(tmp_path):
    _age(_export(tmp_path))
    with pytest.raises(RunError, match="served versions are never replaced"):
        _export(tmp_path, 1)
    assert (tmp_path / "1" / "saved_model.pb").exists()


@pytest.mark.parametrize("folder", [False, True])
def test_errors_name_the_path_that_was_asked_for(tmp_path, folder):
    """Not the hidden one beside it, which nobody but `replacing` knows."""
    path = tmp_path / "absent" / "a.npy"
    with pytest.raises(OSError, match="a.npy") as caught, replacing(path) as partial:
        partial.write_text("x")
    assert caught.value.filename == str(path)
    path = tmp_path / "b"
    with pytest.raises(OSError, match="No space") as caught, replacing(path, folder=folder):
        raise OSError(28, "No space left on device")  # of a write, which tells no name
    assert caught.value.filename == str(path)
    with pytest.raises(OSError, match="No such file") as caught, replacing(path, folder=True) as partial:
        (partial / "c" / "d").write_text("x")
    assert caught.value.filename == str(path / "c" / "d")
    with pytest.raises(OSError, match="other") as caught, replacing(path):
        (tmp_path / "other").read_text()
    assert caught.value.filename == str(tmp_path / "other")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [Errno 28] No space left on device: '/d/.partial-x'", "No space left on device"),
        ("6144 requested and 6080 written", "No space left on device"),
        ("{{function_node __wrapped__SaveV2}} /d/.partial-1a2b3c4d-1/x; Read-only [Op:SaveV2]", "/d/1/x; Read-only"),
        ("Unable to open /d/.partial-model.keras.", "Unable to open /d/model.keras"),
        ("one\ntwo", "one"),
    ],
)
def test_reasons(text, expected):
    assert reason(RuntimeError(text)) == expected
