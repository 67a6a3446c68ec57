"""Networks of KerasHub: presets, the preprocessing of their image converters, their tokens and blocks."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import keras

from keras_fvvae.backbones.own_names import HUB, HUB_EXTRA, HUB_PACKAGE, local_preset
from keras_fvvae.backbones.weights import quiet_about_containers
from keras_fvvae.errors import RecipeError, WeightsError, first_line
from keras_fvvae.utils.lazy import imported
from keras_fvvae.utils.signatures import init_parameters

# The argument of `from_preset` that decides the size of the images.
_SIZE_ARGUMENT = "image_shape"
# Tokens before those of the patches, of each class: constant, and attributes that are added.
_CLASS_TOKEN, _REGISTERS = "use_class_token", "num_register_tokens"
_PREFIX_TOKENS: dict[str, tuple[int, tuple[str, ...]]] = {
    "ViTBackbone": (0, (_CLASS_TOKEN,)),
    "DeiTBackbone": (2, ()),  # of the class and of the distillation
    "CLIPVisionEncoder": (1, ()),
    "SigLIPVisionEncoder": (0, ()),
    "DINOV2Backbone": (1, (_REGISTERS,)),
    "DINOV3Backbone": (1, (_REGISTERS,)),
}

# Layers that cannot be built from their own configuration in KerasHub 0.32: it holds what they derive from the rest.
_TALKATIVE = (
    "keras_hub.src.models.vit.vit_layers:ViTPatchingAndEmbedding",
    "keras_hub.src.models.vit.vit_layers:ViTEncoderBlock",
    "keras_hub.src.models.deit.deit_layers:DeiTEmbeddings",
    "keras_hub.src.models.deit.deit_layers:DeiTEncoder",
)
# By class what their configuration names and they lack there.
_LACKING = {"DeiTEncoder": "key_dim"}
_OF_ALL_LAYERS = ("name", "trainable", "dtype")


def open_preset(name: str, input_size: tuple[int | None, ...]) -> tuple[keras.Model, keras.layers.Layer | None]:
    """A network of KerasHub, and what its image converter does to pixels.

    Args:
        name: `"hub:PRESET"`.
        input_size: `(height, width)` of the images; networks that can are built for it.

    Returns:
        Tuple: the model, and a layer that scales and shifts RGB images of 0 to 255; `None` where the preset has no
        image converter. Images are resized by the recipe, not by the converter.

    Raises:
        RecipeError, WeightsError: if KerasHub is missing, or the preset cannot be opened.
    """
    try:
        hub = importlib.import_module(HUB_PACKAGE)
    except ModuleNotFoundError as error:
        raise RecipeError(f"The backbone {name} needs {error.name}: {HUB_EXTRA}") from error
    preset = str(local_preset(name) or name.removeprefix(HUB))
    try:
        with quiet_about_containers():
            return _tellable(_network(hub, preset, input_size)), _preprocessing(hub, preset)
    except Exception as error:  # KerasHub, Kaggle and Hugging Face raise many kinds for one fact: it is not to be had
        why = first_line(error).rstrip(":.")
        if why.startswith("Unknown preset"):
            why = "KerasHub knows no preset of this name; give a folder with a preset, hf://..., or kaggle://..."
        raise WeightsError(f"The backbone {name} cannot be opened: {why.rstrip('.')}.") from error


def what_sees(model: keras.Model) -> keras.Model:
    """Of a network of KerasHub for images and texts that for images; any other as it is."""
    return getattr(model, "vision_encoder", model) if is_of_hub(model) else model


def prefix_tokens(model: keras.Model) -> int | None:
    """How many tokens of a network of KerasHub are no patches; `None` where it is not known."""
    if not is_of_hub(model) or type(model).__name__ not in _PREFIX_TOKENS:
        return None
    constant, attributes = _PREFIX_TOKENS[type(model).__name__]
    return constant + sum(int(getattr(model, attribute)) for attribute in attributes)


def patch_grid(model: keras.Model) -> tuple[int, int] | None:
    """Height and width in patches of the images that a network of KerasHub takes; `None` where it is not known."""
    patch = getattr(model, "patch_size", None) if is_of_hub(model) else None
    size = model.inputs[0].shape[1:3]
    if patch is None or None in size:
        return None
    patch = (patch, patch) if isinstance(patch, int) else patch
    return size[0] // patch[0], size[1] // patch[1]


def require_true_tokens(model: keras.Model, name: str, tokens: Any) -> None:
    """Refuses a network of which KerasHub tells another number of tokens than it has: 0.32 does so of SigLIP."""
    prefix, grid = prefix_tokens(model), patch_grid(model)
    if None not in (prefix, grid) and tokens.shape[1] != prefix + grid[0] * grid[1]:
        raise RecipeError(
            f"KerasHub tells of {tokens.shape[1]} tokens of {name}, whose {grid[0]}x{grid[1]} patches and {prefix} "
            f"others are {prefix + grid[0] * grid[1]}: it cannot be built on."
        )


def blocks(model: keras.Model, calls: dict[str, tuple[Any, Any]]) -> list[Any]:
    """The outputs of a transformer's blocks, in their order; none for other networks.

    They are before the normalization that follows the last one.

    Args:
        model: the network.
        calls: by a layer's name what it is called on and what it gives, in the graph to which the outputs belong.
    """
    if not is_of_hub(model):
        return []
    if hasattr(model, "encoder_layers"):
        return [calls[block.name][1] for block in model.encoder_layers]
    for layer in model.layers:
        x, output = calls.get(layer.name, (None, None))
        if isinstance(output, list | tuple) and isinstance(output[-1], dict):  # one layer that gives them all
            return [output[-1][f"stage{number}"] for number in range(1, 1 + len(output[-1]))]
        if type(layer).__name__ == "ViTEncoder":
            # The blocks of one layer that gives the last alone: its graph of them is not the model's, and is made here.
            outputs = [x]
            for block in layer.encoder_layers:
                outputs.append(block(outputs[-1]))
            return outputs[1:]
    return []


def custom_objects() -> dict[str, Any]:
    """What Keras needs to load layers of KerasHub that say more of themselves than their constructors take.

    Returns:
        Dictionary from a class's name to what builds such layers; empty where KerasHub is not imported.
    """
    if HUB_PACKAGE not in sys.modules:
        return {}
    return {path.rpartition(":")[2]: _Builder(imported(path)) for path in _TALKATIVE}


class _Builder:
    """Builds layers of a class from configurations, of which it leaves aside what the class derives itself."""

    def __init__(self, kind: type[keras.layers.Layer]) -> None:
        self.kind = kind

    def from_config(self, config: dict[str, Any]) -> keras.layers.Layer:
        known = {*init_parameters(self.kind), *_OF_ALL_LAYERS}
        return self.kind.from_config({key: value for key, value in config.items() if key in known})


def is_of_hub(model: keras.Layer) -> bool:
    """Whether KerasHub has the class of a model or layer."""
    return type(model).__module__.partition(".")[0] == HUB_PACKAGE


def _network(hub, preset, input_size):
    """The preset's backbone, for images of this size where its class can be built for another than the preset's."""
    of_preset = hub.models.Backbone.from_preset
    if None not in input_size:
        try:
            return of_preset(preset, **{_SIZE_ARGUMENT: (*input_size, 3)})
        except (TypeError, ValueError):
            pass  # no such argument, or weights for one size only
    return of_preset(preset)


def _tellable(model):
    """The model, whose layers can tell their configurations."""
    for layer in model.layers:
        lacking = _LACKING.get(type(layer).__name__)
        if lacking is not None and is_of_hub(layer) and not hasattr(layer, lacking):
            setattr(layer, lacking, None)
    return model


def _preprocessing(hub, preset):
    try:
        converter = hub.layers.ImageConverter.from_preset(preset)
    except (FileNotFoundError, ValueError):
        return None  # it brings none, or there is none for its class
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return keras.layers.Rescaling(scale, offset, name="preprocessing")
