"""What a report says of how its runs came about: data, command, date, weights, and every setting with its meaning."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras_fvvae.recipes import Recipe
from keras_fvvae.recipes.cards import shown_keys
from keras_fvvae.recipes.keys import CARD
from keras_fvvae.runs import files
from keras_fvvae.runs.folder import RunFolder

# A key, its meaning, and its value in each recipe.
SettingRows = list[tuple[str, str, list[str]]]
UNKNOWN = "not noted: the run is of an older version"


def origin_rows(runs: Sequence[RunFolder]) -> list[tuple[str, list[str]]]:
    """How runs came about: pairs of what is told, and of a text for each run.

    Args:
        runs: finished runs.
    """
    columns = [_origin_of(run) for run in runs]
    return [(name, [column[name] for column in columns]) for name in columns[0]]


def _origin_of(run):
    noted = run.origin
    versions = noted.get("versions", {})
    backbone = noted.get("backbone_sha256", "")
    return {
        "Run": str(run.path.absolute()),
        "Data": (noted["data"] or f"no files (data set {run.recipe.dataset})") if noted else UNKNOWN,
        "Command": (noted["command"] or "none: a Python session") if noted else UNKNOWN,
        "Finished": noted["finished"].replace("T", " ").replace("Z", " UTC") if noted else UNKNOWN,
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()) or UNKNOWN,
        "Machine": noted.get("machine", UNKNOWN),
        "Backbone's weights": f"{_source(run.backbone_source)}; SHA-256 of their values {backbone or UNKNOWN}",
        "Trained model": f"{files.MODEL}, SHA-256 {run.manifest.sha256.get(files.MODEL, UNKNOWN)}",
    }


def _source(text: str) -> str:
    """Where the backbone's weights came from, of what `keras_fvvae.training.train.weights_source` notes."""
    kind, _, digest = text.partition(" ")
    if kind == "run":
        return f"of a run whose model has the SHA-256 {digest}"
    return {"": "random", "none": "random", "imagenet": "ImageNet"}.get(text, text)


def setting_rows(recipes: Sequence[Recipe]) -> tuple[SettingRows, SettingRows]:
    """Every setting as it was used, a default by its value.

    Args:
        recipes: of the runs that are shown together.

    Returns:
        The settings that a reader needs to judge results, and all others: key, meaning, and a text for each recipe.
    """
    first = {*shown_keys(list(recipes)), "backbone_options"}
    rows: dict[bool, SettingRows] = {True: [], False: []}
    for field in dataclasses.fields(Recipe):
        if field.metadata["decides"] != CARD:
            values = [resolved(recipe, field.name) for recipe in recipes]
            rows[field.name in first].append((field.name, field.metadata["about"], values))
    return rows[True], rows[False]


def resolved(recipe: Recipe, key: str) -> str:
    """The value of a recipe's key in words; where it is left to a default that depends on others, what that is.

    Example:
        >>> [resolved(Recipe(input_size=[96, 96]), key) for key in ("resize_to", "tap", "backbone_options", "steps")]
        ['96 x 96 (input_size)', 'the last stage', 'none', '5000']
    """
    value: Any = getattr(recipe, key)
    if value is None and key == "resize_to":
        return f"{' x '.join(map(str, recipe.input_size))} (input_size)"
    if value is None and key == "tap":
        return "those of the branches" if recipe.branches else "the last stage"
    if value is None or value in ({}, [], ""):
        return "none"
    if key in ("input_size", "resize_to"):
        return " x ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}: {one}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
