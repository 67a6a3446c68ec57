"""Recipes from the zoo's files and from one's own."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from keras_fvvae.errors import RecipeError, unknown_name
from keras_fvvae.recipes.recipe import FORMAT, Recipe
from keras_fvvae.utils.text import TextError, parse_yaml

ENTRIES = "keras_fvvae.zoo_entries"
# Of a file that names no format, as 0.1 wrote them.
FIRST_FORMAT = 1


def as_number(value: Any) -> Any:
    """A number for text that is one: YAML takes `1e-3` for text; any other value as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def list_recipes() -> list[str]:
    """Names of the recipes that ship with the package, sorted."""
    files = resources.files(ENTRIES).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def load_recipe(name: str | Path, /, **overrides: Any) -> Recipe:
    """Reads a recipe of the zoo, or a YAML file of one's own.

    Args:
        name: an entry's name, or the path of a `.yaml` file.
        **overrides: values for any of its keys.

    Returns:
        A validated `Recipe`.

    Raises:
        RecipeError: for an unknown entry or key, a wrong value, or a file that is not a recipe.

    Example:
        >>> load_recipe("digits_conv", lambda3=0.0).loss_weights
        (1.0, 1.0, 0.0)
    """
    if str(name).endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise RecipeError(f"The recipe file {path} does not exist.")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"The recipe file {path} cannot be read as UTF-8 text: {error}") from error
        return recipe_from_yaml(text, str(path)).replace(**overrides)
    if name not in list_recipes():
        raise RecipeError(unknown_name("zoo entry", str(name), list_recipes()))
    text = (resources.files(ENTRIES) / f"{name}.yaml").read_text(encoding="utf-8")
    return recipe_from_yaml(text, f"zoo/{name}.yaml").replace(**overrides)


def recipe_from_yaml(text: str, where: str) -> Recipe:
    """Parses and validates a recipe.

    Args:
        text: YAML, as `Recipe.to_yaml` writes it or with fewer keys. Its `format` says which meanings its keys have;
            without one they have those of the first.
        where: names the source in errors.

    Raises:
        RecipeError: for text that is not a recipe, of a newer format, or with an unknown key or a wrong value.

    Example:
        >>> recipe_from_yaml("latent_dim: 7", "here").latent_dim
        7
    """
    try:
        content = parse_yaml(text)
    except TextError as error:
        raise RecipeError(f"{where} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{where} does not hold a recipe: a mapping of keys to values is expected.")
    content = {str(name): value for name, value in content.items()}
    number = content.pop("format", FIRST_FORMAT)
    if not isinstance(number, int) or isinstance(number, bool) or number < FIRST_FORMAT:
        raise RecipeError(f"{where}: `format` must be an integer from {FIRST_FORMAT} to {FORMAT}. Received: {number!r}")
    if number > FORMAT:
        raise RecipeError(f"{where} was written by a newer keras_fvvae (recipe format {number}); upgrade it.")
    try:
        return Recipe().replace(**_upgrade(content, number))
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from error


def _upgrade(content: dict[str, Any], number: int) -> dict[str, Any]:
    """The content of a recipe of an older format, with the meanings that its keys have today.

    Format 1 weighed `lambda3` against a mean over an image's descriptors. Where it gives a weight, it keeps it so.
    """
    if number == 1 and "lambda3" in content:
        return {"loss_reduction": "mean", **content}
    return content
