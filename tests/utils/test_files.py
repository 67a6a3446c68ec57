"""Half-written files: those that a kill left go, those of a running process stay."""

import os
import time

import pytest

from keras_fvvae.errors import RunError
from keras_fvvae.export.saved_model import _version_folder
from keras_fvvae.utils.files import LEFTOVER_SECONDS, remove_leftovers


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


def _export(directory, version=None):
    with _version_folder(directory, version) as (partial, target):
        partial.mkdir()
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
