"""Model selection: a grid of settings, scored on a validation part of the training split."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fvvae.data.validation import validation_items
from keras_fvvae.evaluation.intervals import accuracy_interval, accuracy_text
from keras_fvvae.experiments.row import Row
from keras_fvvae.recipes import Recipe
from keras_fvvae.reporting.pictures import accuracy_curves, accuracy_ranges, by_accuracy
from keras_fvvae.utils.labels import UNLABELLED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_fvvae.data.collection import Collection
    from keras_fvvae.experiments.row import Outcome

# A third: of few images per class, less would not tell settings apart.
DEFAULT_FOLDS = 3


def validation_collection(collection: Collection, folds: int = DEFAULT_FOLDS, seed: int = 0) -> Collection:
    """The training part alone, one fold of it as the test part: the real test items have no part in a selection.

    Folds are stratified by class; items of one group (the clips of one video) stay together.

    Args:
        collection: a `Collection`.
        folds: the validation part is one of so many.
        seed: of the shuffling.

    Raises:
        DataError: if there are too few labelled training items.
    """
    train = collection.indices("train")
    labelled = np.count_nonzero(collection.labels[train] != UNLABELLED)
    held_out = validation_items(collection, folds, seed)
    chosen = collection.subset(train)
    splits = np.full(len(train), "train", dtype=collection.splits.dtype)
    splits[np.isin(train, held_out)] = "test"
    chosen.splits = splits
    chosen.notes.append(
        f"Model selection: {len(held_out)} of the {labelled} labelled training {collection.kind}s are the "
        f"validation part; test {collection.kind}s are not used."
    )
    return chosen


def sweep_rows(recipe: Recipe, grid: dict[str, list[Any]]) -> list[Row]:
    """A row for every combination of settings.

    Raises:
        RecipeError: for an unknown key or a wrong value, before anything is trained.
    """
    rows = []
    for values in itertools.product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        name = ", ".join(f"{key}={_text(value)}" for key, value in settings.items())
        rows.append(Row(name, recipe.replace(**settings)))
    return rows


def sweep_picture(grid: dict[str, list[Any]], outcomes: list[Outcome]) -> Figure:
    """Accuracy against the first numeric setting, a curve for each combination of the others; or as bars."""
    axis = next((key for key, values in grid.items() if len(values) > 1 and all(map(_is_number, values))), None)
    if axis is None:
        return accuracy_ranges(by_accuracy(outcomes))
    curves: dict[str, tuple[list, list]] = {}
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    for settings, outcome in zip(combinations, outcomes, strict=True):
        if not outcome.metrics:
            continue
        others = ", ".join(f"{key}={_text(value)}" for key, value in settings.items() if key != axis)
        values, metrics = curves.setdefault(others or "validation part", ([], []))
        values.append(settings[axis])
        metrics.append(outcome.metrics)
    positive = all(value > 0 for value in grid[axis])
    return accuracy_curves(curves, axis, logarithmic=positive and max(grid[axis]) >= 10 * min(grid[axis]))


def winner(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The most accurate setting, of equal ones the first; `None` if none could be run."""
    best = by_accuracy(outcomes)[:1]
    return best[0] if best and best[0].metrics else None


def winner_note(outcomes: Sequence[Outcome], collection: Collection) -> str:
    """What wins a sweep, on what it was chosen, and how many others cannot be told from it; empty without a winner.

    Args:
        outcomes: of all settings.
        collection: from `validation_collection`.
    """
    best = winner(outcomes)
    if best is None:
        return ""
    low, _ = accuracy_interval(best.metrics)
    near = sum(accuracy_interval(one.metrics)[1] >= low for one in outcomes if one.metrics) - 1
    others = (
        f"The intervals of {near} other setting{'s' * (near > 1)} overlap with its own: these may be as good."
        if near
        else "No other setting's interval overlaps with its own."
    )
    return (
        f"The winner is {best.name}: {accuracy_text(best.metrics)} % of the {len(collection.indices('test'))} "
        f"{collection.kind}s of the validation part, on which it was chosen; on new ones expect a little less. {others}"
    )


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value):
    return f"{value:g}" if _is_number(value) else str(value)
