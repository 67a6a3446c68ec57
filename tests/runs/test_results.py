"""What a finished run gives back: results, scores and vectors as they were written, and nothing where they changed."""

import json

import numpy as np
import pytest

from keras_fvvae.data.collection import UNLABELLED
from keras_fvvae.errors import RunError
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.results import RunResults
from tests.support.written_runs import write_run

TRAIN = {"a1": "a", "b1": "b", "a2": "a", "u1": None}
TEST = {"b2": "b", "a3": "a"}
SCORES = [[0.25, -1.0], [0.5, 0.125]]
VECTORS = np.arange(12.0).reshape(6, 2)


@pytest.fixture
def run(tmp_path):
    return RunFolder.open(write_run(tmp_path / "run", Recipe(name="tiny"), ["a", "b"], TRAIN, TEST, SCORES, VECTORS))


def test_vectors_know_their_items(run):
    vectors = run.vectors()
    assert np.array_equal(vectors.values, VECTORS)
    assert (vectors.train_names, vectors.train_labels.tolist()) == (["a1", "b1", "a2"], [0, 1, 0])
    assert vectors.labels.tolist() == [0, 1, 0, UNLABELLED, 1, 0]
    assert vectors.first_test_row == 4
    assert (vectors.test.ids, vectors.test.values.tolist()) == (["b2", "a3"], SCORES)
    assert vectors.test_labels.tolist() == [1, 0]
    assert vectors.unseen.tolist() == []


def test_names_of_results_are_not_told_from_facts_by_their_look():
    """A representation may be called anything."""
    results = RunResults("as usual", "notes", {"notes": {"accuracy": 1.0}, "skipped": {"accuracy": 0.5}}, 3, ["one"])
    again = RunResults.from_json(results.to_json())
    assert again == results
    assert again.own == {"accuracy": 1.0}


def test_the_file_is_for_readers():
    classes, rng = 40, np.random.default_rng(0)
    confusion = rng.integers(0, 9, (classes, classes)).tolist()
    results = RunResults('brackets ["1", [\n2]]', "BP", {"BP": {"confusion": confusion, "empty": []}}, 0, ["[1, 2]"])
    assert RunResults.from_json(results.to_json()) == results
    assert len(results.to_json().splitlines()) < classes + 20


def test_large_scores_are_no_text(tmp_path):
    scores = np.random.default_rng(0).normal(size=(2, 2)).round(5)
    path = write_run(tmp_path / "run", Recipe(name="tiny"), ["a", "b"], TRAIN, TEST, scores, VECTORS)
    assert "scores" not in (path / "metrics.json").read_text()
    assert np.array_equal(RunFolder.open(path).scores()["FV-VAE"], scores)


@pytest.mark.parametrize("name", ["vectors.json", "metrics.json", "labels.json", "scores.npy", "recipe.yaml"])
@pytest.mark.parametrize("change", ["bit", "end"])
def test_a_changed_file_is_named_when_the_run_is_opened(run, name, change):
    content = bytearray((run.path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (run.path / name).write_bytes(content if change == "bit" else content[: len(content) // 2])
    with pytest.raises(RunError, match=f"{name} was altered after the training: .* restore it, or train again"):
        RunFolder.open(run.path)


@pytest.mark.parametrize("change", ["bit", "end", "empty"])
def test_changed_vectors_are_refused_when_they_are_read(run, change):
    content = bytearray((run.path / "vectors.npy").read_bytes())
    content[-3] ^= 1
    (run.path / "vectors.npy").write_bytes({"bit": content, "end": content[:-4], "empty": b""}[change])
    vectors = RunFolder.open(run.path).vectors()
    assert vectors.test.values.tolist() == SCORES, "what needs no vectors still works"
    with pytest.raises(RunError, match="vectors.npy was altered after the training: .* restore it, or train again"):
        _ = vectors.values


def test_vectors_are_checked_once(run, monkeypatch):
    vectors, calls = run.vectors(), []
    monkeypatch.setattr("keras_fvvae.runs.manifest.sha256", lambda path: calls.append(path) or _digest(run))
    assert vectors.values is vectors.values
    assert len(calls) == 1


def test_vectors_that_the_training_did_not_write_are_none(tmp_path):
    path = write_run(tmp_path / "run", Recipe(name="tiny"), ["a", "b"], TRAIN, TEST, SCORES)
    np.save(path / "vectors.npy", VECTORS)
    with pytest.raises(RunError, match="is incomplete: vectors.npy is missing"):
        _ = RunFolder.open(path).vectors().values


def _digest(run):
    return json.loads((run.path / "manifest.json").read_text())["sha256"]["vectors.npy"]


def test_what_does_not_fit_together_is_one_sentence(run):
    """Written by a program that is wrong: digests are right."""
    np.save(run.path / "scores.npy", np.zeros((1, 2, 2)))
    run.finish()
    with pytest.raises(RunError, match="scores.npy is damaged"):
        run.vectors()
    run.write("metrics.json", b"[]")
    run.finish()
    with pytest.raises(RunError, match="metrics.json is damaged"):
        _ = run.results
