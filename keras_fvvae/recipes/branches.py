"""The branches of a recipe: representations at several taps of one network, each a recipe of its own."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from keras_fvvae.errors import RecipeError, unknown_name
from keras_fvvae.recipes.keys import Accepts, default_of, keys_of_card
from keras_fvvae.recipes.registry import PAIR, REPRESENTATIONS

if TYPE_CHECKING:
    from keras_fvvae.recipes.recipe import Recipe

# The tap of a branch at the network's end, whose maps a linear probe averages.
LAST = "last"
# Of the weights of branches: those that the recipe's validation part chooses.
BY_VALIDATION = "validation"
# What a branch decides for itself: its tap, and what the stages behind the backbone do, but for what is held out.
_STAGES, _SHARED = ("descriptors", "training", "encoding"), ("validation", "branch_weights")
# A branch's name becomes the name of a folder.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Rows of a run's results beside those of the branches.
_ROWS = ("AVE", "Joined")


def _are_weights(value):
    numbers = isinstance(value, list) and all(type(one) in (int, float) and 0 <= one < 1e9 for one in value)
    return value == BY_VALIDATION or (numbers and sum(value) > 0)


BRANCH_WEIGHTS = Accepts(_are_weights, f"null, {BY_VALIDATION!r}, or a list of numbers, none negative, not all 0")


def branch_recipes(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe of each branch by its name: the whole recipe's settings, changed by the branch's.

    A branch that has no `name` is called by its representation and tap.

    Args:
        recipe: a `Recipe`; without `branches` there are none.

    Raises:
        RecipeError: for a single branch, a key that is unknown or that a branch cannot decide, a wrong value, names or
            branches given twice, a representation of pairs of maps, and a backbone that is trained.

    Example:
        >>> from keras_fvvae.recipes import Recipe
        >>> recipe = Recipe(branches=[{"tap": "conv4_3", "latent_dim": 63}, {"tap": "last", "representation": "ave"}])
        >>> {name: (one.tap, one.latent_dim) for name, one in branch_recipes(recipe).items()}
        {'fv_vae_conv4_3': ('conv4_3', 63), 'ave_last': (None, 255)}
    """
    if not recipe.branches:
        if recipe.branch_weights is not None:
            raise RecipeError("`branch_weights` are for a recipe with `branches`: leave them out.")
        return {}
    _check_whole(recipe)
    found: dict[str, Recipe] = {}
    for number, branch in enumerate(recipe.branches, start=1):
        where = f"`branches`, number {number}"
        try:
            name, one = _branch(recipe, branch)
        except RecipeError as error:
            raise RecipeError(f"{where}: {error}") from error
        if name in found:
            raise RecipeError(f"{where} and one before it are both named {name!r}: give it a `name` of its own.")
        if any(dataclasses.replace(other, name=one.name) == one for other in found.values()):
            raise RecipeError(f"{where} does what one before it does: leave it out.")
        found[name] = one
    return found


def _check_whole(recipe):
    if len(recipe.branches) < 2:
        raise RecipeError("`branches` must be two or more: one representation is a recipe without branches.")
    for key in ("trainable_from", "fine_tune_steps"):
        if getattr(recipe, key):
            raise RecipeError(f"`{key}` and `branches` do not go together, whose backbone stays frozen: leave one out.")
    if recipe.branch_weights == BY_VALIDATION and recipe.validation is None:
        raise RecipeError("`branch_weights: validation` needs a validation part: set `validation`, such as to 0.2.")
    if isinstance(recipe.branch_weights, list) and len(recipe.branch_weights) != len(recipe.branches):
        raise RecipeError(
            f"`branch_weights` must be one number a branch, {len(recipe.branches)}. Received: {recipe.branch_weights!r}"
        )


def _branch(recipe, branch):
    """The name of a branch, and its recipe."""
    fields = {field.name: field for field in dataclasses.fields(recipe)}
    known = ["name", "tap"] + [
        key for key, field in fields.items() if field.metadata["decides"] in _STAGES and key not in _SHARED
    ]
    for key in branch:
        if key in fields and key not in known:
            raise RecipeError(f"`{key}` is the same for all branches: give it to the whole recipe.")
        if key not in known:
            raise RecipeError(unknown_name("key of a branch", str(key), known))
    own = {key: value for key, value in branch.items() if key != "name"}
    if own.get("tap") == LAST:
        own["tap"] = None
    card = {key: default_of(fields[key]) for key in keys_of_card(recipe)}
    one = dataclasses.replace(recipe, **{**card, "branches": [], "branch_weights": None, **own})
    if REPRESENTATIONS[one.representation].takes == PAIR:
        raise RecipeError(f"`representation` {one.representation!r} takes a pair of maps, and a branch has one.")
    name = branch.get("name", re.sub(r"[^A-Za-z0-9._-]", "_", f"{one.representation}_{one.tap or LAST}"))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RecipeError(f"`name` must be letters, digits, '.', '_' and '-'. Received: {name!r}")
    if name in _ROWS:
        raise RecipeError(f"`name` {name!r} is that of another row of the results: choose another.")
    return name, dataclasses.replace(one, name=f"{recipe.name}_{name}")
