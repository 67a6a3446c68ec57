"""Recipes as validated data, and the cards that are written from them. Needs no TensorFlow."""

from keras_fvvae.recipes.load import ENTRIES, as_number, list_recipes, load_recipe, recipe_from_yaml
from keras_fvvae.recipes.recipe import ACTIVATIONS, Recipe
from keras_fvvae.recipes.registry import DATASETS, REPRESENTATIONS
from keras_fvvae.recipes.softmax_stage import SoftmaxStage

__all__ = [
    "ACTIVATIONS",
    "DATASETS",
    "ENTRIES",
    "REPRESENTATIONS",
    "Recipe",
    "SoftmaxStage",
    "as_number",
    "list_recipes",
    "load_recipe",
    "recipe_from_yaml",
]
