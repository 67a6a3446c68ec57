"""Backbones of one's own: a `.keras` file, a preset of KerasHub or a `keras.Model`, up to the map at a tap."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_fvvae.backbones import hub
from keras_fvvae.backbones.graph import Graph, graph_of
from keras_fvvae.backbones.own_names import FILE, HUB, require_backbone
from keras_fvvae.backbones.own_taps import own_tapped
from keras_fvvae.backbones.taps import TRUNK, activations_apart
from keras_fvvae.backbones.tokens import TokensToMap
from keras_fvvae.backbones.weights import load_weights, require_finite
from keras_fvvae.errors import RecipeError, WeightsError, first_line, unknown_name
from keras_fvvae.layers import BackbonePreprocessing
from keras_fvvae.recipes.own_models import MODEL, model_of
from keras_fvvae.utils.saved_files import require_known_classes

# What `options` may hold.
PREPROCESSING, PREFIX_TOKENS = "preprocessing", "prefix_tokens"


def build_own_backbone(
    name: str,
    taps: Sequence[str | None] = (None,),
    input_size: tuple[int | None, int | None] = (224, 224),
    weights: str | None = None,
    options: dict[str, Any] | None = None,
    channels: int = 3,
) -> keras.Model:
    """Builds a model from RGB images (0 to 255) to the activation maps at taps of a network that is not of the table.

    Args:
        name: for which `keras_fvvae.backbones.own_names.is_own`.
        taps: of each a layer's name, that followed by `"/linear"`, `"block:9"` for the output of a transformer's ninth
            block, or two of one shape, `"a+b"`; `None`: the model's output, or where that is a vector the last map or
            tokens before it.
        input_size: `(height, width)` in pixels, the model's own if that is fixed.
        weights: a file with weights for it. Default: its own; `"imagenet"` means these too.
        options: `preprocessing`, a scheme of `BackbonePreprocessing`. Default: that of a preset's image converter, else
            none: the model has it as a layer. `prefix_tokens`: how many tokens before those of the patches are left
            out (class and registers). Default: known for KerasHub's ViT, DeiT, CLIP, DINOv2 and v3.
        channels: of the input, which must be the model's.

    Returns:
        As `build_backbone`, of several taps as `build_tapped_backbone`. Its weights are copies: training changes no
        model that was given.

    Raises:
        RecipeError: for a model that is not there or takes something else, an unknown tap or option.
        WeightsError: for a file that is damaged, holds foreign classes or does not fit.
    """
    network = open_own_network(name, taps, input_size, weights, options, channels)
    maps = [network.map_at(tap) for tap in taps]
    trunk = keras.Model(network.graph.input, maps if len(maps) > 1 else maps[0], name=TRUNK)
    images = keras.Input((*input_size, channels), name="images")
    return keras.Model(images, trunk(network.preprocessing(images)), name=_short_name(name))


@dataclasses.dataclass(frozen=True)
class OwnNetwork:
    """A network that is not of the table, with what is known of its taps.

    Attributes:
        name: as of `build_own_backbone`.
        graph: its `Graph`, which nothing else shares.
        preprocessing: layer for the images.
        to_map: `TokensToMap` of its tokens.
    """

    name: str
    graph: Graph
    preprocessing: keras.layers.Layer
    to_map: TokensToMap

    def map_at(self, tap: str | None) -> Any:
        """The map at a tap, symbolic; see `build_own_backbone`.

        Raises:
            RecipeError: for an unknown tap, and tokens that make no map.
        """
        x = own_tapped(self.graph, self.name, tap)
        if len(x.shape) == 3:
            hub.require_true_tokens(self.graph.model, self.name, x)
            x = self.to_map(x)
        return x


def open_own_network(
    name: str,
    taps: Sequence[str | None] = (None,),
    input_size: tuple[int | None, int | None] = (224, 224),
    weights: str | None = None,
    options: dict[str, Any] | None = None,
    channels: int = 3,
) -> OwnNetwork:
    """Opens a network that is not of the table; arguments and exceptions are those of `build_own_backbone`."""
    options = dict(options or {})
    for key in options.keys() - {PREPROCESSING, PREFIX_TOKENS}:
        raise RecipeError(unknown_name(f"backbone option of {name}:", key, [PREPROCESSING, PREFIX_TOKENS]))
    prefix = options.get(PREFIX_TOKENS)
    if prefix is not None and (not isinstance(prefix, int) or isinstance(prefix, bool) or prefix < 0):
        raise RecipeError(f"The backbone option `{PREFIX_TOKENS}` must be an integer from 0 on. Received: {prefix!r}")
    model, preprocessing = _opened(name, tuple(input_size), weights)
    model = _functional(hub.what_sees(model), name, (*input_size, channels))
    if PREPROCESSING in options:
        try:
            preprocessing = BackbonePreprocessing(options[PREPROCESSING], name=PREPROCESSING)
        except ValueError as error:
            raise RecipeError(f"The backbone option `{PREPROCESSING}` is a scheme: {error}") from error
    _require_input(model, name, (*input_size, channels))
    activations: dict[str, keras.layers.Layer] = {}
    for tap in taps:
        activations |= activations_apart(model, name, tap or "")
    known = hub.prefix_tokens(model) if prefix is None else prefix
    return OwnNetwork(
        name,
        graph_of(model, activations),
        preprocessing or BackbonePreprocessing("none", name=PREPROCESSING),
        TokensToMap(tuple(input_size), known, name, hub.patch_grid(model)),
    )


def _opened(name: str, input_size: tuple[int | None, ...], weights: str | None) -> tuple[keras.Model, Any]:
    """The network, which nothing else shares, and its preprocessing; `None` where it tells none."""
    require_backbone(name)
    preprocessing = None
    if name.startswith(HUB):
        model, preprocessing = hub.open_preset(name, input_size)
    else:
        model = _copied(model_of(name), name) if name.startswith(MODEL) else _loaded(name)
    if weights not in (None, "imagenet"):
        load_weights(model, name, weights)
    require_finite(model, f"The weights of {name}")
    return model, preprocessing


def _loaded(path: str) -> keras.Model:
    require_known_classes(path)
    try:
        model = keras.models.load_model(path, hub.custom_objects(), compile=False, safe_mode=True)
    except Exception as error:  # zipfile, h5py, json and Keras raise many kinds for one fact: the file is damaged
        raise WeightsError(
            f"The backbone {path} is damaged or of another version: {first_line(error).rstrip('.')}"
        ) from error
    if not isinstance(model, keras.Model):
        raise WeightsError(f"The backbone {path} holds a {type(model).__name__}, not a keras.Model.")
    return model


def _copied(model: keras.Model, name: str) -> keras.Model:
    try:
        copy = type(model).from_config(model.get_config())
        if not copy.built:
            copy.build(model.input_shape)
    except Exception as error:  # whatever a class of the user's own raises
        raise RecipeError(
            f"The backbone {name} cannot be built again from its configuration: {first_line(error).rstrip('.')}. "
            f"Register its classes with `keras.saving.register_keras_serializable`."
        ) from error
    copy.set_weights(model.get_weights())
    return copy


def _functional(model: keras.Model, name: str, shape: tuple[int | None, ...]) -> keras.Model:
    """The model, or where it is no graph of layers one around it."""
    if getattr(model, "inputs", None):
        return model
    try:
        images = keras.Input(shape)
        return keras.Model(images, model(images))
    except Exception as error:
        raise RecipeError(
            f"The backbone {name} does not take images {shape}: {first_line(error).rstrip('.')}"
        ) from error


def _require_input(model: keras.Model, name: str, shape: tuple[int | None, ...]) -> None:
    """Refuses a model that takes something else than images of this shape."""
    if len(model.inputs) != 1:
        names = ", ".join(tensor.name for tensor in model.inputs)
        raise RecipeError(f"The backbone {name} must take images alone; it takes {len(model.inputs)} inputs: {names}.")
    expected = tuple(model.inputs[0].shape[1:])
    if len(expected) != 3 or expected[-1] not in (shape[-1], None):
        raise RecipeError(f"The backbone {name} must take images of {shape[-1]} channels; its input is {expected}.")
    if any(side not in (given, None) for side, given in zip(expected[:2], shape[:2], strict=True)):
        height, width = expected[:2]
        raise RecipeError(
            f"The backbone {name} takes images of {height}x{width}, not {shape[0]}x{shape[1]}: set `input_size: "
            f"[{height}, {width}]` (--input-size {height})."
        )


def _short_name(name: str) -> str:
    """A name that a Keras model may have."""
    base = Path(name).name.removesuffix(FILE).removeprefix(HUB).removeprefix(MODEL)
    return re.sub("[^A-Za-z0-9_.-]", "_", base)
