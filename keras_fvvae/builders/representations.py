"""The layers of a recipe's representation: its descriptors, its head, and what normalizes its raw vectors."""

from __future__ import annotations

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
from keras_fvvae.utils.signatures import init_parameters

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

# The title of a recipe with branches.
JOINED = "Joined"
# Arguments of the layers that are not a recipe's to choose.
_DECIDED = ("fvvae", "kwargs", "normalization", "decoder_layers")


def representation_title(recipe: Recipe) -> str:
    """The name of a recipe's representation in tables.

    Example:
        >>> representation_title(Recipe()), representation_title(Recipe(lambda3=0.0))
        ('FV-VAE', 'FV-VAE minus')
    """
    if recipe.branches:
        return JOINED
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
    known = [name for name in init_parameters(info.layer_class) if name not in _DECIDED]
    for name in chosen:
        if name not in known:
            raise RecipeError(unknown_name(f"option of the representation {recipe.representation!r}:", name, known))
    if "seed" in known:
        options.setdefault("seed", recipe.seed)
    if info.training == FVVAE_TRAINING:
        options["fvvae"] = fvvae
    if recipe.representation == "fv_vae" and is_spectral(recipe):
        options.setdefault("standardized", False)
    if "decoder_layers" in init_parameters(info.layer_class):
        options["decoder_layers"] = recipe.decoder_layers
    try:
        return info.layer_class(**options, name="head")
    except (TypeError, ValueError) as error:
        raise RecipeError(f"`representation_options` of {recipe.representation!r}: {error}") from error


def build_normalization(recipe: Recipe, head: keras.Layer, shape: tuple[int, ...]) -> keras.Layer:
    """The layer that normalises a head's raw vectors of activation maps `(batch, *shape)`."""
    info = REPRESENTATIONS[recipe.representation]
    if is_spectral(recipe):
        rows = None if info.rows == MATRIX else _number(info.rows, head, shape)
        return layers.SpectralNormalization(rows, name="normalization")
    if info.steps is None:
        return layers.FisherNormalization(recipe.information, recipe.damping, name="normalization")
    return layers.VectorNormalization(info.steps, _blocks(info, head, shape), name="normalization")


def is_spectral(recipe: Recipe) -> bool:
    """Whether a recipe's vectors are normalised by their singular values: it asks for that, and they are one matrix.

    Example:
        >>> [is_spectral(Recipe(representation=name, vector_normalization="spectral")) for name in ("bilinear", "ave")]
        [True, False]
    """
    info = REPRESENTATIONS[recipe.representation]
    of_all_layers = recipe.decoder_layers == "all" and info.training == FVVAE_TRAINING
    return recipe.vector_normalization == "spectral" and info.rows is not None and not of_all_layers


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
