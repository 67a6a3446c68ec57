"""Networks of KerasHub: presets, the preprocessing of their image converters, their tokens and blocks."""

from __future__ import annotations

import importlib
from typing import Any

import keras

from keras_fvvae.backbones.own_names import HUB, HUB_EXTRA, HUB_PACKAGE, local_preset
from keras_fvvae.errors import RecipeError, WeightsError

# What `from_preset` takes of these names decides the size of the images.
_SIZE_ARGUMENT = "image_shape"
# Tokens before those of the patches, of each class: constant, and attributes that are added.
_CLASS_TOKEN, _REGISTERS = "use_class_token", "num_register_tokens"
_PREFIX_TOKENS: dict[str, tuple[int, tuple[str, ...]]] = {
    "ViTBackbone": (0, (_CLASS_TOKEN,)),
    "DeiTBackbone": (2, ()),  # of the class and of the distillation
    "DINOV2Backbone": (1, (_REGISTERS,)),
    "DINOV3Backbone": (1, (_REGISTERS,)),
}


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
        return _network(hub, preset, input_size), _preprocessing(hub, preset)
    except Exception as error:  # KerasHub, Kaggle and Hugging Face raise many kinds for one fact: it is not to be had
        why = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(":.")
        if why.startswith("Unknown preset"):
            why = "KerasHub knows no preset of this name; give a folder with a preset, hf://..., or kaggle://..."
        raise WeightsError(f"The backbone {name} cannot be opened: {why.rstrip('.')}.") from error


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


def blocks(model: keras.Model) -> list[Any]:
    """The outputs of a transformer's blocks, in their order; none for other networks.

    They are before the normalization that follows the last one.
    """
    stages = getattr(model, "pyramid_outputs", {}) if is_of_hub(model) else {}
    if "stem" in stages:  # of the transformers with a pyramid
        return [stages[f"stage{number}"] for number in range(1, len(stages))]
    encoder = next((layer for layer in model.layers if hasattr(layer, "encoder_layers")), None)
    if encoder is None or not is_of_hub(model):
        return []
    outputs = [encoder.input]
    for block in encoder.encoder_layers:
        outputs.append(block(outputs[-1]))
    return outputs[1:]


def is_of_hub(model: keras.Model) -> bool:
    """Whether KerasHub has the class of a model."""
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


def _preprocessing(hub, preset):
    try:
        converter = hub.layers.ImageConverter.from_preset(preset)
    except (FileNotFoundError, ValueError):
        return None  # it brings none, or there is none for its class
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return keras.layers.Rescaling(scale, offset, name="preprocessing")
