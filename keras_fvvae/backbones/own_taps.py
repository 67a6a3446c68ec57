"""Where a network that is not of the table is tapped: at a layer, before its activation, at a block, or at two."""

from __future__ import annotations

from typing import Any

import keras

from keras_fvvae.backbones.graph import Graph
from keras_fvvae.backbones.taps import BEFORE_ACTIVATION, JOIN
from keras_fvvae.errors import RecipeError, unknown_name
from keras_fvvae.utils.text import is_number

# How the tap of a transformer's block begins; the first block is 1.
BLOCK = "block:"
# What can be encoded: tokens, or a map.
_RANKS = (3, 4)


def own_tapped(graph: Graph, name: str, tap: str | None) -> Any:
    """The activations at a tap, tokens or a map.

    Args:
        graph: of the network, with the activations apart before which it is tapped.
        name: of the backbone, for errors.
        tap: as of `keras_fvvae.backbones.own.build_own_backbone`.

    Raises:
        RecipeError: for a tap that the network does not have, or of another rank.
    """
    if tap is None:
        return last_of(graph, name)
    outputs = [_output(graph, name, part) for part in tap.split(JOIN)]
    shapes = [tuple(output.shape[1:]) for output in outputs]
    if any(len(output.shape) not in _RANKS for output in outputs) or len(set(shapes)) > 1:
        raise RecipeError(f"The tap {tap!r} of {name} must be one map, tokens, or two of one shape: {shapes}.")
    return outputs[0] if len(outputs) == 1 else keras.layers.Concatenate(name="taps")(outputs)


def last_of(graph: Graph, name: str) -> Any:
    """The output of a network, or where that is a vector the last map or tokens before it.

    Raises:
        RecipeError: for a network that has neither.
    """
    if len(graph.output.shape) in _RANKS:
        return graph.output
    outputs = (output for _, output in reversed(graph.calls.values()) if isinstance(output, keras.KerasTensor))
    for output in outputs:
        if len(output.shape) in _RANKS and any(side != 1 for side in output.shape[1:-1]):
            return output
    raise RecipeError(f"The backbone {name} has no activation map and no tokens: name a layer that has as `tap`.")


def _output(graph, name, tap):
    if tap.startswith(BLOCK):
        found, number = graph.blocks, tap.removeprefix(BLOCK)
        if not found:
            names = ", ".join(map(repr, graph.calls))
            raise RecipeError(f"The blocks of {name} are not known: tap a layer by its name, one of {names}.")
        if not is_number(number) or not 1 <= int(number) <= len(found):
            raise RecipeError(f"The tap {tap!r} of {name} is none: it has {BLOCK}1 to {BLOCK}{len(found)}.")
        return found[int(number) - 1]
    base = tap.removesuffix(BEFORE_ACTIVATION)
    if base not in graph.calls:
        raise RecipeError(unknown_name(f"tap of {name}", base, graph.calls))
    output = graph.calls[base][1] if base == tap else graph.linear[base]
    if not isinstance(output, keras.KerasTensor):
        raise RecipeError(f"The layer {base!r} of {name} has several outputs: tap another one.")
    return output
