"""Where a network can be tapped: its layers with their maps, and how much of an image a position of each sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_fvvae.backbones.building import build_backbone
from keras_fvvae.backbones.table import BACKBONES
from keras_fvvae.backbones.taps import TRUNK

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


@dataclasses.dataclass(frozen=True)
class Tap:
    """A layer that can be tapped.

    Attributes:
        name: of the layer.
        shape: `(height, width, channels)` of its map.
        receptive_field: pixels, the side of the square that a position sees; `WHOLE_IMAGE` where a global pooling goes
            into it; `None` where a layer before it is of a kind that is not known here, or its windows are not square.
        short_names: other names of it, as the paper has them.
        is_default: whether `keras-fvvae train --backbone` taps it.
    """

    name: str
    shape: tuple[int | None, ...]
    receptive_field: float | None
    short_names: tuple[str, ...] = ()
    is_default: bool = False


def list_taps(
    name: str, input_size: tuple[int, int] = (224, 224), options: dict[str, Any] | None = None, every: bool = False
) -> list[Tap]:
    """The taps of a backbone, from the images to its end. No weights are needed for it.

    Args:
        name: a key of `keras_fvvae.backbones.BACKBONES`.
        input_size: `(height, width)` in pixels.
        options: further arguments of its function, such as `{"alpha": 0.35}`.
        every: whether to list all layers that give a map. Default: those where a block ends: whatever comes after sees
            nothing but their map, and no normalisation or activation of their own follows.

    Raises:
        RecipeError: for an unknown backbone or option.

    Example:
        >>> [(tap.name, tap.shape, tap.receptive_field) for tap in list_taps("VGG19")][-2:]
        [('block5_conv4', (14, 14, 512), 252), ('block5_pool', (7, 7, 512), 268)]
    """
    trunk = build_backbone(name, None, input_size, None, options).get_layer(TRUNK)
    info, layers = BACKBONES.get(name), trunk.layers
    fields, ends = _receptive_fields(layers), _ends_of_blocks(layers)
    default = None if info is None else info.taps.get(info.default_tap, info.default_tap)
    default = layers[-1].name if default is None else default
    return [
        Tap(
            layer.name,
            tuple(layer.output.shape[1:]),
            fields[layer.name],
            () if info is None else tuple(short for short, own in info.taps.items() if own == layer.name),
            layer.name == default,
        )
        for layer in layers
        if _gives_map(layer) and (every or layer.name in ends or layer.name == default)
    ]


def _gives_map(layer):
    output = getattr(layer, "output", None)
    return not isinstance(layer, _LAYERS.InputLayer) and len(getattr(output, "shape", ())) == 4


def _inputs(layer) -> Sequence[Any]:
    return layer.input if isinstance(layer.input, list | tuple) else [layer.input]


def _ends_of_blocks(layers):
    """Names of the layers that no connection passes by, and that no part of theirs follows."""
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


def _receptive_fields(layers):
    """By layer the side of what a position sees, along the widest way to it."""
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
