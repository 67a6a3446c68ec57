"""A grid of settings as it is written on the command line; read before TensorFlow is imported."""

from __future__ import annotations

from collections.abc import Iterable

from keras_fvvae.errors import RecipeError
from keras_fvvae.recipes import as_number
from keras_fvvae.utils.text import TextError, parse_yaml


def parse_grid(assignments: Iterable[str]) -> dict[str, list]:
    """Settings to try, from `key=a,b,c` texts; values are read as YAML.

    Args:
        assignments: list of texts; `spp_levels=[2, 1],[3, 1]` are two lists, `tap=conv5_3,null` a name and none.

    Returns:
        Dictionary from key to list of values.

    Raises:
        RecipeError: for what is not of that form.

    Example:
        >>> parse_grid(["lambda3=0,1e3", "latent_dim=127,255"])
        {'lambda3': [0, 1000.0], 'latent_dim': [127, 255]}
    """
    grid = {}
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        try:
            values = parse_yaml(f"[{text}]")
        except TextError:
            values = None
        if not separator or not values or key.strip() in grid:
            raise RecipeError(f"{assignment!r} is not of the form key=a,b,c, or its key is given twice.")
        grid[key.strip()] = [as_number(value) for value in values]
    return grid
