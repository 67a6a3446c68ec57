"""The folder of a training: continued, taken by another, damaged, or something else."""

import pytest

from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.data import load_folder
from keras_fvvae.errors import RecipeError, RunError
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training import train as task_train
from tests.support.trained_runs import same, stopped_before, weights


def test_finished_run_is_not_trained_again(digits, train, finished_copy, monkeypatch):
    monkeypatch.setattr(task_train.Training, "complete", lambda *a: pytest.fail("trained again"))
    assert train(digits).path == finished_copy.path


def test_two_trainings_in_one_folder(digits, train, finished, tmp_path, monkeypatch):
    """The second is told, with `overwrite` too, and the first ends as if it had been alone."""
    whole, original = finished(), task_train.Training.fit

    def meanwhile(self):
        for overwrite in (False, True):
            with pytest.raises(RunError, match="Another training is writing to .*: wait until it has ended"):
                train(digits, overwrite=overwrite)
        monkeypatch.undo()
        original(self)

    monkeypatch.setattr(task_train.Training, "fit", meanwhile)
    assert same(weights(train(digits)), weights(whole))
    assert not (tmp_path / "run" / ".lock").exists()


def test_other_settings_in_the_same_folder(digits, train, finished_copy):
    with pytest.raises(RunError, match=r"holds another training \(latent_dim = 3, now 2\)"):
        train(digits, latent_dim=2)
    with stopped_before("complete"):
        train(digits, latent_dim=2, overwrite=True)
    assert finished_copy.recipe.latent_dim == 2
    assert not finished_copy.is_finished()


def test_other_images_in_the_same_folder(folder, train):
    """One that is new, and one of other content."""
    with stopped_before("encode"):
        train(folder)
    first, second = sorted((folder / "0").iterdir())[:2]
    (folder / "0" / "new.png").write_bytes(first.read_bytes())
    with pytest.raises(RunError, match="other images, labels or splits"):
        train(folder)
    (folder / "0" / "new.png").unlink()
    first.write_bytes(second.read_bytes())
    with pytest.raises(RunError, match="other images, labels or splits"):
        train(folder)


def test_a_mistake_in_the_first_call_leaves_the_folder_free(digits, train, tmp_path):
    with pytest.raises(RecipeError, match="Unknown tap"):
        train(digits, tap="conv9")
    with stopped_before("collect_inputs"):
        train(digits)
    assert RunFolder(tmp_path / "run").recipe.tap is None


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_files_are_never_deleted(digits, train, tmp_path, overwrite):
    with pytest.raises(RecipeError):
        train(digits, tap="conv9")
    (tmp_path / "run" / "photos").mkdir()
    with pytest.raises(RunError, match=r"is not a run of keras_fvvae alone \(it holds 'photos'\)"):
        train(digits, overwrite=overwrite)
    assert (tmp_path / "run" / "photos").is_dir()


def test_other_backbone_weights_are_another_training(digits, recipe, finished_copy, tmp_path):
    build_recipe_backbone(recipe, None).get_layer("trunk").save_weights(tmp_path / "trunk.weights.h5")
    with pytest.raises(RunError, match="other backbone weights"):
        task_train.train(
            recipe,
            load_folder(digits),
            finished_copy.path,
            backbone_weights=tmp_path / "trunk.weights.h5",
            cache=tmp_path / "cache",
            verbose=0,
        )


def test_settings_left_incomplete_by_a_kill(digits, train, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".labels.json.1.partial").write_text("{")
    (tmp_path / "run" / "labels.json").write_text("{}")
    with stopped_before("collect_inputs"):
        train(digits)
    assert RunFolder(tmp_path / "run").recipe.name == "tiny"
    assert RunFolder(tmp_path / "run").class_names == ["0", "1", "7"]
    assert not (tmp_path / "run" / ".labels.json.1.partial").exists()


@pytest.mark.parametrize("content", ["{}", "[]", "{"])
def test_damaged_manifest(finished_copy, content):
    (finished_copy.path / "manifest.json").write_text(content)
    with pytest.raises(RunError, match=r"manifest.json is damaged"):
        RunFolder.open(finished_copy.path)


def test_output_folder_that_is_something_else(digits, train, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("")
    with pytest.raises(RunError, match="exists and is not a run"):
        train(digits, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        train(digits, out="file/run")


@pytest.mark.parametrize(
    "name", ["model.keras", "metrics.json", "vectors.json", "scores.npy", "history.json", "seconds.json"]
)
def test_altered_run_is_refused(finished_copy, name):
    run = finished_copy
    content = (run.path / name).read_bytes()
    (run.path / name).write_bytes(content + b" ")
    with pytest.raises(RunError, match="was altered after the training"):
        RunFolder.open(run.path)
    (run.path / name).unlink()
    with pytest.raises(RunError, match=f"is incomplete: {name} is missing"):
        RunFolder.open(run.path)


def test_newer_format_is_refused(finished_copy):
    run = finished_copy
    run.write_json("manifest.json", {**run.read_json("manifest.json"), "format": 99})
    with pytest.raises(RunError, match="written by a newer keras_fvvae"):
        RunFolder.open(run.path)


def test_not_a_run(tmp_path):
    with pytest.raises(RunError, match="is not a run of keras_fvvae"):
        RunFolder.open(tmp_path)
