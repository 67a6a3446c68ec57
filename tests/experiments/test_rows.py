import dataclasses

import numpy as np
import pytest

from keras_fvvae.experiments.paper import average_outcomes
from keras_fvvae.experiments.row import Outcome, Row
from keras_fvvae.experiments.rows import Experiment, run_name
from keras_fvvae.recipes import Recipe, load_recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training import stages
from tests.support.less_data import fewer_digits


@pytest.fixture(scope="module", autouse=True)
def _fewer_digits():
    with fewer_digits():
        yield


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
    """`test_the_order_of_rows_does_not_matter` has that the result is that of a row which trains for itself."""
    experiment = Experiment(tmp_path / "runs", backbone_weights=None, cache=tmp_path / "cache", verbose=0)
    (first,) = experiment.run([Row("first", recipe)])
    with monkeypatch.context() as patched:
        patched.setattr(
            "keras_fvvae.training.representation_training.fit", lambda *a, **k: pytest.fail("trained again")
        )
        (shared,) = experiment.run([Row("shared", recipe.replace(information="kronecker", pca_components=5))])
    assert not shared.reason
    assert shared.metrics["dimension"] == 5
    assert (shared.run / "history.json").read_text() == (first.run / "history.json").read_text()
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


def test_a_fine_tuned_backbone_is_made_once_and_shared_in_any_order(tmp_path, recipe, monkeypatch):
    calls, original = [], stages.fine_tune
    monkeypatch.setattr(stages, "fine_tune", lambda *a, **k: calls.append(1) or original(*a, **k))
    tuned = recipe.replace(fine_tune_steps=2, fine_tune_batch_size=4)
    rows = [Row(name, tuned.replace(representation=name)) for name in ("ave", "bilinear")]
    settings = {"backbone_weights": None, "cache": tmp_path / "cache", "verbose": 0}
    first = Experiment(tmp_path / "runs", **settings).run(rows)
    assert all(outcome.metrics for outcome in first)
    assert len(calls) == 1
    monkeypatch.setattr("keras_fvvae.training.train.Training.complete", lambda *arguments: pytest.fail("trained again"))
    again = Experiment(tmp_path / "runs", **settings).run(rows[::-1])
    assert [outcome.reason for outcome in again] == ["", ""]
    assert [outcome.metrics for outcome in again[::-1]] == [outcome.metrics for outcome in first]


STAGES_BEFORE = [
    ("test_fraction", 0.5), ("dataset_options", {"seed": 1}), ("seed", 1), ("input_size", [16, 16]),
    ("resize_to", [9, 9]), ("resize", "crop"), ("crops", "ten"), ("modality", "flow"), ("frames", 7),
    ("decoder", "fast"), ("frame_step", 2), ("flow_method", "farneback"), ("flow_bound", 10.0), ("random_shift", 3),
    ("random_mirror", True), ("dataset", "moving_digits"), ("backbone", "VGG16"), ("backbone_options", {}),
    ("tap", "conv2"), ("fine_tune_steps", 3), ("fine_tune_from", "conv3"), ("fine_tune_learning_rate", 0.1),
    ("fine_tune_batch_size", 5), ("trainable_from", "all"),
]  # fmt: skip


def test_rows_share_a_tuned_backbone_only_where_all_agrees_that_decides_it(tmp_path, recipe, monkeypatch):
    """Rows that differ in data, input or backbone never do; rows that differ later only, always."""
    decided = {key for stage in ("data", "input", "backbone") for key in _keys(stage)}
    # With branches the backbone is never tuned, nor in another precision than float32.
    assert decided - {"branches", "precision"} == {key for key, _ in STAGES_BEFORE}, "a key is not tested"
    later = [{"representation": "ave"}, {"svm_c": 1.0}, {"latent_dim": 9}, {"descriptors": "spp"}, {"lambda3": 1.0}]
    tuned = recipe.replace(fine_tune_steps=2, fine_tune_batch_size=4)
    rows = [Row("first", tuned)]
    rows += [Row(f"other {key}", tuned.replace(**{key: value})) for key, value in STAGES_BEFORE]
    rows += [Row(f"same but for {list(change)}", tuned.replace(**change)) for change in later]
    taken = []

    def train(recipe, collection, out, *, tuned, **settings):
        taken.append((out, tuned))
        return RunFolder(out)

    experiment = Experiment(tmp_path, backbone_weights=None, verbose=0)
    monkeypatch.setattr(experiment, "collection", lambda recipe: None)
    monkeypatch.setattr("keras_fvvae.experiments.rows.train", train)
    accuracy = {"accuracy": 1.0}
    monkeypatch.setattr("keras_fvvae.experiments.rows.outcome_of", lambda row, run: Outcome(row.name, {}, accuracy))
    assert not any(outcome.reason for outcome in experiment.run(rows))
    (first, _), *runs = taken
    expected = [None] * (1 + len(STAGES_BEFORE)) + [first] * len(later)
    assert [tuned for _, tuned in taken] == expected, [row.name for row in rows]
    assert len({out for out, _ in runs}) == len(runs)


def _keys(stage):
    return [field.name for field in dataclasses.fields(Recipe) if field.metadata["decides"] == stage]


def test_collections_are_shared_by_what_decides_data_and_input(tmp_path, recipe, monkeypatch):
    """Stored flow is checked against every row's own settings of flow."""
    loaded = []
    monkeypatch.setattr(
        "keras_fvvae.experiments.rows.recipe_collection", lambda recipe, *settings: loaded.append(recipe) or object()
    )
    experiment = Experiment(tmp_path, verbose=0)
    one = experiment.collection(recipe)
    assert experiment.collection(recipe.replace(svm_c=1.0, tap="conv2")) is one
    for key, value in (("flow_bound", 10.0), ("flow_method", "farneback"), ("test_fraction", 0.5), ("seed", 3)):
        assert experiment.collection(recipe.replace(**{key: value})) is not one
    assert len(loaded) == 5


def _in_both_orders(rows, folder):
    """Outcomes by name, of the rows in their order and in the other one, each in folders of its own."""
    found = []
    for number, order in enumerate((rows, rows[::-1])):
        own = folder / str(number)
        experiment = Experiment(
            own / "runs", backbone_weights=None, cache=own / "cache", verbose=0,
            part=lambda digits: digits.subset(np.arange(270, 330)),
        )  # fmt: skip
        outcomes = {outcome.name: outcome for outcome in experiment.run(order)}
        assert [outcome.reason for outcome in outcomes.values()] == [""] * len(rows)
        found.append(outcomes)
    return found


def test_the_order_of_rows_does_not_matter(tmp_path, recipe):
    """Whichever row fine-tunes the backbone and trains the FV-VAE that others share: the same bits."""
    tuned = recipe.replace(fine_tune_steps=3, fine_tune_batch_size=4, lambda3=10.0, backbone_options={"filters": 6})
    guided = {"representation": "cross_layer_learnt", "representation_options": {"guidance_channels": 2}}
    rows = [
        Row("guided", tuned.replace(**guided)),
        Row("fv", tuned),
        Row("kronecker", tuned.replace(information="kronecker", pca_components=5)),
    ]
    found = _in_both_orders(rows, tmp_path)
    for row in rows:
        vectors, *others = [np.load(outcomes[row.name].run / "vectors.npy") for outcomes in found]
        for other, outcomes in zip(others, found[1:], strict=True):
            np.testing.assert_array_equal(vectors, other, err_msg=row.name)
            assert outcomes[row.name].metrics == found[0][row.name].metrics, row.name


def test_the_order_of_rows_does_not_matter_to_what_a_validation_part_says(tmp_path, recipe, monkeypatch):
    """Its scores are of a row's own vectors, by its own SVM."""
    monkeypatch.setattr(stages, "MIN_VALIDATION_ITEMS", 6)
    scored = recipe.replace(lambda3=10.0, backbone_options={"filters": 4}, validation=0.5, steps=4)
    rows = [Row("usual", scored), Row("spectral", scored.replace(vector_normalization="spectral", svm_c=0.01))]
    found = _in_both_orders(rows, tmp_path)
    for row in rows:
        one, other = [(outcomes[row.name].run / "validation.json").read_text() for outcomes in found]
        assert one == other


def test_a_sweep_and_a_comparison_share_a_folder(tmp_path, recipe):
    """Of the same recipe: one learns from a part of what the other does."""
    small = recipe.replace(representation="ave", backbone_options={"filters": 4})
    shared = {"backbone_weights": None, "cache": tmp_path / "cache", "verbose": 0}
    parts = None, lambda digits: digits.subset(np.arange(270, 330))
    experiments = [Experiment(tmp_path / "runs", part=part, **shared) for part in parts]
    outcomes = [experiment.run([Row("AVE", small)])[0] for experiment in experiments]
    assert [outcome.reason for outcome in outcomes] == ["", ""]
    assert outcomes[0].run != outcomes[1].run


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
