"""Tokens of a transformer as an activation map: what stands before the patches is left out, the rest has its places."""

from __future__ import annotations

import math
from typing import Any

import keras

from keras_fvvae.backbones.all_layers import all_layers
from keras_fvvae.errors import RecipeError

# Layers of a backbone. Tokens that are no grid are a map of one row, under a name that says so.
PATCHES, MAP, NO_PLACES = "patches", "map", "tokens_without_places"


def token_grid(count: int, size: tuple[int | None, ...]) -> tuple[int, int] | None:
    """Height and width of the grid that so many square patches make of an image; `None`: none does.

    Args:
        count: of the patches.
        size: `(height, width)` of the image, which they need not fill.

    Example:
        >>> token_grid(196, (224, 224)), token_grid(24, (100, 70)), token_grid(197, (224, 224))
        ((14, 14), (6, 4), None)
    """
    if None in size:
        return None
    height, width = size
    grids = ((height // side, width // side) for side in range(1, min(size) + 1))
    return next((grid for grid in grids if math.prod(grid) == count), None)


def tokens_to_map(
    tokens: Any,
    size: tuple[int | None, ...],
    prefix: int | None,
    name: str,
    grid: tuple[int, int] | None = None,
    ending: str = "",
) -> Any:
    """Tokens `(batch, T, C)` as a map `(batch, h, w, C)`.

    Args:
        tokens: of a functional model.
        size: `(height, width)` of the images.
        prefix: tokens before those of the patches (class and registers), which are left out. `None`: not known; then
            there must be none, and the tokens a grid.
        name: of the backbone, for errors.
        grid: of the patches, where it is known. Default: `token_grid`.
        ending: of the layers' names.

    Returns:
        The map, by layers "patches" and "map". Tokens of a known `prefix` that are no grid: `(batch, 1, T, C)`, by a
        layer "tokens_without_places".

    Raises:
        RecipeError: for tokens that are no grid, if `prefix` is not known; for fewer tokens than `prefix`.
    """
    count, channels = tokens.shape[1:]
    if count is None or channels is None:
        raise RecipeError(f"The number of tokens of {name} is not known: {tokens.shape}. Build it for one image size.")
    left = count - (prefix or 0)
    if left < 1:
        raise RecipeError(f"`prefix_tokens` {prefix} of {name} leaves nothing of its {count} tokens.")
    if grid is None or math.prod(grid) != left:
        grid = token_grid(left, size)
    if grid is None and prefix is None:
        raise RecipeError(f"The {count} tokens of {name} are no grid of {size[0]}x{size[1]} pixels{_hint(count, size)}")
    if prefix:
        tokens = keras.layers.Cropping1D((prefix, 0), name=f"{PATCHES}{ending}")(tokens)
    shape = (1, left, channels) if grid is None else (*grid, channels)
    return keras.layers.Reshape(shape, name=f"{NO_PLACES if grid is None else MAP}{ending}")(tokens)


def has_places(backbone: keras.Model | None) -> bool:
    """Whether the positions of a backbone's map are places of the image; without a backbone they are taken to be."""
    return backbone is None or not any(layer.name.startswith(NO_PLACES) for layer in all_layers(backbone))


def _hint(count, size):
    """What to do about a number of tokens that is no grid."""
    most = 16  # class token and registers: DINOv2 and v3 have 1 to 5
    found = [n for n in range(1, min(most, count)) if token_grid(count - n, size)]
    if not found:
        return ": set `backbone_options: {prefix_tokens: 0}` to take them without places."
    rows, columns = token_grid(count - found[0], size)
    return (
        f", but those after the first {found[0]} are one of {rows}x{columns}: set `backbone_options: {{prefix_tokens: "
        f"{found[0]}}}`, or `prefix_tokens: 0` to take all, without places."
    )
