"""The whole way on a folder of images, with all that can be wrong with it."""

import csv
import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae import data
from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.data import Collection, batch_sizes, load_folder
from keras_fvvae.errors import DataError, RunError, WeightsError
from keras_fvvae.features import FeatureStore
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.predict import predict
from keras_fvvae.training import train as task_train
from keras_fvvae.training.inputs.activations import ActivationInputs
from keras_fvvae.training.inputs.pixels import PixelInputs
from keras_fvvae.training.inputs.sampled import SampledInputs
from tests.support.trained_runs import interrupted, same, stopped_before, weights

# With a backbone that learns, and images that are moved at random; `{}`: of activations that are computed once.
PIXELS = {"trainable_from": "all", "random_shift": 1}


@pytest.mark.parametrize("changes", [{}, PIXELS], ids=str)
def test_run_is_complete(finished, changes):
    run = RunFolder.open(finished(**changes).path)
    assert list(run.results.metrics) == ["AVE", "FV-VAE"]
    assert run.results.own["examples"] == 6
    assert run.results.own["dimension"] == 8 * 4
    assert len(run.history["loss"]) == 6
    vectors = np.load(run.path / "vectors.npy")
    assert vectors.shape == (24, 8, 4)
    assert np.allclose(np.linalg.norm(vectors.reshape(24, -1), axis=1), 1, atol=1e-5)
    assert np.array_equal(run.vectors().values, vectors.reshape(24, -1))
    assert set(run.manifest.sha256) == {path.name for path in run.path.iterdir()} - {"manifest.json"}


def test_saved_model_gives_the_evaluated_scores(digits, finished):
    run = finished(**PIXELS)
    names, expected = run.vectors().test.ids, run.scores()["FV-VAE"]
    results = list(predict(run.path, [digits / name for name in names], top_k=3))
    for row, result in zip(expected, results, strict=True):
        assert np.allclose(np.sort(row)[::-1], result["scores"], atol=1e-4)
        assert result["labels"][0] == run.class_names[row.argmax()]


def test_the_model_comes_from_the_training_part_only(folder, train, finished):
    """Other test images must not change it: normalising over all images would be transductive."""
    before = weights(finished())
    collection = load_folder(folder)
    blank = tf.io.encode_png(np.full((8, 8, 3), 90, "uint8")).numpy()
    for index in collection.indices("test"):
        collection.sources[index].write_bytes(blank)
    after = weights(train(folder))
    for one, other in zip(before, after, strict=True):
        assert np.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_another_seed_gives_another_result(digits, train, finished):
    """The same one gives the same: see the test below, in which trainings of one recipe must agree to the bit."""
    assert not same(weights(finished(**PIXELS)), weights(train(digits, seed=1, **PIXELS)))


@pytest.mark.parametrize(
    ("kind", "changes"),
    [(PixelInputs, PIXELS), (ActivationInputs, {"sampled_descriptors": None}), (SampledInputs, {})],
)
def test_interrupted_and_continued_equals_uninterrupted(digits, train, finished, tmp_path, kind, changes):
    """Ctrl-C after the third of six steps; the same call continues and ends with the same weights and history."""
    whole = finished(**changes)
    with interrupted(kind, 3):
        train(digits, **changes)
    run = RunFolder(tmp_path / "run")
    assert [p.name for p in (run.path / "checkpoints").glob("*.h5")] == ["step-00000004.weights.h5"]
    with pytest.raises(RunError, match="is not finished"):
        RunFolder.open(run.path)
    run = train(digits, **changes)
    assert run.history == whole.history
    assert same(weights(run), weights(whole))


@pytest.mark.slow
def test_damaged_checkpoint_falls_back(digits, train, finished, tmp_path):
    """Quick ones: `test_checkpoints.py`, of the training steps; `test_full_disk_after_training`, of the place."""
    with stopped_before("encode"):
        train(digits, checkpoint_seconds=0)
    checkpoints = sorted((tmp_path / "run" / "checkpoints").glob("*.h5"))
    assert len(checkpoints) == 2
    checkpoints[-1].write_bytes(checkpoints[-1].read_bytes()[:100])
    with pytest.warns(UserWarning, match="is damaged; the training goes on from step 5"):
        run = train(digits)
    assert same(weights(run), weights(finished()))


def test_activations_are_computed_once(digits, train, finished, shared_runs, monkeypatch):
    finished()
    monkeypatch.setattr(keras.Model, "predict_on_batch", lambda *a: pytest.fail("the backbone ran again"))
    with stopped_before("fit"):
        train(digits, latent_dim=2, cache=shared_runs.cache)


def test_interrupted_activations_are_kept(digits, train, monkeypatch):
    monkeypatch.setattr(batch_sizes, "MAX_BATCH", 8)
    original, calls = keras.Model.predict_on_batch, []

    def interrupting(self, x):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(x))
        return original(self, x)

    monkeypatch.setattr(keras.Model, "predict_on_batch", interrupting)
    with pytest.raises(KeyboardInterrupt):
        train(digits)
    monkeypatch.setattr(keras.Model, "predict_on_batch", lambda self, x: calls.append(len(x)) or original(self, x))
    with stopped_before("fit"):
        train(digits)
    assert calls == [8, 8, 8]


def test_bad_files_are_skipped_and_listed(folder, finished, tmp_path):
    """And the result for the rest is the same as without them."""
    clean = finished()
    good = load_folder(folder)
    bad = {"0/broken.jpg": b"\xff\xd8\xff\xe0 broken", "7/empty.png": b""}
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    collection = Collection(
        [folder / name for name in bad] + good.sources,
        [*bad, *good.names],
        [0, 2, *good.labels],
        ["train", "test", *good.splits],
        good.class_names,
    )
    run = task_train.train(
        clean.recipe, collection, tmp_path / "run", backbone_weights=None, cache=tmp_path / "cache", verbose=0
    )
    rows = list(csv.reader((run.path / "skipped.csv").open()))
    assert rows[0] == ["file", "reason"]
    assert dict(rows[1:]) == {"0/broken.jpg": "truncated or damaged", "7/empty.png": "the file is empty"}
    assert run.results.skipped == 2
    assert same(weights(run), weights(clean))


def test_too_many_bad_files(folder, train):
    for path in (folder / "0").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"8 of 24 images cannot be used \(33%, allowed are 10%\); the first is 0/"):
        train(folder)


def test_a_class_without_readable_images_is_never_predicted(folder, train):
    for path in (folder / "0").iterdir():
        path.write_bytes(b"nothing")
    run = train(folder, max_unreadable=0.5)
    results = list(predict(run.path, sorted((folder / "1").iterdir()), top_k=3))
    assert {result["labels"][-1] for result in results} == {"0"}


def test_only_one_class_is_readable(folder, train):
    for name in "01":
        for path in (folder / name).iterdir():
            path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="Fewer than two classes have readable training images"):
        train(folder, max_unreadable=1.0)


def test_a_class_with_one_image_and_names_that_are_not_utf8(folder, train):
    (folder / "lonely").mkdir()
    content = next((folder / "7").iterdir()).read_bytes()
    (folder / "lonely" / os.fsdecode(b"caf\xe9.png")).write_bytes(content)
    (folder / "0" / os.fsdecode(b"bad\xe9.png")).write_bytes(b"")
    run = train(folder)
    assert any("'lonely' has too few images (1)" in note for note in run.results.notes)
    assert run.class_names == ["0", "1", "7", "lonely"]
    assert len(run.vectors().names) == 24 + 1
    assert b"bad" in (run.path / "skipped.csv").read_bytes()


def test_overflowing_activations(digits, train, recipe):
    backbone = build_recipe_backbone(recipe, None)
    weights = backbone.get_weights()
    weights[-1][:] = 1e6  # the last bias: beyond float16, in which activations are kept
    backbone.set_weights(weights)
    with pytest.raises(DataError, match="24 of 24 images cannot be used .* activations are NaN, infinite or beyond"):
        train(digits, backbone=backbone)


def test_nan_weights(digits, train, recipe):
    backbone = build_recipe_backbone(recipe, None)
    weights = backbone.get_weights()
    weights[2][..., 0] = np.nan
    backbone.set_weights(weights)
    with pytest.raises(WeightsError, match="weights hold NaN or infinite values, first in conv2/kernel"):
        train(digits, backbone=backbone)


def test_diverging_training_is_stopped(digits, train):
    with pytest.raises(RunError, match=r"The loss became nan .*Lower `learning_rate`"):
        train(digits, optimizer="sgd", learning_rate=1e6)


def test_no_test_images(digits, train, monkeypatch):
    monkeypatch.setattr("tests.training.conftest.load_folder", lambda path: data.load_folder(path, 0.0))
    run = train(digits)
    assert run.results.metrics == {}
    assert run.scores() == {}
    assert "24 training and 0 test images" in run.results.protocol
    with pytest.raises(RunError, match="has no test scores: nothing was held out for testing"):
        _ = run.vectors().test


def test_settings_that_do_not_go_together_fail_first(digits, train, monkeypatch):
    monkeypatch.setattr(ActivationInputs, "prepare", lambda *a: pytest.fail("activations were computed"))
    with pytest.raises(ValueError, match="smaller than the finest level 9"):
        train(digits, descriptors="spp", spp_levels=[9])


@pytest.mark.parametrize("pattern", ["*.npy", "shard-*.json"])
def test_damaged_cache_is_computed_again(digits, train, tmp_path, pattern):
    with stopped_before("fit"):
        train(digits)
    before = _cached(tmp_path / "cache")
    for path in (tmp_path / "cache").rglob(pattern):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    with stopped_before("fit"):
        train(digits)
    after = _cached(tmp_path / "cache")
    assert len(before) == 24
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key]) for key in before)


def _cached(cache):
    """What a cache of activations holds, by key."""
    (path,) = cache.glob("*/settings.json")
    settings = json.loads(path.read_text())
    store = FeatureStore(cache, settings, settings.pop("dtype"))
    assert store.discard_damaged() == 0
    return {key: np.array(store[key]) for key in store}


def test_predict_reports_bad_files(digits, finished):
    good = next((digits / "0").iterdir())
    results = list(predict(finished().path, [digits / "absent.png", good]))
    assert results[0]["error"] == "cannot be opened: No such file or directory"
    assert len(results[1]["labels"]) == 3
