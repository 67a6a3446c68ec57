"""A validation part: which step is kept, when a training stops, and that neither depends on interruptions."""

import json
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_fvvae import zoo
from keras_fvvae.errors import RecipeError
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training import representation_training, stages
from keras_fvvae.training import train as training
from keras_fvvae.training.inputs.sampled import SampledInputs
from keras_fvvae.training.selection import validation_part
from keras_fvvae.training.selection.best_step import Selection, scored_steps
from keras_fvvae.training.selection.validation_part import Score
from tests.support.small_data import write_digits
from tests.support.trained_runs import interrupted, same, stopped_before


@pytest.fixture
def recipe(recipe, monkeypatch):
    """With a validation part of a third."""
    monkeypatch.setattr(stages, "MIN_VALIDATION_ITEMS", 6)
    return recipe.replace(validation=1 / 3, validate_every=2)


# Of so many items, of which the first are right.
ITEMS = 20


def _margins(right, items=ITEMS):
    return np.where(np.arange(items) < right, 1.0, -1.0)


@pytest.fixture
def scored(monkeypatch):
    """Makes so many of the held-out items right, one score after the other."""

    def use(*right):
        margins = iter([_margins(one) for one in right])
        monkeypatch.setattr(validation_part.ValidationPart, "margins", lambda self: next(margins))
        monkeypatch.setattr(validation_part.ValidationPart, "average_margins", lambda self: _margins(ITEMS))

    return use


def _fvvae(run):
    return zoo.load_classifier(run.path / "model.keras").encoder.head.fvvae.get_weights()


def test_a_better_step_than_the_last_is_kept(digits, train, scored):
    scored(10, 20, 12)
    run = train(digits)
    assert run.validation["best_step"] == 4
    assert list(run.validation["scores"]) == ["2", "4", "6"]
    assert len(run.history["loss"]) == 6
    assert run.results.notes[-1].startswith("Of 6 steps, the weights after step 4 are kept, chosen on the validation")
    assert json.loads((run.path / "validation.json").read_text()) == run.validation
    assert "validation.json" in json.loads((run.path / "manifest.json").read_text())["sha256"]
    scored(10, 20)
    assert same(_fvvae(run), _fvvae(train(digits, out="four", steps=4)))


@pytest.mark.parametrize(
    ("right", "kept", "stops"),
    [
        ((16, 16, 16), 6, False),
        # Of twenty, five fewer are chance (p = 0.06), six are not (0.03).
        ((16, 11, 11), 6, False),
        ((16, 10, 11), 6, False),
        ((16, 11, 10), 4, False),
        ((16, 10, 10), 2, True),
        # As good as the last one is not enough: a little worse each time would add up.
        ((18, 13, 8), 4, False),
        ((20, 15, 15), 6, False),
        ((20, 14, 14), 2, True),
        # Worse than the first, but the best of all may come later.
        ((14, 8, 18), 6, False),
        # The highest may have come before what is kept.
        ((18, 13, 12), 4, False),
    ],
)
def test_the_last_step_that_is_not_significantly_worse_is_kept(tmp_path, right, kept, stops):
    (tmp_path / "checkpoints").mkdir()
    margins = iter([_margins(one) for one in right])
    selection = Selection(SimpleNamespace(margins=lambda: next(margins)), due={2, 4, 6}, patience=2)
    assert selection.begin(RunFolder(tmp_path), "checkpoints")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    for step in (2, 4, 6):
        model.set_weights([np.full((1, 1), step)])
        assert not selection.stops()
        selection.update(step, model)
        # What another process reads is what this one knows.
        selection = Selection(selection.part, due={2, 4, 6}, patience=2)
        assert selection.begin(RunFolder(tmp_path), "checkpoints")
    assert selection.stops() is stops
    assert selection.best_step == kept
    selection.take_best(model)
    assert model.get_weights()[0] == kept


def test_it_stops_when_it_gets_worse(digits, train, scored):
    scored(10, 20, 10, 10)
    run = train(digits, steps=100, patience=2)
    assert len(run.history["loss"]) == 8
    assert run.validation["best_step"] == 4
    assert run.results.notes[-1].startswith("The training stopped at step 8 of 100; the weights after step 4 are kept")


def test_a_training_that_gets_worse_overfits_and_says_so(digits, train, scored):
    scored(10, 20, 10, 10)
    overfits = train(digits, steps=100, patience=2).results.warning
    assert overfits.startswith(
        "FV-VAE overfits: the validation part is 100.0 % right after step 4, and significantly less, 50.0 %, after "
        "step 8. The weights after step 4 are kept. Try fewer latent variables"
    )


def test_refit_learns_from_the_validation_part_too_for_the_steps_that_were_kept(digits, train, scored):
    scored(10, 20, 12)
    run = train(digits, refit=True)
    assert run.validation["best_step"] == 4
    assert len(run.history["loss"]) == 4
    assert run.results.notes[-1].endswith(" It was trained anew on all images for as many steps.")


def test_refit_goes_on_where_it_was_stopped(digits, train, scored, monkeypatch, tmp_path):
    scored(10, 20, 12)
    whole = train(digits, refit=True, out="whole")
    scored(10, 20, 12)
    original = representation_training.fit

    def stopping(*arguments, **options):
        if "checkpoints" not in options:
            return original(*arguments, **options)
        with interrupted(SampledInputs, 2):
            original(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(representation_training, "fit", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(digits, refit=True, checkpoint_seconds=0)
    assert (tmp_path / "run" / "checkpoints-all").is_dir()
    run = train(digits, refit=True)
    assert run.history == whole.history
    assert same(_fvvae(run), _fvvae(whole))


@pytest.mark.parametrize("changes", [{"validation": None}, {"trainable_from": "all"}])
def test_refit_needs_what_it_repeats(digits, train, changes):
    with pytest.raises(RecipeError, match="`refit` needs a frozen backbone and a part that chooses"):
        train(digits, refit=True, **changes)


# The items that a training reads are chosen in the same way from activations.
@pytest.mark.parametrize("changes", [pytest.param({}, marks=pytest.mark.slow), {"trainable_from": "all"}])
def test_nothing_is_learnt_from_the_validation_part(digits, train, monkeypatch, changes):
    seen = set()
    original = training.Training.fit

    def fit(self):
        original(self)
        part = self._representation.selection.part
        assert part.num_held_out == 6
        assert not set(part.known) & set(part.held_out)
        train_items = set(self.usable.indices("train").tolist())
        assert {*part.known, *part.held_out} == train_items
        assert not seen & set(part.held_out.tolist())

    def stream(indices, seed, start=0):
        seen.update(indices.tolist())
        return original_stream(indices, seed, start)

    from keras_fvvae.training import fit as fitting

    original_stream = fitting.position_stream
    monkeypatch.setattr(fitting, "position_stream", stream)
    monkeypatch.setattr(training.Training, "fit", fit)
    run = train(digits, **changes)
    assert len(seen) == 12
    outcome = run.validation
    assert outcome["learnt"] + outcome["held_out"] == 18
    assert 0 <= outcome["average_accuracy"] <= 1


def test_interrupted_and_continued_keeps_the_same_step(digits, train, finished):
    whole = finished()
    with interrupted(SampledInputs, 2):
        train(digits, checkpoint_seconds=0)
    run = train(digits)
    assert run.validation == whole.validation != {}
    assert run.history == whole.history
    assert same(_fvvae(run), _fvvae(whole))


def test_a_damaged_best_step_begins_anew(digits, train, finished, tmp_path):
    whole = finished()
    with stopped_before("encode"):
        train(digits)
    (best,) = (tmp_path / "run" / "checkpoints").glob("best-*.weights.h5")
    best.write_bytes(best.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="The best step in .* is damaged; the training begins anew"):
        run = train(digits)
    assert run.validation == whole.validation != {}
    assert same(_fvvae(run), _fvvae(whole))


def test_what_was_kept_survives_a_full_disk_between_the_weights_and_their_record(tmp_path, monkeypatch):
    margins = iter([_margins(10), _margins(20)])
    selection = Selection(SimpleNamespace(margins=lambda: next(margins)), due={2, 4}, patience=2)
    selection.begin(RunFolder(tmp_path), "checkpoints")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.full((1, 1), 2)])
    selection.update(2, model)
    model.set_weights([np.full((1, 1), 4)])
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "write_json", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            selection.update(4, model)
    again = Selection(SimpleNamespace(margins=lambda: _margins(20)), due={2, 4}, patience=2)
    assert again.begin(RunFolder(tmp_path), "checkpoints")
    assert list(again.scores) == [again.best_step] == [2]
    again.take_best(model)
    assert model.get_weights()[0] == 2
    model.set_weights([np.full((1, 1), 4)])
    again.update(4, model)
    assert [path.name for path in (tmp_path / "checkpoints").glob("*.h5")] == ["best-4.weights.h5"]


def test_rare_classes_beside_a_frequent_one(train, tmp_path):
    """Of the frequent class alone nothing can be told: there is no validation part, and the run says so."""
    folder = write_digits(tmp_path / "rare", count=12)
    for label in ("1", "7"):
        for path in sorted((folder / label).iterdir())[3:]:
            path.unlink()
    run = train(folder)
    assert not run.validation
    assert any("Fewer than two classes have 3 training images" in note for note in run.results.notes)


@pytest.mark.parametrize(
    ("share", "problem"),
    [
        (0.1, "A validation part needs more than the 18 labelled training images"),
        (0.5, "9 images are too few for a validation part"),
    ],
)
def test_too_few_items_say_so(digits, train, monkeypatch, share, problem):
    monkeypatch.setattr(stages, "MIN_VALIDATION_ITEMS", 10)
    # Without steps: what is trained then is as without a validation part.
    monkeypatch.setattr(representation_training, "fit", lambda *arguments, selection, **options: {"loss": [selection]})
    run = train(digits, validation=share)
    assert run.history == {"loss": [None]}
    assert not run.validation
    (note,) = [note for note in run.results.notes if note.endswith("The weights after the last step are kept.")]
    assert re.match(problem, note)


def test_codebooks_have_no_steps_to_choose_from(digits, train):
    run = train(digits, representation="vlad", representation_options={"num_centroids": 2})
    assert not run.validation
    assert not any("validation" in note for note in run.results.notes)


def test_a_softmax_training_keeps_its_best_step(digits, train, scored):
    scored(18, 10, 10)
    run = train(digits, representation="net_vlad", representation_options={"num_centroids": 2})
    assert run.validation["best_step"] == 2


def test_a_score_is_what_the_finished_training_gives(digits, train, monkeypatch):
    """The score of the last step is that of the vectors that the run ends with."""
    parts = []
    original = Selection.outcome

    def outcome(self):
        parts.append((self.part, original(self)))
        return parts[-1][1]

    monkeypatch.setattr(Selection, "outcome", outcome)
    monkeypatch.setattr(validation_part, "MAX_DESCRIPTORS", 64)  # all
    run = train(digits, validate_every=6, vector_normalization="spectral", sampled_descriptors=None)
    part, said = parts[0]
    names = [part.inputs.collection.names[i] for i in (*part.known, *part.held_out)]
    vectors = run.vectors()
    rows = [vectors.names.index(name) for name in names]
    margins = part._margins(vectors.read()[rows].reshape(len(rows), -1))
    assert said["accuracy"] == Score.of(margins).accuracy
    np.testing.assert_allclose(said["scores"]["6"]["margin"], Score.of(margins).margin, atol=1e-4)


@pytest.mark.parametrize("value", [0, 0.6, "none", True])
def test_wrong_shares(value):
    with pytest.raises(RecipeError, match=r"`validation` must be null, or a number in \(0, 0.5\]"):
        Recipe(validation=value)


@pytest.mark.parametrize("steps", [1, 2, 5, 31, 5000])
def test_the_last_step_is_scored(steps):
    assert max(scored_steps(steps)) == max(scored_steps(steps, every=3)) == steps
    assert len(scored_steps(steps)) <= 4


def test_of_many_classes_both_parts_have_the_same():
    """A class that the SVM has not seen would be taken for another."""
    inputs = SimpleNamespace(collection=SimpleNamespace(labels=np.array([0, 1, 2, 2, 1, 0, 0])))
    encoder = SimpleNamespace(head=SimpleNamespace(output_dim=8))
    part = validation_part.ValidationPart(encoder, inputs, [0, 1, 2, 6], [3, 4, 5], C=1.0, max_items=4)
    assert part.known.tolist() == [0, 1]
    assert part.held_out.tolist() == [4, 5]
    assert (part.num_learnt, part.num_held_out) == (4, 3)


def test_margins_break_ties():
    assert Score.of(np.array([1.0, -0.1])) > Score.of(np.array([0.5, -0.1])) > Score.of(np.array([-1.0, -0.1]))
