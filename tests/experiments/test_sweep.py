import numpy as np
import pytest

from keras_fvvae.data import Collection, load_digits
from keras_fvvae.errors import DataError, RecipeError
from keras_fvvae.experiments.grid import parse_grid
from keras_fvvae.experiments.row import Outcome
from keras_fvvae.experiments.sweep import sweep_picture, sweep_rows, validation_collection, winner, winner_note
from keras_fvvae.recipes import load_recipe


def _collection(labels, splits=None, groups=None):
    images = [np.full((2, 2, 3), i, "uint8") for i in range(len(labels))]
    names = [str(i) for i in range(len(labels))]
    return Collection(images, names, labels, splits or ["train"] * len(labels), ["a", "b", "c"], groups=groups)


def test_grid_of_values():
    assert parse_grid(["a=1,1e-2", "b=[2, 1],[3]", "c=x,null,true"]) == {
        "a": [1, 0.01],
        "b": [[2, 1], [3]],
        "c": ["x", None, True],
    }


@pytest.mark.parametrize("text", ["a", "a=", "a=[1"])
def test_wrong_grids(text):
    with pytest.raises(RecipeError, match="is not of the form"):
        parse_grid([text])


def test_key_given_twice():
    with pytest.raises(RecipeError, match="given twice"):
        parse_grid(["a=1", "a=2"])


def test_every_combination_is_a_row_and_checked_at_once():
    recipe = load_recipe("digits_conv")
    rows = sweep_rows(recipe, {"lambda3": [1.0, 10.0], "latent_dim": [3, 5, 7]})
    assert [row.name for row in rows][:2] == ["lambda3=1, latent_dim=3", "lambda3=1, latent_dim=5"]
    assert len({(row.recipe.lambda3, row.recipe.latent_dim) for row in rows}) == 6
    with pytest.raises(RecipeError, match="did you mean 'latent_dim'"):
        sweep_rows(recipe, {"latent_dims": [3]})


def test_validation_part_is_of_training_items_only():
    digits = load_digits()
    chosen = validation_collection(digits)
    assert len(chosen) == len(digits.indices("train"))
    trained = {digits.names[i] for i in digits.indices("train")}
    assert set(chosen.names) == trained
    held_out = chosen.labels[chosen.indices("test")]
    assert abs(len(held_out) - len(chosen) / 3) < 2
    counts = np.bincount(held_out)
    assert counts.max() - counts.min() <= 3  # stratified
    assert chosen.notes[-1].startswith("Model selection: 300 of the 898")
    assert set(digits.splits) == {"train", "test"}  # the original is as it was


def test_groups_stay_together():
    labels = np.repeat([0, 1], 12)
    groups = [f"{label}{i // 3}" for label in (0, 1) for i in range(12)]
    chosen = validation_collection(_collection(labels, groups=groups))
    parts = {part: {chosen.groups[i] for i in chosen.indices(part)} for part in ("train", "test")}
    assert parts["test"]
    assert not parts["train"] & parts["test"]


@pytest.mark.parametrize("seed", range(8))
def test_a_class_of_one_group_stays_in_training(seed):
    labels = np.repeat([0, 1, 2], [12, 12, 4])
    groups = [f"{label}{i // 3}" if label < 2 else "all" for i, label in enumerate(labels)]
    chosen = validation_collection(_collection(labels, groups=groups), seed=seed)
    parts = {part: set(chosen.labels[chosen.indices(part)]) for part in ("train", "test")}
    assert parts["test"] <= parts["train"] == {0, 1, 2}


def test_rare_classes_and_unlabelled_items_stay_in_training():
    chosen = validation_collection(_collection([0] * 6 + [1] * 6 + [2] + [-1] * 2))
    assert set(chosen.labels[chosen.indices("test")]) == {0, 1}
    assert (chosen.labels == -1).sum() == 2


@pytest.mark.parametrize(("labels", "message"), [([0, 1, 2], "A validation part needs"), ([0] * 9, "needs more")])
def test_too_few_items(labels, message):
    with pytest.raises(DataError, match=message):
        validation_collection(_collection(labels))


def test_pictures():
    def outcomes(count):
        return [Outcome(str(i), {}, {"accuracy": 0.5 + i / 100, "standard_error": 0.01}) for i in range(count)]

    figure = sweep_picture({"lambda3": [1.0, 100.0], "latent_dim": [3, 5]}, outcomes(4))
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["latent_dim=3", "latent_dim=5"]
    assert figure.axes[0].get_xlabel() == "lambda3"
    assert sweep_picture({"descriptors": ["spp", "dense"]}, outcomes(2)).axes


def _outcomes(*accuracies):
    return [
        Outcome(
            f"steps={number}", {}, {"accuracy": value, "examples": 300} if value else {}, reason="" if value else "no"
        )
        for number, value in enumerate(accuracies)
    ]


def test_the_winner_is_named_with_what_it_was_chosen_on():
    part = validation_collection(load_digits())
    outcomes = _outcomes(0.9, None, 0.95, 0.94, 0.95)
    assert winner(outcomes).name == "steps=2"  # of equal ones the first
    assert winner_note(outcomes, part) == (
        "The winner is steps=2: 95.0 (91.9 to 96.9) % of the 300 images of the validation part, on which it was "
        "chosen; on new ones expect a little less. The intervals of 3 other settings overlap with its own: these may "
        "be as good."
    )
    assert winner_note(_outcomes(0.5, 0.95), part).endswith("No other setting's interval overlaps with its own.")
    assert winner(_outcomes(None)) is None
    assert winner_note(_outcomes(None), part) == ""


def test_a_sweep_of_words_is_drawn_best_first():
    figure = sweep_picture({"descriptors": ["spp", "dense", "rmac"]}, _outcomes(0.8, 0.95, 0.9))
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["steps=0", "steps=2", "steps=1"]
