"""Where a network can be tapped: layers and blocks, their maps, and how much of an image a position of each sees."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from typing import Any

import keras

from keras_fvvae.backbones.building import build_backbone
from keras_fvvae.backbones.own import OwnNetwork, open_own_network
from keras_fvvae.backbones.own_names import is_own
from keras_fvvae.backbones.own_taps import BLOCK, last_of
from keras_fvvae.backbones.receptive_fields import ends_of_blocks, receptive_fields
from keras_fvvae.backbones.table import BACKBONES
from keras_fvvae.backbones.taps import TRUNK
from keras_fvvae.errors import RecipeError


@dataclasses.dataclass(frozen=True)
class Tap:
    """A layer that can be tapped, or a block of a transformer.

    Attributes:
        name: of the layer, or `"block:9"`; `None` for a network's end that is one of several outputs of its layer: it
            is where a recipe without `tap` is tapped.
        shape: `(height, width, channels)` of its map; of tokens that of the map which is made of them.
        receptive_field: pixels, the side of the square that a position sees; see `receptive_fields`. `None` where it
            is not known.
        short_names: other names of it, as the paper has them.
        is_default: whether `keras-fvvae train --backbone` taps it.
    """

    name: str | None
    shape: tuple[int | None, ...]
    receptive_field: float | None
    short_names: tuple[str, ...] = ()
    is_default: bool = False


def list_taps(
    name: str, input_size: tuple[int, int] = (224, 224), options: dict[str, Any] | None = None, every: bool = False
) -> list[Tap]:
    """The taps of a backbone, from the images to its end. No weights are needed for those of the table.

    Args:
        name: as of `keras_fvvae.backbones.build_backbone`.
        input_size: `(height, width)` in pixels.
        options: as of `build_backbone`, such as `{"alpha": 0.35}`.
        every: whether to list all layers that give a map. Default: those where a block ends: whatever comes after sees
            nothing but their map, and no normalisation or activation of their own follows.

    Raises:
        RecipeError: for an unknown backbone or option.
        WeightsError: for a network that is not of the table and cannot be opened.

    Example:
        >>> [(tap.name, tap.shape, tap.receptive_field) for tap in list_taps("VGG19")][-2:]
        [('block5_conv4', (14, 14, 512), 252), ('block5_pool', (7, 7, 512), 268)]
    """
    if is_own(name):
        return _own_taps(open_own_network(name, (None,), input_size, None, options), every)
    trunk = build_backbone(name, None, input_size, None, options).get_layer(TRUNK)
    info, layers = BACKBONES[name], trunk.layers
    fields, ends = receptive_fields(layers), ends_of_blocks(layers)
    default = layers[-1].name if info.default_tap is None else info.taps.get(info.default_tap, info.default_tap)
    return [
        Tap(
            layer.name,
            tuple(layer.output.shape[1:]),
            fields[layer.name],
            tuple(short for short, own in info.taps.items() if own == layer.name),
            layer.name == default,
        )
        for layer in layers
        if _gives_map(layer) and (every or layer.name in ends or layer.name == default)
    ]


def _gives_map(layer):
    output = getattr(layer, "output", None)
    return not isinstance(layer, keras.layers.InputLayer) and len(getattr(output, "shape", ())) == 4


def _own_taps(network: OwnNetwork, every: bool) -> list[Tap]:
    """The taps of a network that is not of the table: layers of maps or tokens, a transformer's blocks, and its end."""
    graph = network.graph
    fields, ends = receptive_fields(graph.operations), ends_of_blocks(graph.operations)
    end = last_of(graph, network.name)
    layers = {id(output): layer for layer, (_, output) in graph.calls.items()}
    blocks = {id(output): f"{BLOCK}{number}" for number, output in enumerate(graph.blocks, start=1)}
    before = itertools.takewhile(lambda output: output is not end, (output for _, output in graph.calls.values()))
    taps = [layers[id(output)] for output in before if id(output) not in blocks]
    taps = [layer for layer in taps if every or layer in ends]
    default = blocks.get(id(end), layers.get(id(end)))
    maps = {}
    for tap in [*taps, *blocks.values()]:
        with contextlib.suppress(RecipeError):  # a vector, several outputs, tokens that make no map
            maps[tap] = network.map_at(tap)
    maps[default] = network.map_at(None)
    # Some networks are made for images of any size: maps have a size once images have.
    images = keras.Input((*network.to_map.size, graph.input.shape[-1]))
    shapes = [tuple(output.shape[1:]) for output in keras.Model(graph.input, list(maps.values()))(images)]
    also = {blocks[output]: (layer,) for output, layer in layers.items() if output in blocks}
    return [
        Tap(tap, shape, fields.get(tap), also.get(tap, ()), tap == default)
        for tap, shape in zip(maps, shapes, strict=True)
    ]
