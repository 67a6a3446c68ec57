"""The weights that the paper's authors released, by name: fetched from their repository, checked, kept in the cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from keras_fvvae.builders.encoders import build_encoder
from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.errors import WeightsError
from keras_fvvae.models import FisherEncoder
from keras_fvvae.recipes import Recipe
from keras_fvvae.recipes.released import BASE_URL, ENTRY, RELEASED
from keras_fvvae.utils.cache import cache_folder
from keras_fvvae.utils.text import is_number
from keras_fvvae.zoo.manifests import check_file
from keras_fvvae.zoo.release import release_model
from keras_fvvae.zoo.remote.addresses import is_url
from keras_fvvae.zoo.remote.downloads import download
from keras_fvvae.zoo.trained import DEFAULT_SPLIT, Trained, differences

NAME = "release"
# Another place that has the authors' files under their names: a folder, or the URL of one.
RELEASE_VARIABLE = "KERAS_FVVAE_RELEASE"
# Keys of what comes after the FV-VAE: the release has none of it.
_NOT_RELEASED = ("vector_normalization", "information", "damping", "pca_components")


def is_release(weights: object) -> bool:
    """Whether weights are named as the authors': `"release"`, or `"release:2"` of split 2.

    Example:
        >>> is_release("release"), is_release("release:2"), is_release("./release")
        (True, True, False)
    """
    return isinstance(weights, str) and weights.partition(":")[0] == NAME


def released_file(split: int) -> Path:
    """The path of the authors' MATLAB file for a split of UCF101, downloaded if it is not in the cache yet.

    Raises:
        WeightsError: if there is no such split, or the file cannot be had or is not the one that was released.
    """
    if split not in RELEASED:
        known = ", ".join(map(str, RELEASED))
        raise WeightsError(f"The authors released weights for the splits {known} of UCF101. Received: split {split}")
    file = RELEASED[split]
    root = os.environ.get(RELEASE_VARIABLE) or BASE_URL
    if is_url(root):
        return download(f"{root.rstrip('/')}/{file.name}", cache_folder() / NAME / file.name, file.sha256, file.size)
    check_file(Path(root, file.name), file.sha256, file.size)
    return Path(root, file.name)


def open_release(weights: str, entry: str, wanted: dict[str, Any] | None = None) -> Trained:
    """The authors' weights: an `FVVAE` on activation maps, and its recipe.

    Args:
        weights: `"release"` or `"release:SPLIT"`.
        entry: the entry that they are loaded for.
        wanted: overrides of its recipe, in which `dataset_options` may name the split.

    Raises:
        WeightsError: for another entry or split, or a file that cannot be had or is not the one that was released.
    """
    if not is_release(weights):
        raise WeightsError(f"Weights of the authors are named {NAME!r} or '{NAME}:SPLIT'. Received: {weights!r}")
    if entry != ENTRY:
        raise WeightsError(f"The authors released weights of {ENTRY!r}, none of {entry!r}: load {ENTRY!r}.")
    asked = (wanted or {}).get("dataset_options", {}).get("split")
    split = weights.partition(":")[2] if ":" in weights else str(DEFAULT_SPLIT if asked is None else asked)
    if not is_number(split):
        raise WeightsError(f"Weights of the authors are named {NAME!r} or '{NAME}:SPLIT'. Received: {weights!r}")
    if asked not in (None, int(split)):
        raise WeightsError(f"The weights {weights} are of split {split}, and `dataset_options` ask for split {asked}.")
    return Trained(*release_model(released_file(int(split))))


def released_encoder(
    weights: str, entry: str, backbone_weights: str | os.PathLike | None, **overrides: Any
) -> tuple[FisherEncoder, Recipe]:
    """The encoder of the authors' weights on a backbone, and its recipe; see `keras_fvvae.zoo.load_encoder`."""
    trained = open_release(weights, entry, overrides)
    if other := differences(trained, {key: overrides[key] for key in overrides if key not in _NOT_RELEASED}):
        raise WeightsError(f"The weights {weights} have {other}. Leave it out.")
    recipe = trained.recipe.replace(**overrides)
    return build_encoder(recipe, build_recipe_backbone(recipe, backbone_weights), trained.model), recipe
