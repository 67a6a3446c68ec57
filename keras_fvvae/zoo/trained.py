"""Loaded weights, and how they differ from what is asked for."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from keras_fvvae.layers import DescriptorNormalization, FVVAELayer, SpatialPyramidPooling
from keras_fvvae.models import FVVAE, Classifier, Encoder, SoftmaxClassifier
from keras_fvvae.recipes import Recipe
from keras_fvvae.recipes.keys import Mark, marked_keys

# Keys of a recipe that decide the architecture or what its input means: trained weights go with one value only.
ARCHITECTURE = marked_keys(Recipe, Mark.ARCHITECTURE)
# Where a recipe does not name the split, its data set's loader takes this one.
DEFAULT_SPLIT = 1


@dataclasses.dataclass(frozen=True)
class Trained:
    """A loaded model and the recipe it was trained with, if known."""

    model: Classifier | SoftmaxClassifier | Encoder | FVVAE
    recipe: Recipe | None = None

    @property
    def encoder(self) -> Encoder | FVVAE:
        """What holds the backbone and the descriptors."""
        return self.model.encoder if isinstance(self.model, Classifier | SoftmaxClassifier) else self.model

    @property
    def fvvae(self) -> FVVAELayer | None:
        """The `FVVAELayer`; `None` where another representation was trained."""
        return self.encoder.fvvae if isinstance(self.encoder, FVVAE) else getattr(self.encoder.head, "fvvae", None)

    @property
    def num_classes(self) -> int | None:
        """Classes that were trained, if any."""
        if self.fvvae is not None:
            return self.fvvae.num_classes
        if isinstance(self.model, Classifier):
            return len(self.model.class_names)
        return self.model.num_classes if isinstance(self.model, SoftmaxClassifier) else None


def recipe_differences(recipe: Recipe, wanted: dict[str, Any]) -> str:
    """Where what is wanted of architecture, input or split is not what a recipe has, in words; else empty."""
    have = {key: getattr(recipe, key) for key in ARCHITECTURE}
    split = wanted.get("dataset_options", {}).get("split")
    if split is not None:
        have["split"], wanted = recipe.dataset_options.get("split", DEFAULT_SPLIT), {**wanted, "split": split}
    return _in_words(have, wanted)


def differences(trained: Trained, wanted: dict[str, Any]) -> str:
    """`recipe_differences` of loaded weights; what a file of unknown recipe does not tell is not compared."""
    have = {} if trained.recipe is None else {key: getattr(trained.recipe, key) for key in ARCHITECTURE}
    fvvae, encoder = trained.fvvae, trained.encoder
    if trained.recipe is None and fvvae is not None:
        hidden = None if fvvae.hidden_units is None else list(fvvae.hidden_units)
        have |= {"latent_dim": fvvae.latent_dim, "hidden_units": hidden}
        have |= {"hidden_activation": fvvae.get_config()["hidden_activation"]}
        have |= {"decoder_units": list(fvvae.decoder_units), "attention": fvvae.attention}
        if encoder.backbone is not None:
            have |= {"input_size": encoder.backbone.input.shape[1:3], "backbone": encoder.backbone.name}
        have |= _descriptor_settings(encoder.descriptors)
    if trained.num_classes is not None and not (fvvae is None and isinstance(trained.model, Classifier)):
        have["num_classes"] = trained.num_classes
    return _in_words(have, wanted)


def _descriptor_settings(descriptors):
    """The keys of a recipe that the layers from `build_descriptors` tell."""
    settings = {}
    for layer in getattr(descriptors, "layers", [descriptors]):
        if isinstance(layer, DescriptorNormalization):
            settings |= {"normalization": layer.scheme, "normalization_scale": layer.scale}
        elif isinstance(layer, SpatialPyramidPooling):
            settings |= {"descriptors": "spp", "spp_levels": layer.levels, "spp_pooling": layer.pooling}
        elif isinstance(layer, keras.layers.Reshape):
            settings["descriptors"] = "dense"
    return settings


def _in_words(have, wanted):
    keys = [key for key in wanted if key in have and _comparable(have[key]) != _comparable(wanted[key])]
    return ", ".join(f"`{key}` = {_comparable(have[key])}, not {wanted[key]}" for key in keys)


def _comparable(value):
    """Tuples as lists, as YAML reads them, at any depth."""
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    return [_comparable(item) for item in value] if isinstance(value, list | tuple) else value
