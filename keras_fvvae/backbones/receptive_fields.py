"""How much of an image a position of each layer of a network sees, and where the network's blocks end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

_LAYERS = keras.layers
# They look at a window; at the position alone, of one or several maps; and at the whole map.
_WINDOWS = (
    _LAYERS.Conv2D, _LAYERS.DepthwiseConv2D, _LAYERS.SeparableConv2D, _LAYERS.MaxPooling2D, _LAYERS.AveragePooling2D
)  # fmt: skip
_POSITIONS = (
    _LAYERS.BatchNormalization, _LAYERS.Activation, _LAYERS.ReLU, _LAYERS.LeakyReLU, _LAYERS.PReLU, _LAYERS.Dropout,
    _LAYERS.SpatialDropout2D, _LAYERS.Rescaling, _LAYERS.ZeroPadding2D, _LAYERS.Cropping2D, _LAYERS.Add,
    _LAYERS.Subtract, _LAYERS.Multiply, _LAYERS.Average, _LAYERS.Maximum, _LAYERS.Concatenate,
)  # fmt: skip
_WHOLE = (_LAYERS.GlobalAveragePooling2D, _LAYERS.GlobalMaxPooling2D)
# What follows a convolution as a part of it: nobody taps before these.
_PARTS = (
    _LAYERS.BatchNormalization, _LAYERS.Activation, _LAYERS.ReLU, _LAYERS.LeakyReLU, _LAYERS.PReLU, _LAYERS.Dropout,
    _LAYERS.SpatialDropout2D, _LAYERS.ZeroPadding2D,
)  # fmt: skip
WHOLE_IMAGE = float("inf")


def ends_of_blocks(layers: Sequence[Any]) -> set[str]:
    """Names of the layers that no connection passes by, and that no part of theirs follows.

    Args:
        layers: of a network, in their order.
    """
    made = {id(layer.output): number for number, layer in enumerate(layers)}
    last_use = list(range(len(layers)))
    followed = [False] * len(layers)
    for number, layer in enumerate(layers):
        for tensor in [] if isinstance(layer, _LAYERS.InputLayer) else _inputs(layer):
            source = made.get(id(tensor))
            if source is not None:
                last_use[source] = max(last_use[source], number)
                followed[source] |= isinstance(layer, _PARTS)
    names, reach = set(), 0
    for number, layer in enumerate(layers):
        if reach <= number and not followed[number]:
            names.add(layer.name)
        reach = max(reach, last_use[number])
    return names


def receptive_fields(layers: Sequence[Any]) -> dict[str, float | None]:
    """By a layer's name the side of what a position sees, in pixels, along the widest way to it.

    Args:
        layers: of a network, in their order, the input's first.

    Returns:
        Dictionary: `WHOLE_IMAGE` where a global pooling goes into it; `None` where a layer before it is of a kind that
        is not known here, or its windows are not square.
    """
    seen: dict[int, tuple[float, int] | None] = {}  # of tensors: pixels seen, pixels between two positions
    found = {}
    for layer in layers:
        if isinstance(layer, _LAYERS.InputLayer):
            own: tuple[float, int] | None = (1, 1)
        else:
            before = [seen.get(id(tensor)) for tensor in _inputs(layer)]
            own = None if None in before else _after(layer, [one for one in before if one is not None])
        seen[id(layer.output)] = own
        found[layer.name] = None if own is None else own[0]
    return found


def _inputs(layer) -> Sequence[Any]:
    return layer.input if isinstance(layer.input, list | tuple) else [layer.input]


def _after(layer, before):
    """What a position of a layer's map sees, and the distance of two; `None` where that is not known."""
    field, distance = max(one[0] for one in before), max(one[1] for one in before)
    if isinstance(layer, _WHOLE) or field == WHOLE_IMAGE:
        return WHOLE_IMAGE, distance
    if isinstance(layer, _WINDOWS):
        sizes = getattr(layer, "kernel_size", None) or layer.pool_size
        steps, dilations = layer.strides, getattr(layer, "dilation_rate", (1, 1))
        steps, dilations = ((one, one) if isinstance(one, int) else tuple(one) for one in (steps, dilations))
        sides = {(size - 1) * dilation for size, dilation in zip(sizes, dilations, strict=True)}
        if len(sides) > 1 or len(set(steps)) > 1:
            return None
        return field + sides.pop() * distance, distance * steps[0]
    return (field, distance) if isinstance(layer, _POSITIONS) else None
