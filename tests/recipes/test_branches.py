"""Branches of a recipe: each is a recipe of its own, and what does not go together is told in a sentence."""

import pytest

from keras_fvvae.errors import RecipeError
from keras_fvvae.recipes import Recipe, load_recipe, recipe_from_yaml

EARLY, LATE = {"tap": "conv4_3", "latent_dim": 63}, {"tap": "last", "representation": "ave"}


def test_a_branch_is_the_recipe_with_its_own_settings():
    recipe = Recipe(name="mine", branches=[EARLY, {**LATE, "name": "probe"}], steps=7, licence="none")
    assert recipe.branch_recipes == {
        "fv_vae_conv4_3": Recipe(name="mine_fv_vae_conv4_3", steps=7, tap="conv4_3", latent_dim=63),
        "probe": Recipe(name="mine_probe", steps=7, representation="ave"),
    }
    assert recipe_from_yaml(recipe.to_yaml(), "here") == recipe
    assert recipe.of_fv_vae
    assert not Recipe(branches=[{"representation": "bilinear"}, LATE]).of_fv_vae
    assert Recipe().branch_recipes == {}


def test_names_of_the_entry():
    assert list(load_recipe("photos_lite2").branch_recipes) == [
        "fv_vae_block_19_add",
        "fv_vae_block_20_project_BN",
        "ave_last",
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"branches": [EARLY]}, "`branches` must be two or more"),
        ({"branches": EARLY}, "must be a list of mappings"),
        ({"branches": [EARLY, LATE, EARLY]}, "number 3 and one before it are both named 'fv_vae_conv4_3'"),
        ({"branches": [EARLY, {**EARLY, "name": "again"}]}, "number 2 does what one before it does: leave it out"),
        ({"branches": [{"tapp": "conv4_3"}, LATE]}, "number 1: Unknown key of a branch 'tapp'; did you mean 'tap'"),
        ({"branches": [EARLY, {**LATE, "input_size": [9, 9]}]}, "number 2: `input_size` is the same for all branches"),
        ({"branches": [EARLY, {**LATE, "validation": 0.2}]}, "`validation` is the same for all branches"),
        ({"branches": [{"latent_dim": "x"}, LATE]}, "number 1: The recipe key `latent_dim` must be a positive integer"),
        ({"branches": [EARLY, {"representation": "cross_layer"}]}, "takes a pair of maps, and a branch has one"),
        ({"branches": [EARLY, {"name": "../up"}]}, "`name` must be letters, digits"),
        ({"branches": [EARLY, {"name": "Joined"}]}, "`name` 'Joined' is that of another row of the results"),
        ({"branches": [EARLY, LATE], "trainable_from": "all"}, "`trainable_from` and `branches` do not go together"),
        ({"branches": [EARLY, LATE], "fine_tune_steps": 5}, "`fine_tune_steps` and `branches` do not go together"),
        ({"branches": [EARLY, LATE], "branch_weights": "validation"}, "needs a validation part: set `validation`"),
        (
            {"branches": [EARLY, LATE], "branch_weights": [1, 2, 3]},
            "must be one number a branch, 2. Received: [1, 2, 3]",
        ),
        ({"branches": [EARLY, LATE], "branch_weights": [1, -1]}, "none negative, not all 0. Received: [1, -1]"),
        ({"branch_weights": [1, 1]}, "`branch_weights` are for a recipe with `branches`"),
    ],
)
def test_what_does_not_go_together(settings, said):
    with pytest.raises(RecipeError) as caught:
        Recipe(**settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
