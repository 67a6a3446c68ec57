"""Recipes as validated data, and the cards that are written from them. Needs no TensorFlow."""

from keras_fvvae.recipes.recipe import (
    ACTIVATIONS,
    DATASET_CLASSES,
    DATASETS,
    EMBEDDED_DATASETS,
    ENTRIES,
    REPRESENTATIONS,
    Recipe,
    SoftmaxStage,
    as_number,
    list_recipes,
    load_recipe,
    recipe_from_yaml,
)

__all__ = [
    "ACTIVATIONS",
    "DATASETS",
    "DATASET_CLASSES",
    "EMBEDDED_DATASETS",
    "ENTRIES",
    "REPRESENTATIONS",
    "Recipe",
    "SoftmaxStage",
    "as_number",
    "list_recipes",
    "load_recipe",
    "recipe_from_yaml",
]
