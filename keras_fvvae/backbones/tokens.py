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


class TokensToMap:
    """Makes maps `(batch, h, w, C)` of tokens `(batch, T, C)` of a functional model, at one or several of its layers.

    By layers "patches" and "map"; tokens of a known `prefix` that are no grid become `(batch, 1, T, C)`, by a layer
    "tokens_without_places". Tokens of one shape share these layers: what leads to one tap is built as if it were alone,
    and cached activations of it are found. Those of a second shape are made maps by layers of other names.

    Args:
        size: `(height, width)` of the images.
        prefix: tokens before those of the patches (class and registers), which are left out. `None`: not known; then
            there must be none, and the tokens a grid.
        name: of the backbone, for errors.
        grid: of the patches, where it is known. Default: `token_grid`.
    """

    def __init__(
        self, size: tuple[int | None, ...], prefix: int | None, name: str, grid: tuple[int, int] | None = None
    ) -> None:
        self.size = size
        self.prefix = prefix
        self.name = name
        self.grid = grid
        self._layers: dict[tuple[int | None, ...], list[keras.layers.Layer]] = {}

    def __call__(self, tokens: Any) -> Any:
        """The map.

        Raises:
            RecipeError: for tokens that are no grid, if `prefix` is not known; for fewer tokens than `prefix`.
        """
        shape = tuple(tokens.shape[1:])
        if shape not in self._layers:
            # Those of another shape are other layers, which cannot have the same names.
            self._layers[shape] = self._made(shape, f"_{len(self._layers)}" if self._layers else "")
        for layer in self._layers[shape]:
            tokens = layer(tokens)
        return tokens

    def _made(self, tokens_shape, ending):
        size, name = self.size, self.name
        count, channels = tokens_shape
        if count is None or channels is None:
            shape = (None, count, channels)
            raise RecipeError(f"The number of tokens of {name} is not known: {shape}. Build it for one image size.")
        left = count - (self.prefix or 0)
        if left < 1:
            raise RecipeError(f"`prefix_tokens` {self.prefix} of {name} leaves nothing of its {count} tokens.")
        known = self.grid is not None and math.prod(self.grid) == left
        grid = self.grid if known else token_grid(left, size)
        if grid is None and self.prefix is None:
            raise RecipeError(
                f"The {count} tokens of {name} are no grid of {size[0]}x{size[1]} pixels{_hint(count, size)}"
            )
        shape = (1, left, channels) if grid is None else (*grid, channels)
        reshape = keras.layers.Reshape(shape, name=f"{NO_PLACES if grid is None else MAP}{ending}")
        if not self.prefix:
            return [reshape]
        return [keras.layers.Cropping1D((self.prefix, 0), name=f"{PATCHES}{ending}"), reshape]


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
