"""Runs as SavedModels: what the options change is measured, and two streams become one."""

import re

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae import zoo
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data import load_moving_digits
from keras_fvvae.data.views import read_resized
from keras_fvvae.errors import RunError
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.svm.calibrators import fit_calibration
from keras_fvvae.tasks.export_runs import export_runs
from keras_fvvae.tasks.fused_calibration import fused_calibration, held_out_scores
from keras_fvvae.training import train as task_train

RECIPE = Recipe(
    name="tiny", backbone="DigitsConvNet", backbone_options={"filters": 4, "strides": [2, 2, 1]}, input_size=[32, 32],
    frames=3, descriptors="dense", sampled_descriptors=20, latent_dim=2, batch_size=8, steps=4,
    calibration="temperature",
)  # fmt: skip


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return load_moving_digits(tmp_path_factory.mktemp("videos"), 2, 1, 6, 32, verbose=0)


@pytest.fixture(scope="module")
def runs(videos, tmp_path_factory):
    """Finished runs on frames and on optical flow."""
    folder = tmp_path_factory.mktemp("runs")
    for modality in ("rgb", "flow"):
        recipe = RECIPE.replace(name=modality, modality=modality)
        task_train.train(recipe, videos, folder / modality, backbone_weights=None, cache=folder / "cache", verbose=0)
    return [folder / "rgb", folder / "flow"]


def test_measured_changes_are_in_the_card(runs, tmp_path):
    path = export_runs(runs[:1], tmp_path, half_svm=True, pca_components=5)
    card = (path / "assets.extra" / "card.md").read_text()
    run = RunFolder.open(runs[0])
    accuracy = run.results.own["accuracy"]
    assert f"Accuracy of the run rgb: {100 * accuracy:.1f} (" in card
    before, after = re.search(r"8 test items (\S+)% before and (\S+)% after .*points", card).groups()
    assert float(before) == pytest.approx(100 * accuracy, abs=0.01)
    assert 0 <= float(after) <= 100
    assert re.search(r"from \d+ to 5 numbers by PCA", card)
    change = float(re.search(r"scores change by at most (\S+),", card)[1])
    assert 0 < change < 0.1
    vectors = tf.saved_model.load(str(path)).signatures["encode"].structured_outputs["fisher_vector"]
    assert vectors.shape == (None, 5)


def test_the_compressed_run_classifies_like_its_measurement(runs, videos, tmp_path):
    """Served vectors are the principal components of the run's vectors of the same videos."""
    path = export_runs(runs[:1], tmp_path, pca_components=5)
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    frames, counts, _ = _frames(runs[0], videos)
    labels = videos.labels[videos.indices("test")]
    outputs = serve(frames=tf.constant(frames), num_frames=tf.constant(counts))
    accuracy = np.mean(outputs["scores"].numpy().argmax(axis=1) == labels)
    measured = re.search(r"and (\S+)% after", (path / "assets.extra" / "card.md").read_text())[1]
    # The run's vectors are of activations in float16: one of the eight videos may be decided by that.
    assert abs(100 * accuracy - float(measured)) <= 100 / len(labels) + 0.01


def test_two_runs_are_fused(runs, videos, tmp_path):
    path = export_runs(runs, tmp_path, weights=[1, 2], coverage=0.9)
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    inputs, scores = {}, []
    for run, prefix, weight in zip(runs, ("", "flow_"), (1 / 3, 2 / 3), strict=True):
        frames, counts, pixels = _frames(run, videos)
        inputs |= {f"{prefix}frames": tf.constant(frames), f"num_{prefix}frames": tf.constant(counts)}
        scores.append(weight * zoo.load_classifier(run / "model.keras")(pixels).numpy())
    answers, fused = serve(**inputs), np.sum(scores, axis=0)
    np.testing.assert_allclose(answers["scores"], fused, rtol=1e-5, atol=1e-4)
    held_out = [held_out_scores(RunFolder.open(run)) for run in runs]
    calibration, said = fused_calibration(held_out, [1, 2], videos.class_names)
    np.testing.assert_allclose(answers["probabilities"], calibration.probabilities(fused), atol=1e-4)
    known = answers["label_probabilities"].numpy()[:, 0] >= calibration.threshold(0.9)
    np.testing.assert_array_equal(answers["answer"].numpy() != b"", known)
    assert said in (path / "assets.extra" / "card.md").read_text()
    assert sorted(p.name for p in (path / "assets.extra").iterdir()) == [
        "card.md", "flow_recipe.yaml", "recipe.yaml", "tf_serving_warmup_requests",
    ]  # fmt: skip


def test_held_out_scores_are_of_the_calibration(runs):
    """By them the run's own calibration is found again."""
    for path in runs:
        run = RunFolder.open(path)
        own = held_out_scores(run)
        labels = np.array([own.class_names.index(label) for label in own.labels])
        again, _ = fit_calibration("temperature", own.scores, labels, own.folds)
        assert again.parameters["temperature"] == pytest.approx(run.calibration.parameters["temperature"], rel=1e-4)


def test_compressed_runs_are_calibrated_anew(runs, videos, tmp_path):
    path = export_runs(runs, tmp_path, pca_components=5)
    card = (path / "assets.extra" / "card.md").read_text()
    whole = fused_calibration([held_out_scores(RunFolder.open(run)) for run in runs], None, videos.class_names)[1]
    assert "Probabilities of the fused scores: temperature" in card
    assert whole not in card


def test_what_is_refused(runs, tmp_path):
    with pytest.raises(RunError, match="one on frames and one on optical flow"):
        export_runs([*runs, runs[0]], tmp_path)
    with pytest.raises(RunError, match="Weights are for two runs"):
        export_runs(runs[:1], tmp_path, weights=[1])
    with pytest.raises(RunError, match="one run on frames and one on optical flow"):
        export_runs([runs[0], runs[0]], tmp_path)


def _frames(run, videos):
    """Encoded frames of the test videos as the run saw them, their numbers and their pixels."""
    views = recipe_views(RunFolder.open(run).recipe)
    test = videos.indices("test")
    frames = [read_resized(videos, index, [views])[0] for index in test]
    encoded = [[tf.io.encode_png(one).numpy() for one in video] for video in frames]
    assert len({len(video) for video in encoded}) == 1
    names = zoo.load_classifier(run / "model.keras").class_names
    assert names == videos.class_names
    return encoded, np.array([len(video) for video in encoded], np.int32), np.stack(frames).astype("float32")
