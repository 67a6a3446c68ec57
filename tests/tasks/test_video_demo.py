"""The videos' part of the demo, with few steps: real files, two streams, their fusion, a report."""

import numpy as np
import pytest

from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks import video_demo as module
from keras_fvvae.tasks.scores.fuse import fuse
from keras_fvvae.tasks.video_demo import video_demo


@pytest.fixture
def few_videos(monkeypatch):
    """Three videos of a class instead of thirty, all else as it is."""
    original = module.load_moving_digits
    monkeypatch.setattr(
        module, "load_moving_digits", lambda path, verbose: original(path, 2, 1, 8, 64, verbose=verbose)
    )


@pytest.mark.usefixtures("few_videos")
def test_video_demo(tmp_path, monkeypatch):
    result = video_demo(tmp_path / "videos", steps=2, seed=3, verbose=0)
    assert list(result.fusion["streams"]) == ["optical flow", "RGB"]
    assert (result.fusion["items"], result.fusion["left_out"]) == (8, 0)
    runs = [RunFolder.open(tmp_path / "videos" / name) for name in ("moving_digits_flow", "moving_digits_rgb")]
    assert [run.recipe.modality for run in runs] == ["flow", "rgb"]
    assert [(run.recipe.steps, run.recipe.seed) for run in runs] == [(2, 3)] * 2
    metrics = [run.results.own for run in runs]
    assert [stream["accuracy"] for stream in result.fusion["streams"].values()] == [m["accuracy"] for m in metrics]
    assert not np.array_equal(*(run.scores()["FV-VAE"] for run in runs))
    by_folder = fuse([run.path for run in runs])
    assert result.fusion["gain"] == by_folder["gain"]
    assert result.fusion["fusion"] == by_folder["fusion"]
    assert len(list((tmp_path / "videos" / "files").rglob("*.avi"))) == 16

    html = result.report.read_text()
    for text in ("optical flow", "RGB", "late fusion", "Confusion matrix", "Examples", "test videos"):
        assert text in html, text
    assert "http" not in html.split("<body>")[1]  # self-contained

    monkeypatch.setattr("keras_fvvae.training.train.Training.complete", lambda *a: pytest.fail("trained again"))
    again = video_demo(tmp_path / "videos", steps=2, seed=3, verbose=0)
    assert again.fusion == result.fusion
