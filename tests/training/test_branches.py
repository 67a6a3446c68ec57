"""A recipe with branches: trained as one run, from one pass of the network, each branch as it would be alone."""

import keras
import numpy as np
import pytest

from keras_fvvae.data import Collection, load_folder
from keras_fvvae.errors import RecipeError, RunError, WeightsError
from keras_fvvae.estimators import FVVAEClassifier
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.initial import InitialRun
from keras_fvvae.tasks.explain import explain
from keras_fvvae.tasks.export_runs import export_runs
from keras_fvvae.tasks.predict import predict
from keras_fvvae.tasks.scores.view_scores import view_scores
from keras_fvvae.training.branches import JoinedTraining
from keras_fvvae.training.inputs.sampled import SampledInputs
from keras_fvvae.training.train import train as train_task
from tests.support.c_api import run_signatures
from tests.support.trained_runs import interrupted, same, weights

BRANCHES = [
    {"tap": "conv2", "latent_dim": 2},
    {"tap": "last", "vector_normalization": "spectral"},
    {"tap": "last", "representation": "ave"},
]
NAMES = ["fv_vae_conv2", "fv_vae_last", "ave_last"]


@pytest.fixture
def joined(finished):
    return finished(branches=BRANCHES)


def test_run_is_complete(joined):
    assert list(joined.results.metrics) == ["AVE", *NAMES, "Joined"]
    assert joined.results.own["dimension"] == 8 * 3 + 8 * 4 + 8
    assert sorted(path.name for path in (joined.path / "branches").iterdir()) == sorted(NAMES)
    assert set(joined.manifest.sha256) == {path.name for path in joined.path.iterdir()} - {"manifest.json", "branches"}
    parts = [RunFolder.open(joined.path / "branches" / name).vectors().values for name in NAMES]
    np.testing.assert_allclose(joined.vectors().values, np.concatenate(parts, axis=1) / np.sqrt(3), atol=1e-6)
    scores = joined.scores()
    np.testing.assert_array_equal(scores["AVE"].argmax(axis=1), scores["ave_last"].argmax(axis=1))


@pytest.mark.parametrize("number", [0, 1])
def test_a_branch_is_a_run_of_its_own(joined, digits, tmp_path, number):
    recipe = joined.recipe.branch_recipes[NAMES[number]]
    alone = train_task(
        recipe, load_folder(digits), tmp_path / "alone", backbone_weights=None, cache=tmp_path, verbose=0
    )
    branch = RunFolder.open(joined.path / "branches" / NAMES[number])
    assert branch.history == alone.history
    np.testing.assert_allclose(branch.vectors().values, alone.vectors().values, atol=1e-6)


def test_one_pass_gives_the_maps_of_all_taps(digits, train, monkeypatch):
    passes, original = [], keras.Model.predict_on_batch
    monkeypatch.setattr(
        keras.Model, "predict_on_batch", lambda self, x: passes.append((self.name, len(x))) or original(self, x)
    )
    monkeypatch.setattr(JoinedTraining, "encode", lambda self: None)
    monkeypatch.setattr(JoinedTraining, "classify", lambda self: None)
    monkeypatch.setattr(JoinedTraining, "evaluate", lambda self: ({}, {}))
    monkeypatch.setattr(JoinedTraining, "report", lambda self, metrics, scores: None)
    train(digits, branches=[*BRANCHES[::2], {"tap": "conv1", "representation": "bilinear"}], steps=1)
    assert passes == [("DigitsConvNet", 24)]


def test_interrupted_and_continued_equals_uninterrupted(digits, train, joined, tmp_path):
    with interrupted(SampledInputs, 3):
        train(digits, branches=BRANCHES)
    with pytest.raises(RunError, match="is not finished"):
        RunFolder.open(tmp_path / "run")
    run = train(digits, branches=BRANCHES)
    assert same(weights(run), weights(joined))
    np.testing.assert_array_equal(run.vectors().values, joined.vectors().values)
    with pytest.raises(RunError, match="holds another training"):
        train(digits, branches=BRANCHES[::2])


@pytest.mark.system
def test_predicted_explained_and_served_alike(joined, digits, tmp_path):
    files = [digits / name for name in joined.vectors().test.ids[:3]]
    predicted = list(predict(joined.path, files, top_k=3))
    for row, result in zip(joined.scores()["Joined"], predicted, strict=False):
        np.testing.assert_allclose(
            np.sort(row)[::-1], result["scores"], atol=0.02
        )  # vectors are of float16 activations
    explained = list(explain(joined.path, files, tmp_path / "pictures"))
    for file, one, other in zip(files, explained, predicted, strict=True):
        numbers = RunFolder(tmp_path / "pictures").read_json(f"{file.parent.name}/{file.stem}.json")
        assert list(numbers["branches"]) == NAMES
        assert sum(numbers["branches"].values()) + numbers["bias"] == pytest.approx(one["score"], abs=1e-4)
        assert np.sum(numbers["maps"]) + numbers["bias"] == pytest.approx(one["score"], abs=1e-4)
        assert one["score"] == pytest.approx(other["scores"][0], abs=1e-4)
    served = export_runs([joined.path], tmp_path / "served")
    images = np.array([file.read_bytes() for file in files], object)
    requests = [(name, {"image": images}) for name in ("serving_default", "encode", "encode_raw", "explain")]
    classified, encoded, raw, explanation = run_signatures(served, requests, tmp_path)
    (again,) = run_signatures(served, [("classify_raw", raw)], tmp_path)
    for answer in (classified, again):
        np.testing.assert_allclose(answer["label_scores"], [one["scores"] for one in predicted], atol=1e-3)
    assert encoded["fisher_vector"].shape == (3, 64)
    assert raw["raw_sum"].shape == (3, 64)
    parts = explanation["contributions"].sum(axis=(1, 2)) + explanation["bias"]
    np.testing.assert_allclose(parts, explanation["score"], atol=1e-4)


def test_an_estimator_explains_joined_vectors(joined, digits):
    file = digits / joined.vectors().test.ids[0]
    estimator = FVVAEClassifier.load(joined.path)
    explained = estimator.explain(file)
    assert explained.score == pytest.approx(estimator.decision_function(file).max(), abs=1e-5)
    assert explained.maps.sum() + explained.bias == pytest.approx(explained.score, abs=1e-5)


def test_weights_of_the_validation_part(recipe):
    """Of a branch that knows the classes and one in which a loud noise tells every item from all others."""
    generator, labels = np.random.default_rng(0), np.arange(60) % 3
    images = [generator.integers(0, 255, (8, 8, 3)).astype("uint8") for _ in labels]
    names = [str(number) for number in range(60)]
    usable = Collection(images, names, labels, ["train"] * 48 + ["test"] * 12, ["a", "b", "c"])
    chosen = recipe.replace(branches=BRANCHES[::2], branch_weights="validation", validation=0.25)
    training = JoinedTraining(chosen, usable, None, None, None)
    training.usable = usable
    knowing = np.eye(3, dtype="float32")[labels] + generator.normal(scale=0.1, size=(60, 3)).astype("float32")
    loud = generator.normal(scale=3.0, size=(60, 100)).astype("float32")
    assert training.choose_weights([knowing, loud])[0] > 0.9
    assert training.choose_weights([loud, knowing])[1] > 0.9
    assert "chosen on the validation part (12 images: 100.0 % are right, with equal ones" in usable.notes[-1]
    training.recipe = chosen.replace(validation=0.02)
    assert training.choose_weights([knowing, loud]) is None
    assert usable.notes[-1].endswith("The branches have equal weights.")


def test_given_weights(digits, train, joined):
    run = train(digits, branches=BRANCHES[::2], branch_weights=[3, 1])
    norms = [np.linalg.norm(part, axis=1) for part in np.split(run.vectors().values, [24], axis=1)]
    np.testing.assert_allclose(norms, np.repeat([[0.75**0.5], [0.5]], 24, axis=1), atol=1e-5)


def test_settings_that_do_not_go_together_cost_nothing(digits, train, joined, tmp_path):
    with pytest.raises(RecipeError, match="tap of DigitsConvNet 'conv9'"):
        train(digits, branches=[{"tap": "conv9"}, {}])
    options = {"num_centroid": 3}
    branches = [{"tap": "conv2", "representation": "vlad", "representation_options": options}, {}]
    with pytest.raises(RecipeError, match=r"Branch 'vlad_conv2': .*did you mean 'num_centroids'"):
        train(digits, out="other", branches=branches)
    assert not (tmp_path / "cache").exists()
    with pytest.raises(RunError, match="`backbone` and a recipe with `branches` do not go together"):
        train(digits, branches=BRANCHES, backbone=joined.encoder().backbone)
    with pytest.raises(WeightsError, match="holds joined branches: start from one of them, below its branches/"):
        InitialRun(joined.path)
    with pytest.raises(RunError, match="has branches at several taps, whose views are not scored"):
        view_scores(joined.path, digits)
