import dataclasses

import pytest

from keras_fvvae.experiments.paper import average_outcomes
from keras_fvvae.experiments.rows import Experiment, Outcome, Row, run_name
from keras_fvvae.recipes import load_recipe
from keras_fvvae.runs.folder import RunFolder


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(
        "digits_conv", trainable_from=None, backbone_options={"filters": 4}, latent_dim=3, steps=2, batch_size=8,
        lambda3=0.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    lines = []
    made = Experiment(folder / "runs", backbone_weights=None, cache=folder / "cache", verbose=0, say=lines.append)
    made.lines = lines
    return made


@pytest.fixture(scope="module")
def outcomes(experiment, recipe):
    digits = experiment.collection(recipe)
    test = digits.indices("test")
    experiment.out.mkdir(parents=True)
    lines = [",".join(["id", *digits.class_names])]
    lines += [f"{digits.names[i]}," + ",".join(str(float(k == digits.labels[i])) for k in range(10)) for i in test]
    (experiment.out / "scores.csv").write_text("\n".join(lines))
    rows = [
        Row("mean", recipe.replace(representation="ave"), {"accuracy": 50.0}),
        Row("wrong tap", recipe.replace(tap="conv9")),
        Row("bilinear", recipe.replace(representation="bilinear")),
        Row("both", fuse=("mean", "bilinear")),
        Row("file", scores=str(experiment.out / "scores.csv"), paper={"accuracy": 85.9}),
        Row("with the file", fuse=("mean", "file")),
        Row("broken fusion", fuse=("mean", "wrong tap")),
        Row("another's", paper={"accuracy": 99.0}, reason="it is not run here"),
    ]
    return {outcome.name: outcome for outcome in experiment.run(rows)}


def test_rows_are_measured_and_others_say_why_not(outcomes, experiment):
    assert outcomes["mean"].metrics["dimension"] == 4
    assert outcomes["bilinear"].metrics["dimension"] == 16
    assert outcomes["mean"].encode_ms > 0
    assert "conv9" in outcomes["wrong tap"].reason
    assert outcomes["broken fusion"].reason == "it needs wrong tap"
    assert outcomes["another's"].reason == "it is not run here"
    assert not outcomes["wrong tap"].metrics
    assert 0.1 < outcomes["both"].metrics["accuracy"] <= 1
    assert "late fusion of mean and bilinear" in outcomes["both"].protocol
    assert sum("not run" in line for line in experiment.lines) == 3


def test_scores_of_another_method_are_measured_and_fused(outcomes):
    assert outcomes["file"].metrics["accuracy"] == 1.0
    assert 0.1 < outcomes["with the file"].metrics["accuracy"] <= 1
    assert "mean and file" in outcomes["with the file"].protocol


def test_finished_runs_are_shared_between_experiments(experiment, outcomes, recipe, monkeypatch):
    """Another experiment with the same settings under another name trains nothing."""
    monkeypatch.setattr("keras_fvvae.training.train.Training.complete", lambda *arguments: pytest.fail("trained again"))
    (again,) = experiment.run([Row("other name", recipe.replace(name="x", representation="ave", description="y"))])
    assert again.metrics == outcomes["mean"].metrics
    assert again.run == outcomes["mean"].run


def test_rows_that_differ_after_the_training_share_the_trained_fvvae(tmp_path, recipe, monkeypatch):
    experiment = Experiment(tmp_path / "runs", backbone_weights=None, cache=tmp_path / "cache", verbose=0)
    after = {"information": "kronecker", "pca_components": 5}
    experiment.run([Row("first", recipe)])
    with monkeypatch.context() as patched:
        patched.setattr(
            "keras_fvvae.training.representation_training.fit", lambda *a, **k: pytest.fail("trained again")
        )
        (shared,) = experiment.run([Row("shared", recipe.replace(**after))])
    alone = Experiment(tmp_path / "alone", backbone_weights=None, cache=tmp_path / "cache", verbose=0)
    (separate,) = alone.run([Row("separate", recipe.replace(**after))])
    assert not shared.reason
    scores = [RunFolder.open(outcome.run).vectors().scores for outcome in (shared, separate)]
    assert scores[0] == pytest.approx(scores[1], abs=2e-4)
    assert (shared.run / "history.json").read_text() == (separate.run / "history.json").read_text()
    # Another training is not taken for the same.
    with monkeypatch.context() as patched:
        patched.setattr("keras_fvvae.training.representation_training.fit", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            experiment.run([Row("longer", recipe.replace(steps=3))])


def test_names_of_runs_differ_with_their_settings(recipe):
    assert run_name(recipe) != run_name(recipe.replace(seed=1))
    assert run_name(recipe).startswith("fv-vae_minus-")


def test_rows_that_need_fine_tuning_can_be_left_out(tmp_path, recipe):
    quick = Experiment(tmp_path, backbone_weights=None, fine_tuning=False, verbose=0)
    (outcome,) = quick.run([Row("tuned", recipe.replace(fine_tune_steps=5))])
    assert outcome.reason == "fine-tuning was left out"
    assert not list(tmp_path.iterdir())


def test_a_fine_tuned_backbone_is_made_once(tmp_path, recipe, monkeypatch):
    import keras_fvvae.training.stages as task

    calls = []
    original = task.fine_tune
    monkeypatch.setattr(task, "fine_tune", lambda *a, **k: calls.append(1) or original(*a, **k))
    tuned = recipe.replace(fine_tune_steps=2, fine_tune_batch_size=4)
    rows = [Row(name, tuned.replace(representation=name)) for name in ("ave", "bilinear")]
    made = Experiment(tmp_path / "runs", backbone_weights=None, cache=tmp_path / "cache", verbose=0).run(rows)
    assert all(outcome.metrics for outcome in made)
    assert len(calls) == 1


def test_rows_with_a_fine_tuned_backbone_are_shared_in_any_order(tmp_path, recipe, monkeypatch):
    tuned = recipe.replace(fine_tune_steps=2, fine_tune_batch_size=4)
    rows = [Row(name, tuned.replace(representation=name)) for name in ("ave", "bilinear")]
    settings = {"backbone_weights": None, "cache": tmp_path / "cache", "verbose": 0}
    first = Experiment(tmp_path / "runs", **settings).run(rows)
    monkeypatch.setattr("keras_fvvae.training.train.Training.complete", lambda *arguments: pytest.fail("trained again"))
    again = Experiment(tmp_path / "runs", **settings).run(rows[::-1])
    assert [outcome.reason for outcome in again] == ["", ""]
    assert [outcome.metrics for outcome in again[::-1]] == [outcome.metrics for outcome in first]


def test_averages_over_splits():
    def outcome(accuracy, reason=""):
        metrics = {} if reason else {"accuracy": accuracy, "standard_error": 0.1, "dimension": 7}
        return Outcome("row", {}, metrics, reason=reason)

    parts = [[outcome(0.5)], [outcome(0.7)], [outcome(0, "no weights")]]
    (averaged,) = average_outcomes(parts, ["split 1", "split 2", "split 3"])
    assert averaged.metrics == pytest.approx({"dimension": 7, "accuracy": 0.6, "standard_error": 0.2**0.5 * 0.1**0.5})
    assert averaged.settings == "split 1 50.0, split 2 70.0"
    (none,) = average_outcomes([[outcome(0, "no weights")]] * 2, ["split 1", "split 2"])
    assert none.reason == "no weights"
    assert dataclasses.replace(none) == none
