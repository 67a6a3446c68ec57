"""Every frame of a run's test videos classified by itself."""

import numpy as np
import pytest

from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data import load_folder
from keras_fvvae.data.views import read_resized
from keras_fvvae.errors import DataError
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.scores.evaluate import evaluate
from keras_fvvae.tasks.scores.evaluate_views import evaluate_run_views
from keras_fvvae.tasks.scores.view_scores import view_scores
from keras_fvvae.training.train import train
from keras_fvvae.zoo import load_classifier
from tests.support.video_files import numbered_frames, write_video


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Six videos a class, left and right; the right ones begin like left ones."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for name in ("left", "right"):
        (folder / name).mkdir()
        for number in range(6):
            frames = numbered_frames(6)
            frames[..., 2] = 200
            frames[2:, ..., 2] = 200 if name == "left" else 20
            frames[:, 20:, ::3] = rng.integers(0, 256, frames[:, 20:, ::3].shape)
            write_video(folder / name / f"{number}.avi", frames)
    return folder


@pytest.fixture(scope="module")
def run(videos, video_recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return train(
        video_recipe, load_folder(videos), folder / "run", backbone_weights=None, cache=folder / "cache", verbose=0
    ).path


def test_each_frame_has_the_score_of_an_image(run, videos):
    table = view_scores(run, videos, run.parent / "cache", verbose=0)
    collection = load_folder(videos)
    tests = collection.indices("test")
    assert table.ids == [collection.names[i] for i in tests for _ in range(3)]
    classifier = load_classifier(run / "model.keras")
    (frames,) = read_resized(collection, int(tests[-1]), [recipe_views(RunFolder.open(run).recipe, "video")])
    # As images, of one frame each; cached activations are float16.
    np.testing.assert_allclose(table.values[-3:], np.array(classifier(frames)), atol=2e-2)


def test_evaluation_at_both_levels(run, videos):
    (plain,) = evaluate([run], resamples=0)["results"]
    (both,) = evaluate_run_views([run], data=videos, cache=run.parent / "cache", resamples=0)["results"]
    views = both.pop("views")
    assert both == plain
    assert views["items"] == 3 * plain["items"]
    table = view_scores(run, videos, run.parent / "cache", verbose=0)
    predicted = [table.class_names[best] for best in table.values.argmax(axis=1)]
    right = [label == name.split("/")[0] for label, name in zip(predicted, table.ids, strict=True)]
    assert views["accuracy"]["value"] == pytest.approx(np.mean(right))


def test_other_data(run, tmp_path):
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        write_video(tmp_path / name / "other.avi", numbered_frames(4))
    with pytest.raises(DataError, match=r"test items of .* are not in .*: give the data that it was trained on"):
        view_scores(run, tmp_path, verbose=0)


def test_other_options_of_the_data_than_the_trainings(run, videos):
    """The options of the data set's loader are replaced one by one."""
    with pytest.raises(DataError, match="holds images of 0 classes"):
        view_scores(run, videos, dataset_options={"kind": "image"}, verbose=0)
