"""The layers of a recipe's representation: its descriptors, its head, and what normalizes its raw vectors."""

from __future__ import annotations

import inspect

import keras

from keras_fvvae import layers
from keras_fvvae.builders.descriptors import DescriptorPlan
from keras_fvvae.errors import RecipeError, unknown_name
from keras_fvvae.layers.old_names import with_new_names
from keras_fvvae.recipes import Recipe
from keras_fvvae.recipes.registry import (
    FVVAE_TRAINING,
    MATRIX,
    OF_MAP,
    OF_SECOND_MAP,
    REPRESENTATIONS,
    SOFTMAX_TRAINING,
)

__all__ = [
    "FVVAE_TRAINING",
    "REPRESENTATIONS",
    "SOFTMAX_TRAINING",
    "build_descriptors",
    "build_head",
    "build_normalization",
    "descriptor_plan",
    "representation_title",
]

# Arguments of the layers that are not a recipe's to choose.
_DECIDED = ("fvvae", "kwargs", "normalization", "decoder_layers")


def representation_title(recipe: Recipe) -> str:
    """The name of a recipe's representation in tables.

    Example:
        >>> representation_title(Recipe()), representation_title(Recipe(lambda3=0.0))
        ('FV-VAE', 'FV-VAE minus')
    """
    name = REPRESENTATIONS[recipe.representation].title
    return name if recipe.lambda3 or recipe.representation != "fv_vae" else f"{name} minus"


def build_head(recipe: Recipe, fvvae: layers.FVVAELayer | None = None) -> keras.Layer:
    """The layer of a recipe's representation, not adapted yet.

    Args:
        recipe: a `Recipe`.
        fvvae: the trained `FVVAELayer`, where the representation is made with it.

    Raises:
        RecipeError: for `representation_options` that the layer does not have, or does not accept.
    """
    info = REPRESENTATIONS[recipe.representation]
    try:
        chosen = with_new_names(recipe.representation_options)
    except ValueError as error:
        raise RecipeError(f"`representation_options` of {recipe.representation!r}: {error}") from error
    options = {**info.options, **chosen}
    known = [name for name in inspect.signature(info.layer_class).parameters if name not in _DECIDED]
    for name in chosen:
        if name not in known:
            raise RecipeError(unknown_name(f"option of the representation {recipe.representation!r}:", name, known))
    if "seed" in known:
        options.setdefault("seed", recipe.seed)
    if info.training == FVVAE_TRAINING:
        options["fvvae"] = fvvae
    if recipe.representation == "fv_vae" and recipe.vector_normalization == "spectral":
        options.setdefault("standardized", False)
    if "decoder_layers" in inspect.signature(info.layer_class).parameters:
        options["decoder_layers"] = recipe.decoder_layers
    try:
        return info.layer_class(**options, name="head")
    except (TypeError, ValueError) as error:
        raise RecipeError(f"`representation_options` of {recipe.representation!r}: {error}") from error


def build_normalization(recipe: Recipe, head: keras.Layer, shape: tuple[int, ...]) -> keras.Layer:
    """The layer that normalises a head's raw vectors of activation maps `(batch, *shape)`.

    Raises:
        RecipeError: for `vector_normalization: spectral` of a representation that is no matrix.
    """
    info = REPRESENTATIONS[recipe.representation]
    if recipe.vector_normalization == "spectral":
        return layers.SpectralNormalization(_num_rows(recipe, info, head, shape), name="normalization")
    if info.steps is None:
        return layers.FisherNormalization(recipe.information, recipe.damping, name="normalization")
    return layers.VectorNormalization(info.steps, _blocks(info, head, shape), name="normalization")


def _num_rows(recipe, info, head, shape):
    """Of the matrices that a head's flat raw vectors are; `None` where they are matrices already."""
    if info.rows is None or getattr(head, "decoder_layers", "last") == "all":
        known = ", ".join(name for name, one in REPRESENTATIONS.items() if one.rows)
        raise RecipeError(
            f"`vector_normalization: spectral` is for representations that are one matrix ({known}; of FV-VAE with "
            f"`decoder_layers: last`); {recipe.representation!r} is none here."
        )
    return None if info.rows == MATRIX else _number(info.rows, head, shape)


def _blocks(info, head, shape):
    return 1 if info.blocks is None else _number(info.blocks, head, shape)


def _number(what, head, shape):
    """A number that the registry names."""
    of_map = {OF_MAP: shape[-1], OF_SECOND_MAP: shape[-1] // 2}
    return of_map[what] if what in of_map else getattr(head, what)


def descriptor_plan(recipe: Recipe) -> DescriptorPlan:
    """The `DescriptorPlan` of a recipe: what its representation takes, and how that is made of activation maps."""
    return DescriptorPlan(
        takes=REPRESENTATIONS[recipe.representation].takes,
        scheme=recipe.normalization,
        scale=recipe.normalization_scale,
        levels=tuple(recipe.spp_levels) if recipe.descriptors == "spp" else None,
        pooling=recipe.spp_pooling,
        count=recipe.sampled_descriptors,
        seed=recipe.seed,
    )


def build_descriptors(recipe: Recipe, shape: tuple[int, ...]) -> keras.Model:
    """The model from activation maps `(batch, *shape)` to what the recipe's representation takes."""
    return descriptor_plan(recipe).build(shape)
