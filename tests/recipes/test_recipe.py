import dataclasses

import pytest
import yaml

from keras_fvvae import recipes
from keras_fvvae.errors import RecipeError
from keras_fvvae.recipes import Recipe, load_recipe, recipe_from_yaml


def test_shipped_recipes():
    assert {"digits_conv", "image_folder"} <= set(recipes.list_recipes())
    for name in recipes.list_recipes():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.description


def test_defaults_are_the_papers():
    recipe = Recipe()
    assert (recipe.latent_dim, recipe.dropout, recipe.svm_c, recipe.steps) == (255, 0.5, 100.0, 5000)
    assert (recipe.optimizer, recipe.learning_rate, recipe.batch_size) == ("adadelta", 1.0, 128)
    assert recipe.loss_weights == (1.0, 1.0, 1e3)
    assert recipe.spp_levels == [6, 3, 2, 1]


def test_defaults_are_not_shared():
    Recipe().spp_levels.append(9)
    assert Recipe().spp_levels == [6, 3, 2, 1]


def test_every_key_is_described():
    for field in dataclasses.fields(Recipe):
        assert field.metadata["about"]


def test_yaml_round_trip():
    recipe = load_recipe("digits_conv", hidden_units=[5, 4], learning_rate_multipliers={"bias$": 3.0}, tap="conv2")
    assert recipe_from_yaml(recipe.to_yaml(), "here") == recipe


def test_overrides_win():
    recipe = load_recipe("digits_conv", latent_dim=7, tap="conv2", lambda3=0)
    assert (recipe.latent_dim, recipe.tap, recipe.loss_weights) == (7, "conv2", (1.0, 1.0, 0))
    assert recipe.backbone == "DigitsConvNet"


def test_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().latent_dim = 3


def test_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ndescription: Föhr\nlatent_dim: 9\n", encoding="utf-8")
    assert load_recipe(path) == load_recipe(str(path)) == Recipe(name="mine", description="Föhr", latent_dim=9)


def test_unknown_key_names_the_nearest():
    with pytest.raises(RecipeError, match="Unknown recipe key 'latent_dims'; did you mean 'latent_dim'?"):
        load_recipe("digits_conv", latent_dims=7)
    with pytest.raises(RecipeError, match="^zoo/x.yaml: Unknown recipe key 'droput'; did you mean 'dropout'?"):
        recipe_from_yaml("droput: 0.1", "zoo/x.yaml")


def test_unknown_entry_names_the_nearest():
    with pytest.raises(RecipeError, match="Unknown zoo entry 'digit_conv'; did you mean 'digits_conv'?"):
        load_recipe("digit_conv")


WEIGHTS = "empty, or a mapping with `sha256`, 64 hexadecimal digits in lower case, and `file`, a name, or `url`"
ZEROS = "0" * 64
# What would become a part of a path or a request.
UNSAFE = [
    {"file": "x.keras"}, {"sha256": ZEROS}, {"url": "https://x/y", "sha256": "../../x"}, [], "x",
    {"url": "https://x/y", "sha256": ZEROS[1:]}, {"url": "https://x/y", "sha256": "A" * 64},
    {"file": "../x.keras", "sha256": ZEROS}, {"url": 3, "sha256": ZEROS},
]  # fmt: skip
WRONG = [
    ("name", 3, "text"),
    (
        "dataset",
        "imagenet",
        "one of 'auto', 'list', 'cub', 'ucf101', 'activitynet', 'tfds', 'digits', 'moving_digits', "
        "'textiles', 'folder'",
    ),
    ("test_fraction", 1.0, "a number in [0, 1)"),
    ("backbone", None, "text"),
    ("backbone_options", [1], "a mapping"),
    ("tap", 5, "text"),
    ("input_size", [224, 0], "a list of positive integers"),
    ("input_size", 224, "a list of positive integers"),
    ("input_size", [224], "[height, width]"),
    ("input_size", [224, 224, 3], "[height, width]"),
    ("resize", "stretch", "one of 'squeeze', 'crop', 'pad'"),
    ("random_shift", -1, "an integer, not negative"),
    ("random_mirror", 1, "true or false"),
    ("descriptors", "all", "one of 'spp', 'dense'"),
    ("spp_levels", [6, "3"], "a list of positive integers, at least one"),
    ("spp_levels", [True], "a list of positive integers, at least one"),
    ("spp_pooling", "mean", "one of 'max', 'average'"),
    ("normalization", "l2", "one of 'map', 'descriptor', 'none'"),
    ("normalization_scale", 0, "a positive number"),
    ("sampled_descriptors", 0, "a positive integer"),
    ("latent_dim", 0, "a positive integer"),
    ("latent_dim", 2.0, "a positive integer"),
    ("latent_dim", True, "a positive integer"),
    ("latent_dim", None, "a positive integer"),
    ("hidden_units", [5, -1], "a list of positive integers"),
    ("dropout", 1, "a number in [0, 1)"),
    ("dropout", "0.5", "a number in [0, 1)"),
    ("lambda1", -1, "a number, not negative"),
    ("lambda3", float("nan"), "a number, not negative"),
    ("lambda3", "1e3", "a number, not negative"),
    ("optimizer", "rmsprop", "one of 'adadelta', 'adam', 'sgd'"),
    ("learning_rate", 0, "a positive number"),
    ("learning_rate_multipliers", 2.0, "a mapping from regular expressions to numbers, none negative"),
    ("batch_size", 0, "a positive integer"),
    ("steps", 0, "a positive integer"),
    ("information", "full", "one of 'diagonal', 'kronecker', 'none'"),
    ("damping", -0.1, "a number, not negative"),
    ("svm_c", 0, "a positive number"),
    ("seed", -1, "an integer from 0 to 2**32 - 1"),
    ("paper", "yes", "a mapping"),
    *[("weights", value, WEIGHTS) for value in UNSAFE],
    ("measured", {}, "a list"),
]


@pytest.mark.parametrize(("key", "value", "required"), WRONG)
def test_wrong_value(key, value, required):
    with pytest.raises(RecipeError) as raised:
        Recipe().replace(**{key: value})
    assert str(raised.value) == f"The recipe key `{key}` must be {required}. Received: {value!r}"


# Found when the model is built or trained, if not here: by then without the key's name.
CANNOT_WORK = [
    ("spp_levels", []),
    ("lambda1", float("inf")),
    ("learning_rate", float("inf")),
    ("learning_rate_multipliers", {"bias$": "twice"}),
    ("learning_rate_multipliers", {"bias$": -1.0}),
    ("learning_rate_multipliers", {"bias(": 1.0}),
    ("hidden_activation", "rleu"),
]


@pytest.mark.parametrize(("key", "value"), CANNOT_WORK)
def test_value_that_cannot_work(key, value):
    with pytest.raises(RecipeError, match=f"`{key}`"):
        Recipe().replace(**{key: value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "here is not valid YAML"),
        ("a: b: c", "here is not valid YAML"),
        ("!!python/object/apply:os.getcwd []", "here is not valid YAML"),
        ("", "here does not hold a recipe"),
        ("- latent_dim", "here does not hold a recipe"),
        ("just text", "here does not hold a recipe"),
        ("latent_dim: many", "here: The recipe key `latent_dim` must be a positive integer. Received: 'many'"),
        ("7: 3", "here: Unknown recipe key"),
    ],
)
def test_text_that_is_no_recipe(text, message):
    with pytest.raises(RecipeError, match=message):
        recipe_from_yaml(text, "here")


def test_missing_file(tmp_path):
    with pytest.raises(RecipeError, match="The recipe file .*no.yaml does not exist"):
        load_recipe(tmp_path / "no.yaml")


def test_file_in_another_encoding(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes("description: Föhr".encode("latin-1"))
    with pytest.raises(RecipeError, match="mine.yaml"):
        load_recipe(path)


def test_to_yaml_is_readable():
    text = Recipe(description="Föhr", hidden_units=[5]).to_yaml()
    assert "Föhr" in text
    assert list(yaml.safe_load(text)) == ["format", *(field.name for field in dataclasses.fields(Recipe))]
