"""The tap, and the weight of the classification loss, chosen on a validation part of the training items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_fvvae.backbones.listing import list_taps
from keras_fvvae.backbones.own_taps import BLOCK
from keras_fvvae.builders.precision import with_known_precision
from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.errors import DataError, RecipeError
from keras_fvvae.experiments.sweep import sweep_rows
from keras_fvvae.recipes.registry import PAIR, REPRESENTATIONS

if TYPE_CHECKING:
    from keras_fvvae.experiments.row import Outcome
    from keras_fvvae.experiments.rows import Experiment
    from keras_fvvae.recipes import Recipe

# Of the recipe's `lambda3`: 0 is FV-VAE minus, and Fig. 4(b) of the paper is flat within a factor of ten.
FACTORS = (1.0, 0.0, 0.1, 10.0)
# Taps that are tried: what helps lies near the network's end, rarely at it, and neighbours are alike.
COARSEST_MAPS, TAPS_A_MAP = 3, 2


def tune(recipe: Recipe, experiment: Experiment) -> tuple[Recipe, list[Outcome]]:
    """Trains a recipe with several weights of the classification loss; takes the one whose validation score is best.

    Every candidate chooses its own step where the recipe has a `validation` part.

    Args:
        recipe: a `Recipe` of an FV-VAE with `lambda3`.
        experiment: an `Experiment` whose `part` is `validation_collection`, so that test items have no part in it.

    Returns:
        Tuple of the recipe with the chosen `lambda3`, its own where others are only as good, and of all `Outcome`s.

    Raises:
        RecipeError: for a recipe without the loss.
        DataError: if no candidate could be trained.
    """
    if not (recipe.of_fv_vae and recipe.lambda3):
        raise RecipeError("Only `lambda3`, the weight of FV-VAE's classification loss, is tuned; this recipe has none.")
    return _best(recipe, experiment, "lambda3", [factor * recipe.lambda3 for factor in FACTORS])


def tappable(recipe: Recipe) -> list[str | None]:
    """The taps that `choose_tap` tries: the network's default, and the last ends of blocks at its coarsest maps.

    All maps of a transformer are of one size: of these its end and its last blocks are tried, as many in all.

    Args:
        recipe: a `Recipe`; of it the backbone with its options, the input's size and, to be tried first, the tap count.

    Returns:
        List of taps; `None` for the end of a network that has no other name.

    Raises:
        RecipeError: for a backbone without maps.

    Example:
        >>> from keras_fvvae.recipes import Recipe
        >>> tappable(Recipe(backbone="VGG19", input_size=[224, 224]))
        ['block5_conv4', 'block5_pool', 'block5_conv3', 'block4_conv4', 'block4_conv3']
    """
    listed = list_taps(recipe.backbone, tuple(recipe.input_size), recipe.backbone_options)
    default = next((tap for tap in listed if tap.is_default), None)
    blocks = [tap for tap in reversed(listed) if (tap.name or "").startswith(BLOCK)]
    found = _ends_of_transformer(default, blocks) if blocks else _at_coarsest_maps(listed)
    if not found or (recipe.tap is None and default is None):
        raise RecipeError(f"{recipe.backbone} has no maps among which a tap could be chosen: name one with `tap`.")
    first = recipe.tap or default.name
    aliases = {short: tap.name for tap in listed for short in tap.short_names}
    return [first, *(name for name in found if name != aliases.get(first, first))]


def _ends_of_transformer(end, blocks):
    return list(dict.fromkeys(tap.name for tap in [end, *blocks]))[: COARSEST_MAPS * TAPS_A_MAP]


def _at_coarsest_maps(listed):
    by_map: dict[tuple, list[str | None]] = {}
    for tap in reversed(listed):
        if tap.shape[:2] != (1, 1):
            by_map.setdefault(tap.shape[:2], []).append(tap.name)
    # A map that a network passes through again is counted once.
    return [name for _, names in list(by_map.items())[:COARSEST_MAPS] for name in names[:TAPS_A_MAP]]


def choose_tap(recipe: Recipe, experiment: Experiment) -> tuple[Recipe, list[Outcome]]:
    """Trains a recipe at several taps of its backbone; takes the one whose validation score is best.

    The activations at all taps come from one pass of a frozen backbone, in one precision.

    Args:
        recipe: a `Recipe` of a representation of one map. Its tap, or without one the backbone's default, is kept where
            others are only as good; `precision: auto` is measured at it.
        experiment: an `Experiment` whose `part` is `validation_collection`, so that test items have no part in it.

    Returns:
        Tuple of the recipe with the chosen `tap` and the precision in which it was tried, and of all `Outcome`s.

    Raises:
        RecipeError: for a recipe with branches, for pairs of maps, for a backbone without maps, and see
            `require_precision`.
        DataError: if no tap could be tried.
    """
    if recipe.branches or REPRESENTATIONS[recipe.representation].takes == PAIR:
        raise RecipeError("A tap is chosen for a representation of one map: this recipe takes several; name its taps.")
    # Each training would measure it at its own tap.
    recipe = with_known_precision(recipe, lambda one: build_recipe_backbone(one, None))
    taps = tappable(recipe)
    if not recipe.trainable_from and not recipe.fine_tune_steps:
        experiment.prepare_taps(recipe, taps)
    return _best(recipe, experiment, "tap", taps)


def _best(recipe, experiment, key, values):
    """The recipe with the value of a key that classifies the validation part best, the first of equally good ones."""
    rows = sweep_rows(recipe, {key: values})
    outcomes = experiment.run(rows)
    trained = [(row, outcome) for row, outcome in zip(rows, outcomes, strict=True) if outcome.metrics]
    if not trained:
        raise DataError(f"No value of `{key}` could be tried: {outcomes[0].reason}")
    best, _ = max(trained, key=lambda pair: pair[1].metrics["accuracy"])
    return best.recipe, outcomes
