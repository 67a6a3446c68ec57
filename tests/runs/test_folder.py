"""What a killed training leaves, and that the next call on its folder removes it."""

import numpy as np

from keras_fvvae.data import Collection
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs.folder import RunFolder

COLLECTION = Collection([np.zeros((8, 8, 3), "uint8")] * 2, ["a", "b"], [0, 1], ["train"] * 2, ["a", "b"])
HALVES = (".partial-vectors.npy", ".partial-vectors.npy.compressed", ".history.json.77.partial")


def _killed(path):
    run = RunFolder.create(path, Recipe(name="tiny"), COLLECTION)
    (path / "checkpoints").mkdir()
    for name in (*HALVES, "checkpoints/.partial-step-00000002.weights.h5", "checkpoints/step-00000001.weights.h5"):
        (path / name).write_text("half")
    run.write_json("history.json", {"loss": [1.0]})
    return run


def _files(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def test_half_written_files_go_and_checkpoints_stay(tmp_path):
    _killed(tmp_path)
    RunFolder.create(tmp_path, Recipe(name="tiny"), COLLECTION)
    assert _files(tmp_path) == ["checkpoints/step-00000001.weights.h5", "history.json", "labels.json", "recipe.yaml"]


def test_killed_between_the_manifest_and_the_removal(tmp_path):
    run = _killed(tmp_path)
    run.write_json("manifest.json", {"format": 1, "sha256": {}})
    run = RunFolder.create(tmp_path, Recipe(name="tiny"), COLLECTION)
    assert run.is_finished()
    assert _files(tmp_path) == ["history.json", "labels.json", "manifest.json", "recipe.yaml"]


def test_a_finished_run_holds_nothing_half(tmp_path):
    _killed(tmp_path).finish()
    assert RunFolder.open(tmp_path).is_finished()
    assert _files(tmp_path) == ["history.json", "labels.json", "manifest.json", "recipe.yaml"]
    assert not (tmp_path / "checkpoints").exists()
