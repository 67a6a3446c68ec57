"""The folder of a training: continued, taken by another, damaged, or something else."""

import pytest

from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.data import load_folder
from keras_fvvae.errors import RecipeError, RunError
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training import train as task_train
from tests.support.trained_runs import same, weights


def test_finished_run_is_not_trained_again(folder, train, monkeypatch):
    run = train(folder)
    monkeypatch.setattr(task_train.Training, "complete", lambda *a: pytest.fail("trained again"))
    assert train(folder).path == run.path


def test_two_trainings_in_one_folder(folder, train, tmp_path, monkeypatch):
    """The second is told, with `overwrite` too, and the first ends as if it had been alone."""
    whole, original = train(folder, out="whole"), task_train.Training.fit

    def meanwhile(self):
        for overwrite in (False, True):
            with pytest.raises(RunError, match="Another training is writing to .*: wait until it has ended"):
                train(folder, overwrite=overwrite)
        monkeypatch.undo()
        original(self)

    monkeypatch.setattr(task_train.Training, "fit", meanwhile)
    assert same(weights(train(folder)), weights(whole))
    assert not (tmp_path / "run" / ".lock").exists()


def test_other_settings_in_the_same_folder(folder, train):
    train(folder)
    with pytest.raises(RunError, match=r"holds another training \(latent_dim = 3, now 2\)"):
        train(folder, latent_dim=2)
    (folder / "0" / "new.png").write_bytes(next((folder / "0").iterdir()).read_bytes())
    with pytest.raises(RunError, match="other images, labels or splits"):
        train(folder)
    assert train(folder, latent_dim=2, overwrite=True).recipe.latent_dim == 2


def test_a_mistake_in_the_first_call_leaves_the_folder_free(folder, train):
    with pytest.raises(RecipeError, match="Unknown tap"):
        train(folder, tap="conv9")
    assert train(folder).recipe.tap is None


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_files_are_never_deleted(folder, train, tmp_path, overwrite):
    with pytest.raises(RecipeError):
        train(folder, tap="conv9")
    (tmp_path / "run" / "photos").mkdir()
    with pytest.raises(RunError, match=r"is not a run of keras_fvvae alone \(it holds 'photos'\)"):
        train(folder, overwrite=overwrite)
    assert (tmp_path / "run" / "photos").is_dir()


def test_changed_images_are_another_training(folder, train):
    train(folder)
    first, second = sorted((folder / "0").iterdir())[:2]
    first.write_bytes(second.read_bytes())
    with pytest.raises(RunError, match="other images, labels or splits"):
        train(folder)


def test_other_backbone_weights_are_another_training(folder, recipe, tmp_path):
    collection = load_folder(folder)
    build_recipe_backbone(recipe, None).get_layer("trunk").save_weights(tmp_path / "trunk.weights.h5")
    task_train.train(recipe, collection, tmp_path / "run", backbone_weights=None, cache=tmp_path / "cache", verbose=0)
    with pytest.raises(RunError, match="other backbone weights"):
        task_train.train(
            recipe,
            collection,
            tmp_path / "run",
            backbone_weights=tmp_path / "trunk.weights.h5",
            cache=tmp_path / "cache",
            verbose=0,
        )


def test_settings_left_incomplete_by_a_kill(folder, train, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".labels.json.1.partial").write_text("{")
    (tmp_path / "run" / "labels.json").write_text("{}")
    assert train(folder).recipe.name == "tiny"


@pytest.mark.parametrize("content", ["{}", "[]", "{"])
def test_damaged_manifest(folder, train, content):
    run = train(folder)
    (run.path / "manifest.json").write_text(content)
    with pytest.raises(RunError, match=r"manifest.json is damaged"):
        RunFolder.open(run.path)


def test_output_folder_that_is_something_else(folder, train, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("")
    with pytest.raises(RunError, match="exists and is not a run"):
        train(folder, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        train(folder, out="file/run")


@pytest.mark.parametrize(
    "name", ["model.keras", "metrics.json", "vectors.json", "scores.npy", "history.json", "seconds.json"]
)
def test_altered_run_is_refused(folder, train, name):
    run = train(folder)
    content = (run.path / name).read_bytes()
    (run.path / name).write_bytes(content + b" ")
    with pytest.raises(RunError, match="was altered after the training"):
        RunFolder.open(run.path)
    (run.path / name).unlink()
    with pytest.raises(RunError, match=f"is incomplete: {name} is missing"):
        RunFolder.open(run.path)


def test_newer_format_is_refused(folder, train):
    run = train(folder)
    run.write_json("manifest.json", {**run.read_json("manifest.json"), "format": 99})
    with pytest.raises(RunError, match="written by a newer keras_fvvae"):
        RunFolder.open(run.path)


def test_not_a_run(tmp_path):
    with pytest.raises(RunError, match="is not a run of keras_fvvae"):
        RunFolder.open(tmp_path)
