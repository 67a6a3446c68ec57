"""`keras-fvvae taps`"""

from __future__ import annotations

import json
from typing import Any

import click
from keras_fvvae.tools.common import options
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly
from keras_fvvae.tools.common.types import BACKBONE

from keras_fvvae.backbones.own_names import require_backbone

# Of a network's end that has no name of its own: the recipe's `tap` is left out.
_NO_TAP = "(no tap)"


@click.command("taps", cls=Command, short_help="List where a backbone can be tapped.")
@click.argument("backbone", type=BACKBONE)
@options.input_size_option
@options.backbone_options_option
@click.option("--all", "every", is_flag=True, help="Every layer that gives a map, not only the ends of blocks.")
@options.json_option
def command(
    backbone: str, input_size: int | None, backbone_options: dict[str, Any], every: bool, as_json: bool
) -> None:
    """List the taps of BACKBONE, such as EfficientNetLite2: layers, the maps that they give of an image (of 224x224
    pixels if not said otherwise), and how many pixels a position sees (its receptive field; ? where that is not known).
    Of transformers their blocks and the maps that are made of tokens. The default is marked by *.

    Any of them can be the `tap` of a recipe, and several those of its `branches`.
    """
    require_backbone(backbone)
    load_tensorflow_quietly()
    from keras_fvvae.backbones.listing import list_taps
    from keras_fvvae.backbones.table import OWN_SIZE

    side = input_size or OWN_SIZE
    found = list_taps(backbone, (side, side), backbone_options, every)
    if as_json:
        click.echo(json.dumps([_as_numbers(tap) for tap in found], indent=2))
        return
    rows = [("tap", "map", "sees", "also")] + [
        (
            f"{tap.name or _NO_TAP}{' *' * tap.is_default}",
            "x".join(map(str, tap.shape)),
            _seen(tap.receptive_field),
            ", ".join(tap.short_names),
        )
        for tap in found
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _seen(field):
    return "?" if field is None else "the image" if field == float("inf") else str(field)


def _as_numbers(tap):
    """A tap for JSON, which has no infinity."""
    whole = tap.receptive_field == float("inf")
    return {
        "tap": tap.name,
        "shape": tap.shape,
        "receptive_field": None if whole else tap.receptive_field,
        "sees_the_image": whole,
        "short_names": tap.short_names,
        "default": tap.is_default,
    }
