"""Model cards: a zoo entry as Markdown, from its recipe alone."""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path

from keras_fvvae.recipes.branches import LAST
from keras_fvvae.recipes.keys import CARD, Mark, default_of
from keras_fvvae.recipes.load import list_recipes, load_recipe
from keras_fvvae.recipes.recipe import Recipe
from keras_fvvae.recipes.registry import DATASETS
from keras_fvvae.recipes.released import ENTRY as RELEASED_ENTRY
from keras_fvvae.recipes.released import released_card

WIDTH = 120
FV_VAE = 'Qiu, Yao, Mei, "Deep Quantization: Encoding Convolutional Activations with Deep Generative Model", CVPR 2017.'
# The table of entries in `docs/zoo.md` lies between these.
TABLE_START, TABLE_END = "<!-- zoo -->", "<!-- /zoo -->"


def card(name: str | Path) -> str:
    """The model card of a zoo entry, in Markdown.

    Args:
        name: an entry's name, or the path of a recipe in YAML.

    Returns:
        Text: what the entry is, how to load, train and serve it, every setting that differs from the default, the
        paper's figures, figures measured with this library, weights, licence, citation.

    Raises:
        RecipeError: for an unknown entry.

    Example:
        >>> print(card("digits_conv").splitlines()[0])
        # digits_conv
    """
    recipe = load_recipe(name)
    weights = "None are published." if recipe.branches else _weights(recipe.weights)
    return recipe_card(recipe, f"{weights}\n\n{released_card(WIDTH)}" if recipe.name == RELEASED_ENTRY else weights)


def recipe_card(recipe: Recipe, weights: str, address: str | None = None) -> str:
    """The card of a recipe.

    Args:
        recipe: a `Recipe`.
        weights: what the card says of its weights.
        address: what `zoo.load` takes to load them. Default: the recipe's name.
    """
    parts = [
        f"# {recipe.name}",
        textwrap.fill(recipe.description, WIDTH),
        _usage(recipe, address or recipe.name),
        "## Settings",
        f"`keras-fvvae zoo show {recipe.name}` prints all keys; those that are not listed here have their defaults.",
        _settings(recipe),
        "## Results",
        _paper(recipe.paper),
        _measured(recipe.measured),
        "## Weights",
        weights,
        f"Licence of trained weights: {recipe.licence}.",
        "## Citation",
        "\n".join(
            textwrap.fill(f"* {text}", WIDTH, subsequent_indent="  ") for text in (FV_VAE, recipe.citation) if text
        ),
    ]
    return "\n\n".join(parts) + "\n"


def table() -> str:
    """The entries as a Markdown table, for `docs/zoo.md`."""
    rows = [
        "| entry | data | backbone and tap | the paper's FV-VAE | measured here |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in list_recipes():
        recipe = load_recipe(name)
        taps = [branch.tap or LAST for branch in recipe.branch_recipes.values()] or [recipe.tap]
        tap = "".join(f" `{one}`" for one in taps if one)
        modality = {"rgb": "", "flow": ", optical flow", "flow_stack": ", stacked flow"}[recipe.modality]
        tuned = ", fine-tuned" if recipe.fine_tune_steps else ""
        figures = recipe.paper.get("figures", {})
        paper = next((f"{value}" for key, value in figures.items() if key in ("FV-VAE", "FV-VAE top-1")), "")
        ours = recipe.measured[-1]["accuracy"] if recipe.measured else {}
        measured = ours.get("FV-VAE", ours.get("Joined"))  # of branches
        here = "" if measured is None else f"{100 * measured:.1f}"
        data, network = f"{recipe.dataset}{modality}", f"{recipe.backbone}{tap}{tuned}"
        rows.append(f"| [`{name}`](zoo/{name}.md) | {data} | {network} | {paper} | {here} |")
    return "\n".join(rows)


def with_table(page: str) -> str:
    """The text of `docs/zoo.md` with the table of entries made anew.

    Raises:
        ValueError: if it has no place for the table.
    """
    head, start, rest = page.partition(TABLE_START)
    _, end, tail = rest.partition(TABLE_END)
    if not start or not end:
        raise ValueError(f"The page must hold {TABLE_START} and {TABLE_END}.")
    return f"{head}{start}\n{table()}\n{end}{tail}"


def _usage(recipe, address):
    dataset = DATASETS[recipe.dataset]
    data = "" if dataset.embedded else " --data DATA"
    classes = "" if dataset.num_classes else ", num_classes=10"
    if recipe.branches:
        python = (
            f'recipe = keras_fvvae.recipes.load_recipe("{recipe.name}")\n'
            f'run = keras_fvvae.training.train.train(recipe, keras_fvvae.data.load_dataset("DATA"), "run")\n'
            "classifier = run.classifier()  # keras.Model, from images to scores\n"
        )
    else:
        python = f'model = keras_fvvae.zoo.load("{address}"{classes})  # keras.Model, compiled: model.fit on tf.data\n'
    return (
        "```python\n"
        f"import keras_fvvae{'.training.train' if recipe.branches else ''}\n\n"
        f"{python}"
        "```\n\n"
        "```sh\n"
        f"keras-fvvae train {recipe.name}{data} --out runs/{recipe.name}\n"
        + (
            f"keras-fvvae train {recipe.name}{data} --out runs/{recipe.name}_minus --set lambda3=0  # FV-VAE minus\n"
            if recipe.of_fv_vae
            else ""
        )
        + "```"
    )


def _settings(recipe):
    rows = ["| key | value | meaning |", "| --- | --- | --- |"]
    about = {field.name: field.metadata["about"] for field in dataclasses.fields(recipe)}
    for name in shown_keys([recipe]):
        rows.append(f"| `{name}` | {_shown(getattr(recipe, name))} | {about[name]} |")
    return "\n".join(rows)


def shown_keys(recipes: list[Recipe]) -> list[str]:
    """Names of the keys that a reader needs to judge results: essential ones, and where a recipe is not as usual.

    Args:
        recipes: of the results that are shown together.
    """
    return [field.name for field in dataclasses.fields(Recipe) if any(_tells(field, recipe) for recipe in recipes)]


def _tells(field, recipe):
    marks = field.metadata["marks"]
    if field.metadata["decides"] == CARD:
        return False  # such keys have places of their own
    if (Mark.OF_VIDEOS in marks and not recipe.of_videos) or (Mark.OF_FV_VAE in marks and not recipe.of_fv_vae):
        return False
    return Mark.ESSENTIAL in marks or getattr(recipe, field.name) != default_of(field)


def _items(texts):
    lines = (textwrap.fill(f"* {text}", WIDTH, subsequent_indent="  ", break_on_hyphens=False) for text in texts)
    return "\n".join(lines)


def _shown(value):
    if value is None:
        return "default"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_shown(item)}" for key, item in value.items())
    if isinstance(value, list):
        size = len(value) == 2 and all(isinstance(item, int) for item in value)
        return ("x" if size else ", ").join(
            item if isinstance(item, str) else f"({_shown(item)})" if isinstance(item, dict) else str(item)
            for item in value
        )
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _paper(paper):
    if not paper:
        return "The paper has no such row."
    if not paper.get("figures"):
        return textwrap.fill(f"Where it comes from: {paper['where']}.", WIDTH)
    figures = ", ".join(f"{key} {value}" for key, value in paper["figures"].items())
    return textwrap.fill(f"The paper's own figures, in percent ({paper['where']}): {figures}.", WIDTH)


def _measured(measured):
    if not measured:
        return "Nothing has been measured with this library for this entry: its data or weights do not ship with it."
    rows = []
    for result in measured:
        figures = ", ".join(f"{key} {100 * value:.1f}" for key, value in result["accuracy"].items())
        rows.append(f"{figures} percent: `{result['command']}`; {result['protocol']}; {result['machine']}.")
    return "Measured with this library:\n\n" + _items(rows)


def _weights(weights):
    if not weights:
        return "None are published: `zoo.load` starts what is learnt fresh, and says so."
    where = "ship with the package" if "file" in weights else f"are downloaded from {weights['url']}"
    return textwrap.fill(
        f"Trained weights {where}; their SHA-256, checked at every load, is `{weights['sha256']}`.", WIDTH
    )
