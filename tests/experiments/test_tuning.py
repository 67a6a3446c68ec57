"""The tap and the weight of the classification loss, chosen on a validation part."""

import itertools

import pytest

from keras_fvvae.builders import precision
from keras_fvvae.errors import DataError, RecipeError
from keras_fvvae.experiments import tuning
from keras_fvvae.experiments.row import Outcome
from keras_fvvae.experiments.rows import Experiment
from keras_fvvae.experiments.sweep import validation_collection
from keras_fvvae.experiments.tuning import choose_tap, tappable, tune
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.inputs import activations


class _Scored:
    """An experiment whose rows have given accuracies."""

    def __init__(self, *accuracies):
        self.accuracies = accuracies

    def run(self, rows):
        return [Outcome(row.name, {}, _metrics(value)) for row, value in zip(rows, self.accuracies, strict=True)]


def _metrics(accuracy):
    return {} if accuracy is None else {"accuracy": accuracy}


@pytest.mark.parametrize(
    ("accuracies", "factor"),
    [((0.5, 0.6, 0.7, 0.5), 0.1), ((0.7, 0.7, 0.7, 0.7), 1.0), ((None, 0.2, None, None), 0.0)],
)
def test_the_best_weight_is_taken_and_its_own_where_none_is_better(recipe, accuracies, factor):
    chosen, outcomes = tune(recipe, _Scored(*accuracies))
    assert chosen == recipe.replace(lambda3=factor * recipe.lambda3)
    assert len(outcomes) == 4


def test_nothing_to_tune(recipe):
    for changes in ({"lambda3": 0.0}, {"representation": "vlad"}):
        with pytest.raises(RecipeError, match="this recipe has none"):
            tune(recipe.replace(**changes), _Scored())


def test_nothing_that_could_be_trained(recipe):
    with pytest.raises(DataError, match="No value of `lambda3` could be tried"):
        tune(recipe, _Scored(None, None, None, None))


def test_test_items_have_no_part_in_it(recipe, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "FACTORS", (1.0, 0.0))
    experiment = Experiment(
        tmp_path / "runs",
        folder,
        backbone_weights=None,
        cache=tmp_path / "cache",
        verbose=0,
        part=validation_collection,
    )
    chosen, outcomes = tune(recipe.replace(dataset="folder", steps=2), experiment)
    assert chosen.lambda3 in (0.0, 1e3)
    assert [outcome.reason for outcome in outcomes] == [""] * 2
    used = set(experiment.collection(recipe.replace(dataset="folder")).names)
    from keras_fvvae.data import load_folder

    whole = load_folder(folder)
    assert used == {whole.names[i] for i in whole.indices("train")}


def test_taps_that_are_tried():
    """The default first, then the last two ends of blocks at the three coarsest maps, each once."""
    vgg = Recipe(backbone="VGG19", input_size=[64, 64], tap="conv5_3")
    assert tappable(vgg) == ["conv5_3", "block5_pool", "block5_conv4", "block4_conv4", "block4_conv3"]
    mobile = Recipe(backbone="MobileNetV2", backbone_options={"alpha": 0.35}, input_size=[96, 96])
    assert tappable(mobile.replace(tap="block_12_add"))[0] == "block_12_add"
    assert len(set(tappable(mobile))) == len(tappable(mobile)) <= 7


def test_the_best_tap_is_taken_from_one_pass(recipe, folder, tmp_path, monkeypatch):
    recipe = recipe.replace(dataset="folder", steps=2)
    experiment = Experiment(
        tmp_path / "runs", folder, backbone_weights=None, cache=tmp_path / "c", verbose=0, part=validation_collection
    )
    passes: list[int] = []
    maps_of = activations._maps
    monkeypatch.setattr(activations, "_maps", lambda *given: passes.append(len(given[0])) or maps_of(*given))
    chosen, outcomes = choose_tap(recipe, experiment)
    assert [outcome.reason for outcome in outcomes] == [""] * 2
    accuracies = [outcome.metrics["accuracy"] for outcome in outcomes]
    assert chosen.tap == ("conv3", "conv2")[accuracies[1] > accuracies[0]]
    assert set(passes) == {2}  # both taps at once, and the rows found them


def test_taps_are_compared_in_one_precision(recipe, folder, tmp_path, monkeypatch):
    """`auto` is decided once, for all taps and what is trained then, not by each training at its own tap."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    seconds = itertools.cycle([1.0, 0.5, 0.5, 1.0])  # one tap would be faster in bfloat16, the other in float32
    monkeypatch.setattr(precision, "_seconds", lambda *given: next(seconds))
    passes: list[int] = []
    maps_of = activations._maps
    monkeypatch.setattr(activations, "_maps", lambda *given: passes.append(len(given[0])) or maps_of(*given))
    experiment = Experiment(
        tmp_path / "runs", folder, backbone_weights=None, cache=tmp_path / "c", verbose=0, part=validation_collection
    )
    chosen, outcomes = choose_tap(recipe.replace(dataset="folder", steps=2, precision="auto"), experiment)
    assert chosen.precision == "bfloat16"
    assert {RunFolder.open(outcome.run).recipe.precision for outcome in outcomes} == {"bfloat16"}
    assert set(passes) == {2}


def test_no_tap_to_choose(recipe):
    branches = recipe.replace(branches=[{"tap": "conv2"}, {"tap": "last"}])
    for one in (branches, recipe.replace(representation="cross_layer")):
        with pytest.raises(RecipeError, match="name its taps"):
            choose_tap(one, _Scored())
