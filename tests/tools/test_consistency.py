"""One form for one thing in all commands."""

import click
import pytest
from keras_fvvae.tools.common.options import chosen_recipe, recipe_overrides
from keras_fvvae.tools.main import cli

from keras_fvvae.experiments.row import Row
from keras_fvvae.experiments.rows import Experiment
from keras_fvvae.recipes import load_recipe
from tests.tools.test_help import ALL


def _options():
    """Of every command that is no group: its words, and its options by name."""
    for words in ALL:
        command = cli
        for word in words:
            command = command.get_command(None, word)
        if not isinstance(command, click.Group):
            options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
            yield words, {option.opts[0]: option for option in options}, command


@pytest.mark.parametrize(("words", "options", "command"), list(_options()), ids=lambda value: str(value)[:40])
def test_data_are_an_option_with_those_of_its_loader(words, options, command):
    assert not any(parameter.name in ("data", "directory_of_data") for parameter in _arguments(command))
    if "--data" not in options or words == ("benchmark",):  # any folder of .jpg files
        return
    assert "--data-option" in options
    assert ("--dataset" in options) == (words != ("evaluate-views",))  # a run knows its own


def _arguments(command):
    return [parameter for parameter in command.params if isinstance(parameter, click.Argument)]


def test_an_option_means_one_thing():
    """The same name has the same help and type in all commands, but where it is of the command itself."""
    own = {"--out", "--data", "--dataset", "--workers", "--seed", "--top-k", "--format", "--name", "--runs", "--frames"}
    own |= {
        "--compare",
        "--only",
        "--scores",
        "--weight",
        "--size",
        "--steps",
        "--overwrite",
        "--labels",
        "--views",
        "--index",
    }
    found = {}
    for words, options, _ in _options():
        for name, option in options.items():
            if name not in own:
                found.setdefault(name, {})[words] = (option.help, str(option.type), option.metavar)
    different = {name: by for name, by in found.items() if len(set(by.values())) > 1}
    assert not different


@pytest.mark.parametrize("name", ["train", "compare", "reproduce", "sweep"])
def test_trainings_take_the_same(name):
    options = {words: options for words, options, _ in _options()}[(name,)]
    assert {"--data-option", "--common-classes", "--set", "--seed", "--cache", "--backbone-weights"} <= set(options)


def test_what_options_make_of_a_recipe():
    assert recipe_overrides({"tap": None}, backbone="VGG19", input_size=64) == {
        "tap": None,
        "backbone": "VGG19",
        "input_size": [64, 64],
    }
    assert recipe_overrides({}, backbone="nets/mine.keras", tap=None)["tap"] is None
    assert recipe_overrides({}, backbone="VGG19")["tap"] == "conv5_4"
    overrides = recipe_overrides({"steps": 3, "seed": 5}, seed=4, dataset="folder", tap=None)
    assert overrides == {"seed": 5, "dataset": "folder", "steps": 3}
    recipe = chosen_recipe("ucf101_pool5", overrides, dataset_options={"annotations": "lists"})
    assert (recipe.steps, recipe.seed, recipe.dataset) == (3, 5, "folder")
    assert recipe.dataset_options == {**load_recipe("ucf101_pool5").dataset_options, "annotations": "lists"}


def test_options_of_the_data_reach_every_row(tmp_path):
    rows = [Row("one", load_recipe("moving_digits_rgb")), Row("two", load_recipe("moving_digits_flow")), Row("none")]
    outcomes = Experiment(tmp_path, dataset_options={"farmes": 8}).run(rows[:2])
    for outcome in outcomes:
        assert "'farmes'; did you mean 'frames'?" in outcome.reason
