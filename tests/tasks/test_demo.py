"""The demo as it is, images and videos, on a part of the embedded data and with few steps; then once more."""

import numpy as np
import pytest

from keras_fvvae.data.datasets import digits as digits_module
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks import demo as demo_module
from keras_fvvae.tasks import video_demo as video_module
from keras_fvvae.tasks.demo import demo
from keras_fvvae.tasks.scores.fuse import fuse
from tests.support.less_data import fewer_digits

SETTINGS = {"steps": 20, "seed": 3, "verbose": 0}


@pytest.fixture(scope="module", autouse=True)
def _less_data():
    """A third of the digits, three videos of a class instead of thirty; all else as it is."""
    load_moving_digits = video_module.load_moving_digits
    with fewer_digits(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(demo_module, "load_digits", lambda: digits_module.load_digits())
        patched.setattr(
            video_module, "load_moving_digits", lambda path, verbose: load_moving_digits(path, 2, 1, 8, 64, verbose=0)
        )
        yield


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return demo(tmp_path_factory.mktemp("demo") / "out", **SETTINGS)


@pytest.fixture
def out(result):
    return result.report.parent


def test_images(result, out):
    assert set(result.results.metrics) >= {"AVE", "FV-VAE minus", "FV-VAE"}
    assert result.results.metrics["FV-VAE"]["accuracy"] > 0.5
    assert result.difference < 1e-3
    assert result.saved_model == out / "export" / "1"
    full, minus = (RunFolder.open(out / name) for name in ("fv_vae", "fv_vae_minus"))
    assert (full.recipe.steps, full.recipe.seed) == (20, 3)
    assert minus.recipe.lambda3 == 0
    # The same backbone: average pooling is the same on both, up to the activations' float16.
    scores = [run.scores()["AVE"] for run in (full, minus)]
    assert np.abs(scores[0] - scores[1]).max() < 0.1


def test_videos(result, out):
    """Real files, two streams, their fusion."""
    fusion = result.videos.fusion
    assert list(fusion["streams"]) == ["optical flow", "RGB"]
    assert (fusion["items"], fusion["left_out"]) == (8, 0)
    runs = [RunFolder.open(out / "videos" / name) for name in ("moving_digits_flow", "moving_digits_rgb")]
    assert [run.recipe.modality for run in runs] == ["flow", "rgb"]
    assert [(run.recipe.steps, run.recipe.seed) for run in runs] == [(20, 3)] * 2
    metrics = [run.results.own for run in runs]
    assert [stream["accuracy"] for stream in fusion["streams"].values()] == [m["accuracy"] for m in metrics]
    assert not np.array_equal(*(run.scores()["FV-VAE"] for run in runs))
    by_folder = fuse([run.path for run in runs])
    assert fusion["gain"] == by_folder["gain"]
    assert fusion["fusion"] == by_folder["fusion"]
    assert len(list((out / "videos" / "files").rglob("*.avi"))) == 16


def test_reports(result):
    html = result.report.read_text()
    for text in ("FV-VAE minus", "AVE", "Loss curves", "Confusion matrix", "Embedding", "Examples", "lambda3"):
        assert text in html
    assert "http" not in html.split("<body>")[1]  # self-contained
    html = result.videos.report.read_text()
    for text in ("optical flow", "RGB", "late fusion", "Confusion matrix", "Examples", "test videos"):
        assert text in html, text
    assert "http" not in html.split("<body>")[1]


def test_again(result, out, monkeypatch):
    """Nothing is trained again; the export is the next version."""
    monkeypatch.setattr("keras_fvvae.training.train.Training.complete", lambda *a: pytest.fail("trained again"))
    again = demo(out, **SETTINGS)
    assert again.results == result.results
    assert again.saved_model.name == "2"
    assert again.videos.fusion == result.videos.fusion
