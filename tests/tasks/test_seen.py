"""Files that a run was trained on are told by what they hold; of runs that did not note it, by where they lie."""

import os

import numpy as np
import pytest

from keras_fvvae.data import Collection
from keras_fvvae.errors import RunError
from keras_fvvae.recipes import load_recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.results import RunResults
from keras_fvvae.tasks.seen import SeenItems


def _run(path, sources, names, note=True):
    splits = ["train", "train", "test"]
    collection = Collection(sources, names, [0, 1, 0], splits, ["a", "b"])
    run = RunFolder.create(path, load_recipe("digits_conv"), collection)
    run.write_items(names, [0, 1, 0], splits)
    if note:
        run.write_digests(collection)
    run.write_results(RunResults("", "FV-VAE"), {})
    run.finish()
    return RunFolder.open(run.path)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "data" / "a").mkdir(parents=True)
    names = ["a/1.jpg", "a/2.jpg", "a/3.jpg"]
    for name in names:
        (tmp_path / "data" / name).write_bytes(name.encode())
    return [tmp_path / "data" / name for name in names], names


def test_pipes_and_devices_are_not_read(files, tmp_path):
    """`suggest` asks of every file before it is read."""
    seen = SeenItems.of_run(_run(tmp_path / "run", *files))
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    assert [seen.how(tmp_path / name) for name in ("pipe.jpg", "device.jpg", "nowhere.jpg")] == [""] * 3


def test_by_content(files, tmp_path):
    paths, names = files
    run = _run(tmp_path / "run", paths, names)
    assert "digests.json" in run.manifest.sha256
    seen = SeenItems.of_run(run)
    assert [seen.how(path) for path in paths] == ["content", "content", ""]
    (tmp_path / "copy.jpg").write_bytes(paths[0].read_bytes())
    paths[0].write_bytes(b"another picture")
    assert [seen.how(path) for path in (tmp_path / "copy.jpg", paths[0], "absent.jpg")] == ["content", "", ""]
    (run.path / "digests.json").write_text('{"sha256": [1]}')
    with pytest.raises(RunError, match=r"digests.json is damaged"):
        SeenItems.of_run(run)


def test_by_path(files, tmp_path):
    paths, names = files
    run = _run(tmp_path / "run", paths, names, note=False)
    seen = SeenItems.of_run(run)
    assert [seen.how(path) for path in paths] == ["path", "path", ""]
    assert [seen.how(path) for path in ("elsewhere/a/1.jpg", "b/1.jpg", "1.jpg")] == ["path", "", ""]


def test_arrays_are_no_files(tmp_path):
    arrays = [np.zeros((4, 4, 3), "uint8")] * 3
    run = _run(tmp_path / "run", arrays, ["0", "1", "2"])
    assert run.training_digests() == []
    assert SeenItems.of_run(run).how("0") == ""
