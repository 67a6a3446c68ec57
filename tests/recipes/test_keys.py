"""Every key says what it decides, and lists of keys derive from that."""

import dataclasses

import pytest

from keras_fvvae.recipes import Recipe, SoftmaxStage, load_recipe
from keras_fvvae.recipes.cards import shown_keys
from keras_fvvae.recipes.keys import (
    CARD,
    STAGES,
    TEXT,
    Mark,
    default_of,
    key,
    keys_of_card,
    keys_until,
    marked_keys,
    one_of,
)


@pytest.mark.parametrize("settings", [Recipe, SoftmaxStage])
def test_every_key_decides_something(settings):
    for field in dataclasses.fields(settings):
        assert field.metadata["decides"] in (*STAGES, CARD)
        assert field.metadata["about"]


def test_another_stage_is_refused():
    with pytest.raises(ValueError, match="`decides` must be one of .*'data'.*Received: decides='datas'"):
        key("datas", "", TEXT, "a mistake")


def test_stages_are_in_the_order_of_the_work():
    names = [field.name for field in dataclasses.fields(Recipe)]
    before = set()
    for stage in STAGES:
        until = set(keys_until(Recipe, stage))
        assert before < until
        before = until
    assert until | set(keys_of_card(Recipe)) == set(names)
    assert until.isdisjoint(keys_of_card(Recipe))
    assert {"flow_bound", "flow_method", "test_fraction", "seed"} <= set(keys_until(Recipe, "backbone"))
    assert until - set(keys_until(Recipe, "encoding")) == {"svm_c", "calibration"}


def test_recipes_that_agree_until_a_stage():
    recipe = load_recipe("digits_conv")
    for changes, stage in (
        ({"svm_c": 1.0}, "encoding"),
        ({"latent_dim": 3}, "descriptors"),
        ({"tap": "conv2"}, "input"),
    ):
        other = recipe.replace(**changes)
        later = STAGES[STAGES.index(stage) + 1]
        assert recipe.settings_until(stage) == other.settings_until(stage)
        assert recipe.settings_until(later) != other.settings_until(later)


def test_without_what_it_says_of_itself():
    recipe = load_recipe("digits_conv")
    bare = recipe.without_card()
    assert (bare.name, bare.paper, bare.weights, bare.measured, bare.citation) == ("", {}, {}, [], "")
    assert bare.settings_until("svm") == recipe.settings_until("svm")
    assert recipe.name == "digits_conv"


def test_defaults_of_lists_are_new():
    (field,) = (field for field in dataclasses.fields(Recipe) if field.name == "spp_levels")
    default_of(field).append(9)
    assert default_of(field) == [6, 3, 2, 1]


def test_a_choice_may_grow():
    registry = {"a": 1}
    accepts = one_of(registry)
    assert not accepts.test("b")
    assert not accepts.test(["a"])
    registry["b"] = 2
    assert accepts.test("b")
    assert f"{accepts.description}" == "one of 'a', 'b'"


def test_the_architecture():
    """What goes with one value only where weights are trained; 0.1 kept this list by hand."""
    assert set(marked_keys(Recipe, Mark.ARCHITECTURE)) == {
        "backbone", "backbone_options", "tap", "input_size", "modality", "descriptors", "spp_levels", "spp_pooling",
        "normalization", "normalization_scale", "latent_dim", "hidden_units", "hidden_activation", "decoder_units",
        "decoder_layers", "attention", "representation", "representation_options", "pca_components",
        "branches", "vector_normalization",
    }  # fmt: skip


def test_what_is_shown_of_results():
    digits, moving = load_recipe("digits_conv"), load_recipe("moving_digits_rgb", flow_bound=9.0)
    assert "frames" not in shown_keys([digits])
    assert {"frames", "flow_bound"} <= set(shown_keys([digits, moving]))
    assert {"lambda3", "backbone", "svm_c", "random_shift"} <= set(shown_keys([digits]))
    assert "damping" not in shown_keys([digits])  # as usual
    assert not {"name", "paper", "weights"} & set(shown_keys([digits]))
    vlad = digits.replace(representation="vlad", latent_dim=3)
    assert not {"latent_dim", "lambda3"} & set(shown_keys([vlad]))  # it has no FV-VAE
