"""The weight of the classification loss, chosen on a validation part of the training items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_fvvae.errors import DataError, RecipeError
from keras_fvvae.experiments.sweep import sweep_rows

if TYPE_CHECKING:
    from keras_fvvae.experiments.row import Outcome
    from keras_fvvae.experiments.rows import Experiment
    from keras_fvvae.recipes import Recipe

# Of the recipe's `lambda3`: 0 is FV-VAE minus, and Fig. 4(b) of the paper is flat within a factor of ten.
FACTORS = (1.0, 0.0, 0.1, 10.0)


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
    rows = sweep_rows(recipe, {"lambda3": [factor * recipe.lambda3 for factor in FACTORS]})
    outcomes = experiment.run(rows)
    trained = [(row, outcome) for row, outcome in zip(rows, outcomes, strict=True) if outcome.metrics]
    if not trained:
        raise DataError(f"No weight of the loss could be tried: {outcomes[0].reason}")
    best, _ = max(trained, key=lambda pair: pair[1].metrics["accuracy"])
    return best.recipe, outcomes
