"""The card of a pack on the Hugging Face Hub: the pack's own, below the front matter that the Hub searches by."""

from __future__ import annotations

from typing import Any

import yaml

from keras_fvvae.recipes import DATASETS, Recipe
from keras_fvvae.recipes.cards import recipe_card

LIBRARY = "keras_fvvae"
# The Hub's identifiers of licences, as far as weights have been seen with them; others are named in words.
LICENCES = (
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "gpl-3.0", "agpl-3.0", "lgpl-3.0", "mpl-2.0", "unlicense",
)  # fmt: skip


def hub_card(recipe: Recipe, address: str, kind: str, classifies: bool) -> str:
    """`README.md` of a repository of the Hub.

    Args:
        recipe: of the weights, with what was measured.
        address: `"hf://ORG/NAME"`.
        kind: `"image"` or `"video"`, what they are for.
        classifies: whether they give labels, or vectors alone.

    Returns:
        Text in Markdown, with front matter in YAML.

    Example:
        >>> from keras_fvvae.recipes import load_recipe
        >>> print(hub_card(load_recipe("digits_conv"), "hf://someone/digits", "image", True)[:64])
        ---
        library_name: keras_fvvae
        pipeline_tag: image-classification
    """
    front = yaml.safe_dump(front_matter(recipe, address, kind, classifies), sort_keys=False, allow_unicode=True)
    load = "load_classifier" if classifies else "load_encoder"
    predict = f"keras-fvvae predict {address} FILE..." if classifies else f"keras-fvvae encode {address} --data DATA"
    weights = (
        "They are in this repository; `manifest.json` has the SHA-256 of every file, compared at every load.\n\n"
        f'```sh\npip install "{LIBRARY}[hub]"\n{predict}{"" if classifies else " --out VECTORS"}\n```\n\n'
        f'```python\nimport keras_fvvae\n\nmodel = keras_fvvae.zoo.{load}("{address}")\n```'
    )
    return f"---\n{front}---\n\n{recipe_card(recipe, weights, address)}"


def front_matter(recipe: Recipe, address: str, kind: str, classifies: bool) -> dict[str, Any]:
    """What the Hub reads of a card; arguments as of `hub_card`.

    Example:
        >>> from keras_fvvae.recipes import load_recipe
        >>> front = front_matter(load_recipe("digits_conv"), "hf://someone/digits", "image", True)
        >>> front["license"], front["tags"]
        ('apache-2.0', ['keras', 'fisher-vector', 'fv-vae'])
        >>> front["model-index"][0]["results"][0]["metrics"][0]["type"]
        'accuracy'
    """
    task = f"{kind}-classification" if classifies else f"{'image-' if kind == 'image' else ''}feature-extraction"
    front: dict[str, Any] = {"library_name": LIBRARY, "pipeline_tag": task}
    licence = recipe.licence.lower()
    front |= {"license": licence} if licence in LICENCES else {"license": "other", "license_name": recipe.licence}
    front["tags"] = ["keras", "fisher-vector", "fv-vae" if recipe.of_fv_vae else recipe.representation]
    results = [_result(recipe, task, measured) for measured in recipe.measured]
    if results:
        front["model-index"] = [{"name": address.rpartition("/")[2], "results": results}]
    return front


def _result(recipe: Recipe, task: str, measured: dict[str, Any]) -> dict[str, Any]:
    """One measurement; its protocol stands with each of its figures, which mean nothing without."""
    return {
        "task": {"type": task},
        "dataset": {"name": DATASETS[recipe.dataset].description, "type": recipe.dataset},
        "metrics": [
            {"type": "accuracy", "name": f"accuracy of {name}; {measured['protocol']}", "value": value}
            for name, value in measured["accuracy"].items()
        ],
    }
