"""The number of a recipe's format: keys may change their meaning, and older files keep theirs."""

import pytest
import yaml

from keras_fvvae.errors import RecipeError
from keras_fvvae.recipes import Recipe, list_recipes, load_recipe, recipe_from_yaml
from keras_fvvae.recipes.recipe import FORMAT


def test_what_is_written_names_its_format():
    content = yaml.safe_load(Recipe(latent_dim=7).to_yaml())
    assert content["format"] == FORMAT == 2
    assert "format" not in vars(Recipe())  # no key: it cannot be overridden
    assert recipe_from_yaml(Recipe(latent_dim=7).to_yaml(), "here") == Recipe(latent_dim=7)


def test_a_file_of_another_format_is_upgraded_by_its_number(monkeypatch):
    seen = []

    def upgrade(content, number):
        seen.append(number)
        return {**content, "lambda3": content["lambda3"] * 10} if number < 2 else content

    monkeypatch.setattr("keras_fvvae.recipes.load._upgrade", upgrade)
    for text, expected in (("lambda3: 5", 50), ("format: 1\nlambda3: 5", 50), ("format: 2\nlambda3: 5", 5)):
        assert recipe_from_yaml(text, "here").lambda3 == expected
    assert seen == [1, 1, 2]  # 0.1 wrote no number
    # What is asked for beside the file has today's meaning.
    assert recipe_from_yaml("lambda3: 5", "here").replace(lambda3=3).lambda3 == 3


def test_a_newer_format_is_one_sentence(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"format: {FORMAT + 1}\nkey_of_tomorrow: 3\n")
    with pytest.raises(RecipeError) as raised:
        load_recipe(path)
    assert str(raised.value) == f"{path} was written by a newer keras_fvvae (recipe format {FORMAT + 1}); upgrade it."


@pytest.mark.parametrize("number", ["two", "0", "-1", "1.0", "true", "null"])
def test_what_is_no_format(number):
    with pytest.raises(RecipeError, match=f"here: `format` must be an integer from 1 to {FORMAT}. Received"):
        recipe_from_yaml(f"format: {number}", "here")


def test_the_zoos_files_can_be_read():
    assert all(load_recipe(name).name == name for name in list_recipes())
