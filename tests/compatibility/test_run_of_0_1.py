"""The run that version 0.1 wrote (three of scikit-learn's digits, eight images each) is a run like any other."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_fvvae.errors import RunError, WeightsError
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.predict import predict
from keras_fvvae.tasks.scores.fuse import fuse
from keras_fvvae.zoo import packs

WRITTEN = Path(__file__).parent / "files" / "run"


@pytest.fixture
def run(tmp_path):
    return RunFolder.open(shutil.copytree(WRITTEN, tmp_path / "run"))


def test_results_are_those_of_its_file(run):
    written = json.loads((WRITTEN / "metrics.json").read_text())
    assert run.manifest.format == 1
    assert run.results.protocol == written["protocol"]
    assert (run.results.skipped, run.results.notes, run.results.representation) == (0, [], "FV-VAE")
    assert list(run.results.metrics) == ["AVE", "FV-VAE"]
    for name, metrics in run.results.metrics.items():
        scores = written[name].pop("scores")
        assert metrics == written[name]
        assert run.scores()[name].tolist() == scores


def test_vectors(run):
    vectors = run.vectors()
    assert vectors.values.shape == (24, 4 * 4)
    assert np.array_equal(vectors.values.ravel(), np.load(WRITTEN / "vectors.npy").ravel())
    assert (vectors.labelled, vectors.first_test_row, len(vectors.test.ids)) == (18, 18, 6)
    assert vectors.names[18:] == vectors.test.ids
    assert set(vectors.splits[:18]) == {"train"}
    assert set(vectors.splits[18:]) == {"test"}
    kernel, bias = run.classifier().svm.get_weights()
    np.testing.assert_allclose(vectors.values[18:] @ kernel + bias, vectors.scores, atol=1e-4)


def test_it_has_no_probabilities_and_says_so(run):
    assert run.calibration is None
    assert run.calibration_record == {}
    with pytest.raises(WeightsError, match="scores and no probabilities: its training was of an older version"):
        next(predict(run.path, [], coverage=0.9))


def test_it_is_fused_with_itself_and_loaded_as_weights(run, tmp_path):
    other = shutil.copytree(WRITTEN, tmp_path / "other")
    result = fuse([run.path, other], method="kernel", resamples=0)
    assert result["fusion"]["accuracy"] == run.results.own["accuracy"]
    assert packs.open_weights(run.path, "tiny").model == run.model_path


def test_vectors_of_other_items_are_refused(run):
    """There is no digest of them to be compared with."""
    np.save(run.path / "vectors.npy", np.zeros((3, 2)))
    with pytest.raises(RunError, match="holds 3 vectors for 24 items"):
        _ = run.vectors().values
    (run.path / "vectors.npy").write_bytes(b"nothing")
    with pytest.raises(RunError, match="vectors.npy cannot be read, and its vectors are needed"):
        _ = run.vectors().values
    (run.path / "vectors.json").write_text("{")
    with pytest.raises(RunError, match="vectors.json is damaged; restore it"):
        run.vectors()
