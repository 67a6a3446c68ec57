"""One network, tapped at several layers: all activation maps from one forward pass."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import keras

from keras_fvvae.backbones.building import build_backbone, checked_backbone
from keras_fvvae.backbones.own import build_own_backbone
from keras_fvvae.backbones.own_names import is_own
from keras_fvvae.backbones.table import BACKBONES, BackboneInfo
from keras_fvvae.backbones.taps import BEFORE_ACTIVATION, DENSE, JOIN, TRUNK, tapped
from keras_fvvae.errors import RecipeError

_NO_INFO = BackboneInfo("none")


def build_tapped_backbone(
    name: str,
    taps: Sequence[str | None],
    input_size: tuple[int | None, int | None] = (224, 224),
    weights: str | os.PathLike | None = None,
    options: dict[str, Any] | None = None,
    channels: int = 3,
) -> keras.Model:
    """Builds a model from RGB images (0 to 255) to a list of activation maps, one a tap, preprocessing included.

    Args:
        name, input_size, weights, options, channels: as of `keras_fvvae.backbones.build_backbone`.
        taps: layers of the network, by short or own names; `None`: its end. A layer can be named twice.

    Returns:
        A functional `keras.Model`: the preprocessing, then the backbone up to the last of the taps as a layer named
        "trunk". `up_to_tap` gives its parts.

    Raises:
        RecipeError: for an unknown backbone, tap or option, and for taps that are no maps of one layer's output.
        WeightsError: as `build_backbone`.

    Example:
        >>> model = build_tapped_backbone("MobileNetV2", ["block_12_add", None], options={"alpha": 0.35})
        >>> [tuple(output.shape) for output in model.outputs]
        [(None, 14, 14, 32), (None, 7, 7, 1280)]
    """
    info = BACKBONES.get(name, _NO_INFO)
    for tap in taps:
        if tap is not None and (JOIN in tap or tap.endswith((BEFORE_ACTIVATION, DENSE)) or tap in info.vector_taps):
            raise RecipeError(
                f"The tap {tap!r} of {name} cannot be one of several: only the maps that a layer gives can, which "
                f"excludes pairs ('a{JOIN}b'), '{BEFORE_ACTIVATION}', '{DENSE}' and global activations."
            )
    name, weights = checked_backbone(name, weights)
    if is_own(name):
        return build_own_backbone(name, taps, input_size, weights, options, channels)
    whole = build_backbone(name, None, input_size, weights, options, channels)
    trunk = whole.get_layer(TRUNK)
    maps = [tapped(trunk, info, name, tap) for tap in taps]
    return _behind_preprocessing(whole, keras.Model(trunk.inputs, maps, name=TRUNK))


def up_to_tap(backbone: keras.Model, number: int) -> keras.Model:
    """The part of a model from `build_tapped_backbone` that gives the map of one tap; its layers are shared.

    Example:
        >>> model = build_tapped_backbone("MobileNetV2", ["block_12_add", None], options={"alpha": 0.35})
        >>> up_to_tap(model, 0).output.shape
        (None, 14, 14, 32)
    """
    trunk = backbone.get_layer(TRUNK)
    return _behind_preprocessing(backbone, keras.Model(trunk.input, trunk.outputs[number], name=TRUNK))


def _behind_preprocessing(backbone, trunk):
    """The trunk on the images of a backbone, as they come out of its preprocessing."""
    images = backbone.input
    return keras.Model(images, trunk(backbone.get_layer("preprocessing")(images)), name=backbone.name)
