"""The paper's Figure 4: accuracy against dimension, lambda3 and compression, on any recipe's data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.errors import RecipeError
from keras_fvvae.experiments.row import Row
from keras_fvvae.experiments.variants import variant_rows
from keras_fvvae.recipes import load_recipe

# Times the channels of the activations: with VGG's 512, the paper's 2^12 to 2^17.
FACTORS = (8, 16, 32, 64, 128, 256)
LAMBDAS = (1.0, 10.0, 1e2, 1e3, 1e4, 1e5)
DIMENSION = "dimension"
# Rows by curve, each with its place on the axis; and the name of the axis.
Figure4 = tuple[dict[str, list[tuple[float, Row]]], str]


def figure_4a(base: str | Path | None = None, **overrides: Any) -> Figure4:
    """FV-VAE, VLAD and GMM Fisher vectors at dimensions from 8 to 256 times the channels.

    Returns:
        Tuple: dictionary from a method to a list of pairs `(dimension, Row)`; the axis' label.
    """
    recipe, channels = _base(base, overrides)
    curves = {"FV-VAE": [], "VLAD": [], "FV (GMM)": []}
    for factor in FACTORS:
        (fisher,) = variant_rows(recipe.replace(latent_dim=factor - 1), ["fv_vae"])
        vlad, mixture = variant_rows(recipe, ["vlad", "fv"])
        vlad = _changed(vlad, representation_options={"num_centroids": factor})
        mixture = _changed(mixture, representation_options={"num_components": factor // 2})
        for name, row in zip(curves, (fisher, vlad, mixture), strict=True):
            curves[name].append((factor * channels, _named(row, f"{name}, dimension {factor * channels}")))
    return curves, DIMENSION


def figure_4b(base: str | Path | None = None, **overrides: Any) -> Figure4:
    """FV-VAE at weights of the classification loss from 1 to 1e5."""
    recipe, _ = _base(base, overrides, channels=False)
    rows = []
    for value in LAMBDAS:
        (row,) = variant_rows(recipe.replace(lambda3=value), ["fv_vae"])
        rows.append((value, _named(row, f"FV-VAE, lambda3 {value:g}")))
    return {"FV-VAE": rows}, "lambda3"


def figure_4c(base: str | Path | None = None, **overrides: Any) -> Figure4:
    """Compression of FV-VAE's longest vectors (256 times the channels): random Maclaurin, PCA, fewer latent variables.

    PCA has at most one component less than there are training items; longer ones are shown as not run.
    """
    recipe, channels = _base(base, overrides)
    recipe = recipe.replace(latent_dim=FACTORS[-1] - 1)
    curves = {"fewer latent variables": [], "PCA": [], "random Maclaurin": []}
    for factor in FACTORS[:-1]:
        dimension = factor * channels
        fewer, whole, projected = variant_rows(recipe, ["fv_vae", "fv_vae", "fv_vae_maclaurin"])
        rows = (
            _changed(fewer, latent_dim=factor - 1),
            _changed(whole, pca_components=dimension),
            _changed(projected, representation_options={"dimension": dimension}),
        )
        for name, row in zip(curves, rows, strict=True):
            curves[name].append((dimension, _named(row, f"{name}, dimension {dimension}")))
    (row,) = variant_rows(recipe, ["fv_vae"])
    curves["not compressed"] = [(FACTORS[-1] * channels, row)]
    return curves, DIMENSION


def _base(base, overrides, channels=True):
    recipe = load_recipe(base or "ucf101_pool5", **overrides)
    if not channels:
        return recipe, None
    count = build_recipe_backbone(recipe.replace(trainable_from=None), None).output.shape[-1]
    if count is None:
        raise RecipeError(f"The number of channels of {recipe.backbone} at tap {recipe.tap} is not known.")
    return recipe, count


def _changed(row, **changes):
    return type(row)(row.name, row.recipe.replace(**changes), row.paper)


def _named(row, name):
    return type(row)(name, row.recipe, row.paper, reason=row.reason)


FIGURES = {
    "figure4a": ("Figure 4(a): accuracy against dimension", figure_4a),
    "figure4b": ("Figure 4(b): accuracy against lambda3", figure_4b),
    "figure4c": ("Figure 4(c): compression", figure_4c),
}
