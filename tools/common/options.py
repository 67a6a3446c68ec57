"""Options that several commands take, each written once."""

from __future__ import annotations

from typing import Any

import click
from keras_fvvae.tools.common.checks import default_tap
from keras_fvvae.tools.common.commands import Decorator, section
from keras_fvvae.tools.common.types import BACKBONE, RECIPE

from keras_fvvae.recipes import DATASETS, Recipe, as_number
from keras_fvvae.utils.text import TextError, parse_yaml
from keras_fvvae.zoo.entries import entry_recipe

DATA_HELP = (
    "Folder with one sub-folder of images or videos per class (or train/ and test/ of those), a copy of UCF101, "
    "ActivityNet or CUB-200-2011, or a CSV or JSON-lines list."
)
FLOW_METHODS = ("dis", "farneback")


def parse_settings(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """Click callback: `key=value` settings, values read as YAML (`steps=100`, `spp_levels=[2, 1]`, `tap=null`)."""
    settings = {}
    for item in values:
        key, separator, value = item.partition("=")
        if not separator:
            raise click.BadParameter(f"{item!r} is not of the form key=value")
        try:
            settings[key.strip()] = as_number(parse_yaml(value))
        except TextError as error:
            raise click.BadParameter(f"the value of {key} is not valid YAML: {value}") from error
    return settings


def dataset_option(kind: str, default: str | None = None) -> Decorator:
    """`--dataset`. Its names are in the help: as a metavariable, which is not broken, they would take more than a line.

    Args:
        kind: a sentence on what it decides.
        default: kind of the data set.
    """
    return click.option(
        "--dataset",
        default=default,
        show_default=True,
        type=click.Choice(DATASETS),
        metavar="NAME",
        help=f"{kind} One of {', '.join(DATASETS)}.",
    )


def data_options(required: bool = False, default: str | None = None, classes: bool = True) -> Decorator:
    """`--data`, `--dataset`, `--data-option` and `--common-classes`: what is read, and as what.

    Args:
        required: whether there is no recipe that could bring its own data.
        default: kind of the data set; `None`: the recipe's, or the run's.
        classes: whether the command looks at classes.
    """
    kind = "Kind of the data." if default else "Kind of the data instead of the recipe's."
    options = [
        click.option("--data", required=required, type=click.Path(), help=DATA_HELP),
        dataset_option(kind, default),
        data_option,
    ]
    return section("Data", *options, *([common_classes] if classes else []))


data_option = click.option(
    "--data-option",
    "dataset_options",
    multiple=True,
    callback=parse_settings,
    metavar="KEY=VALUE",
    help="Argument of the data set's loader, such as split=2, boxes=true or annotations=DIR. Repeatable.",
)
kind_option = click.option("--kind", default="auto", show_default=True, type=click.Choice(("auto", "image", "video")))
processes_option = click.option(
    "--processes", default=1, show_default=True, type=click.IntRange(1), help="On this machine."
)
common_classes = click.option(
    "--common-classes",
    is_flag=True,
    help="Keep only classes with both training and test items, for a partial copy of a data set.",
)
cache_option = click.option(
    "--cache", type=click.Path(), help="Folder of cached activations. Default: ~/.cache/keras_fvvae/activations."
)
settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    callback=parse_settings,
    metavar="KEY=VALUE",
    help="Any key of the recipe, such as steps=300, latent_dim=127 or lambda3=0 (FV-VAE minus). Repeatable.",
)
recipe_seed_option = click.option("--seed", type=click.IntRange(0), help="Of everything random. Default: the recipe's.")
backbone_weights_option = click.option(
    "--backbone-weights",
    "backbone_weights",
    multiple=True,
    metavar="[BACKBONE=]WEIGHTS",
    help="imagenet (default), a weight file, or none; with BACKBONE= for that one. Repeatable.",
)
backbone_option = click.option(
    "--backbone",
    type=BACKBONE,
    help="Backbone, such as VGG19 or MobileNetV2 (its default tap unless --tap is given), a .keras file, or hub:PRESET "
    "of KerasHub.",
)
# Of `--tap`: the tap is chosen.
AUTO = "auto"
tap_option = click.option(
    "--tap",
    help="Layer whose activations are encoded, such as conv5_4, pool5, res5c or a Keras layer name; block:9 of a "
    "transformer; of `train` auto, to choose among ends of blocks on a third of the training part (the runs are in "
    "OUT_tuning).",
)
backbone_options_option = click.option(
    "--backbone-option",
    "backbone_options",
    multiple=True,
    callback=parse_settings,
    metavar="KEY=VALUE",
    help="Argument of the Keras Applications function, such as alpha=0.35; of an own network preprocessing=tf, "
    "prefix_tokens=1. Repeatable.",
)
input_size_option = click.option("--input-size", type=click.IntRange(1), help="Side of the square input in pixels.")
flow_method_option = click.option(
    "--flow-method", default="dis", show_default=True, type=click.Choice(FLOW_METHODS), help="Of the optical flow."
)
workers_option = click.option("--workers", type=click.IntRange(1), help="Threads. Default: as the cores allow.")
coverage_option = click.option(
    "--coverage",
    type=click.FloatRange(0, 1, min_open=True),
    help="Answer `none of these` below the probability that this share of training items reaches.",
)
server_option = click.option(
    "--server", metavar="URL", help="Ask a server (keras-fvvae serve; TensorFlow Serving for labels) instead."
)
model_option = click.option("--model", help="Name of the server's model. Default: the only one.")
json_option = click.option("--json", "as_json", is_flag=True, help="Everything as JSON, instead of text to read.")


def recipe_argument(**options: Any) -> Decorator:
    """The positional RECIPE: an entry, or a YAML file."""
    return click.argument("recipe", type=RECIPE, **options)


def scores_option(about: str) -> Decorator:
    """`--scores`: files of another method's scores."""
    return click.option(
        "--scores",
        multiple=True,
        type=click.Path(),
        help=f"{about}: .csv (id and one column per class), .npy with .ids.txt and .classes.txt, or .json. Repeatable.",
    )


def recipe_overrides(
    settings: dict[str, Any],
    *,
    backbone: str | None = None,
    backbone_options: dict[str, Any] | None = None,
    input_size: int | None = None,
    **given: Any,
) -> dict[str, Any]:
    """Recipe keys of `--set`, before which what other options give stands back; `None`: not given.

    A network that is given is tapped where `default_tap` says, if nothing else is.
    """
    size = None if input_size is None else [input_size, input_size]
    given |= {"backbone": backbone, "backbone_options": backbone_options or None, "input_size": size}
    found = {key: value for key, value in given.items() if value is not None} | settings
    return found if backbone is None else {"tap": default_tap(backbone), **found}


def chosen_recipe(name: str, overrides: dict[str, Any], *, dataset_options: dict[str, Any] | None = None) -> Recipe:
    """The recipe that the options of a command make of an entry or a file; needs no TensorFlow.

    Args:
        name: entry, published pack (its name or URL) or YAML file.
        overrides: see `recipe_overrides`.
        dataset_options: what `--data-option` gave; added to the recipe's.

    Raises:
        RecipeError: for an unknown entry or key, or a wrong value.
        WeightsError: for a pack that cannot be downloaded or is damaged.

    Example:
        >>> chosen_recipe("moving_digits_rgb", {"seed": 3}, dataset_options={"frames": 8}).dataset_options["frames"]
        8
    """
    recipe = entry_recipe(name).replace(**overrides)
    return recipe.replace(dataset_options={**recipe.dataset_options, **(dataset_options or {})})
