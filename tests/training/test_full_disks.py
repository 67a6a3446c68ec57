"""Trainings on disks that fill up, and in places that cannot be written."""

import os

import numpy as np
import pytest

from keras_fvvae.errors import DataError, RunError
from keras_fvvae.reporting.report import write_report
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training import stages
from keras_fvvae.training.inputs.activations import ActivationInputs
from tests.support.trained_runs import same, weights


@pytest.mark.parametrize("stage", ["activations", "training"])
def test_full_disk(videos, train_videos, finished_videos, small_disk, tmp_path, stage, monkeypatch):
    """Ends in one sentence; with more space the same call continues to the result of one that was not stopped."""
    whole = finished_videos()
    disk = small_disk(30 if stage == "activations" else 60)
    places = {"cache": disk / "cache"} if stage == "activations" else {"out": disk / "run"}
    with pytest.raises((DataError, RunError)) as caught:
        train_videos(videos, **places)
    message = str(caught.value)
    assert "\n" not in message
    assert (
        "cannot be written: No space left on device" in message
        or "failed: No space left on device. What was computed is kept" in message
    )
    small_disk(20000)
    if stage == "training":
        assert (disk / "run" / "recipe.yaml").is_file()
        monkeypatch.setattr(ActivationInputs, "compute", lambda *a: pytest.fail("computed again"))
    run = train_videos(videos, **places)
    assert same(weights(run), weights(whole))
    assert run.results == whole.results
    assert np.array_equal(run.scores()["FV-VAE"], whole.scores()["FV-VAE"])


def test_full_disk_after_training(videos, train_videos, finished_videos, small_disk, monkeypatch):
    """The steps done are kept in a checkpoint."""
    whole = finished_videos()
    disk = small_disk(20000)

    def fill(*arguments):
        free = os.statvfs(disk)
        (disk / "filler").write_bytes(b"x" * (free.f_bavail * free.f_frsize - 4096))
        return original(*arguments)

    original = stages.encode_vectors
    monkeypatch.setattr(stages, "encode_vectors", fill)
    with pytest.raises(RunError, match=r"Writing to .*run failed: No space left on device\. What was computed is kept"):
        train_videos(videos, out=disk / "run", latent_dim=2)
    assert (disk / "run" / "checkpoints" / "step-00000004.weights.h5").is_file()
    monkeypatch.undo()
    (disk / "filler").unlink()
    monkeypatch.setattr("keras_fvvae.models.FVVAE.train_on_batch", lambda *a, **k: pytest.fail("trained again"))
    assert same(weights(train_videos(videos, out=disk / "run")), weights(whole))


def test_places_that_cannot_be_written(videos, train_videos, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"The output folder .*file/run cannot be written: Not a directory\."):
        train_videos(videos, out="file/run")
    with pytest.raises(DataError, match=r"The feature store .* cannot be written: Not a directory\."):
        train_videos(videos, cache="file/cache")


def test_report_that_cannot_be_written(videos, finished_videos, tmp_path):
    """The run stays finished, and says so."""
    run = finished_videos()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"The report .*report.html cannot be written: Not a directory\."):
        write_report([run.path], tmp_path / "file" / "report.html", videos)
    assert RunFolder.open(run.path).is_finished()
