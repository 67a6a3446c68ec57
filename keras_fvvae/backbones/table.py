"""Backbones as a table: how each is built, what preprocessing its weights expect, and where it is tapped."""

import dataclasses
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import keras

from keras_fvvae.backbones.fully_convolutional import fully_convolutional
from keras_fvvae.errors import RecipeError, WeightsError, unknown_name
from keras_fvvae.layers import BackbonePreprocessing

# A tap that ends in this is taken before the activation function that is fused into its layer.
BEFORE_ACTIVATION = "/linear"
TRUNK = "trunk"
# Between two taps that are taken together.
JOIN = "+"
# After a fully-connected layer: its activations for all regions of the network's own input size, as a map.
DENSE = "/dense"
OWN_SIZE = 224


@dataclasses.dataclass(frozen=True)
class BackboneInfo:
    """What must be known of a backbone.

    Attributes:
        preprocessing: scheme of `BackbonePreprocessing` that its weights expect.
        taps: short names, as in the paper, of its layers; any other layer can be tapped by its own name. Without a
            tap, the output of the last convolutional stage is taken.
        build: function with the interface of `keras.applications.VGG19`; `None`: the Keras Applications function of
            the backbone's name.
        flow_preprocessing: the scheme for inputs of other than three channels where it is another one.
        vector_taps: names of global activations, vectors that are given as maps of 1x1: for each its layer, and the
            arguments with which Keras Applications builds it (and for which weight files must be).
    """

    preprocessing: str
    taps: dict = dataclasses.field(default_factory=dict)
    vector_taps: dict = dataclasses.field(default_factory=dict)
    build: Callable | None = None
    flow_preprocessing: str | None = None


def digits_conv_net(input_shape, weights=None, include_top=False, filters=64, strides=(1, 1, 1)):
    """A small network for digits: three 3x3 convolutions with `filters // 2`, `filters` and `filters` channels."""
    inputs = x = keras.Input(input_shape)
    for index, (width, stride) in enumerate(zip((filters // 2, filters, filters), strides, strict=True), start=1):
        x = keras.layers.Conv2D(width, 3, stride, padding="same", activation="relu", name=f"conv{index}")(x)
    return keras.Model(inputs, x)


_VGG16_TAPS = {"conv4_3": "block4_conv3", "conv5_3": "block5_conv3", "pool5": "block5_pool"}
_VGG19_TAPS = {**_VGG16_TAPS, "conv5_4": "block5_conv4"}
_WITH_TOP = {"include_top": True, "classifier_activation": None}
_FC_TAPS = {"fc6": ("fc1", _WITH_TOP), "fc7": ("fc2", _WITH_TOP)}
_RESNET_TAPS = {"res5c": "conv5_block3_out"}
_RESNET_POOL = {"pool5": ("avg_pool", {"pooling": "avg"})}

BACKBONES = {
    "VGG16": BackboneInfo("caffe", _VGG16_TAPS, _FC_TAPS),
    "VGG19": BackboneInfo("caffe", _VGG19_TAPS, _FC_TAPS),
    **{name: BackboneInfo("caffe", _RESNET_TAPS, _RESNET_POOL) for name in ("ResNet50", "ResNet101", "ResNet152")},
    **{name: BackboneInfo("tf") for name in ("ResNet50V2", "ResNet101V2", "ResNet152V2")},
    **{name: BackboneInfo("torch") for name in ("DenseNet121", "DenseNet169", "DenseNet201")},
    **{name: BackboneInfo("tf") for name in ("MobileNet", "MobileNetV2", "NASNetMobile", "NASNetLarge")},
    **{name: BackboneInfo("tf") for name in ("InceptionV3", "InceptionResNetV2", "Xception")},
    # These carry their own preprocessing; that of ConvNeXt, torch's scheme, is for RGB alone.
    **{name: BackboneInfo("none") for name in ("MobileNetV3Small", "MobileNetV3Large")},
    **{f"EfficientNetB{size}": BackboneInfo("none") for size in range(8)},
    **{f"EfficientNetV2{size}": BackboneInfo("none") for size in ("B0", "B1", "B2", "B3", "S", "M", "L")},
    **{
        f"ConvNeXt{size}": BackboneInfo("none", flow_preprocessing="torch")
        for size in ("Tiny", "Small", "Base", "Large", "XLarge")
    },
    "DigitsConvNet": BackboneInfo("tf", build=digits_conv_net),
}


def build_backbone(name, tap=None, input_size=(224, 224), weights=None, options=None, channels=3):
    """Builds a model from RGB images (0 to 255) to the activation map at a tap, preprocessing included.

    For another number of channels (stacks of optical flow) the weights of RGB are initialised across modalities: the
    first convolution takes the mean of its kernels over red, green and blue for every channel.

    Args:
        name: a key of `BACKBONES`.
        tap: a short name from the table (`"pool5"`, `"conv5_4"`, `"res5c"`), a layer's own name, or either followed by
            `"/linear"` for the map before the layer's fused activation. Default: the last convolutional stage. Global
            activations (`"fc7"` of VGG, `"pool5"` of ResNet) are maps of 1x1. Two taps with maps of one shape, such as
            `"block5_conv3+conv5_4"`, give both, the channels of the first before those of the second. `"fc7/dense"` of
            VGG gives fc7 of every 224x224 region of a larger image, as a map.
        input_size: `(height, width)` in pixels; `None` entries leave a side dynamic.
        weights: `None` (random), `"imagenet"` (downloaded by Keras Applications), or the path of a weight file for
            `include_top=False` (for `"fc6"` and `"fc7"` one with the top).
        options: further arguments of the Keras Applications function, such as `{"alpha": 0.35}`.
        channels: of the input.

    Returns:
        A functional `keras.Model`: the preprocessing, then the backbone up to the tap as a layer named "trunk".

    Raises:
        RecipeError: for an unknown backbone, tap or option.
        WeightsError: for weights that are missing, cannot be downloaded or do not fit.

    Example:
        >>> build_backbone("VGG19", "conv5_4", (448, 448)).output.shape
        (None, 28, 28, 512)

    Reference:
        Cross-modality initialisation: Wang et al., "Temporal Segment Networks", ECCV 2016, Section 3.2.
    """
    if name not in BACKBONES:
        raise RecipeError(unknown_name("backbone", name, BACKBONES))
    if weights not in (None, "imagenet"):
        weights = os.fspath(weights)
        if not Path(weights).is_file():
            raise WeightsError(f"The backbone weights {weights} are not a file. Check `backbone_weights`.")
    info = BACKBONES[name]
    if weights == "imagenet" and info.build is not None:
        raise WeightsError(f"There are no ImageNet weights for {name}: pass a path, or None for random weights.")
    build = info.build or getattr(keras.applications, name)
    dense = tap is not None and tap.endswith(DENSE)
    layer, extra = info.vector_taps.get(tap.removesuffix(DENSE) if dense else tap, (tap, {}))
    if dense and extra != _WITH_TOP:
        raise RecipeError(
            f"The tap {tap!r} of {name} is none: dense regions have fully-connected activations of VGG only."
        )
    if dense and min(input_size) < OWN_SIZE:
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
        trunk = _download(build, name, arguments)
    elif weights is not None:
        _load(trunk, name, weights)
    if other is not None:
        trunk = _across_modalities(trunk, other)
    images = keras.Input((*input_size, channels), name="images")
    scheme = info.preprocessing if channels == 3 else info.flow_preprocessing or info.preprocessing
    x = BackbonePreprocessing(scheme, name="preprocessing")(images)
    vector = tap in info.vector_taps
    if dense:
        regions = fully_convolutional(trunk, layer)
        x = keras.Model(regions.inputs, regions.outputs, name=TRUNK)(x)
    else:
        x = keras.Model(trunk.inputs, _tapped(trunk, info, name, layer, vector), name=TRUNK)(x)
    if vector:
        x = keras.layers.Reshape((1, 1, -1), name="map")(x)
    return keras.Model(images, x, name=name)


def set_trainable(backbone, trainable_from):
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


def _across_modalities(rgb, other):
    """Gives a model for another number of channels the weights of one for RGB, and returns it."""
    channels = other.input_shape[-1]
    for source, target in zip(rgb.weights, other.weights, strict=True):
        value = keras.ops.convert_to_numpy(source)
        if value.shape != target.shape:  # a kernel (height, width, channels, filters), or a statistic (channels,)
            axis = 2 if value.ndim == 4 else 0
            value = value.mean(axis=axis, keepdims=True).repeat(channels, axis=axis)
        target.assign(value)
    return other


def _tapped(trunk, info, name, tap, vector=False):
    if tap is not None and JOIN in tap:
        outputs = [_tapped_layer(trunk, info, name, part).output for part in tap.split(JOIN)]
        if any(len(output.shape) != 4 or output.shape != outputs[0].shape for output in outputs):
            shapes = " and ".join(str(output.shape[1:]) for output in outputs)
            raise RecipeError(f"The taps {tap!r} of {name} must have maps of one shape; they have {shapes}.")
        return keras.layers.Concatenate(name="taps")(outputs)
    output = trunk.output if tap is None else _tapped_layer(trunk, info, name, tap).output
    if len(output.shape) != (2 if vector else 4):
        raise RecipeError(f"The tap {tap!r} of {name} is not an activation map: its shape is {output.shape}.")
    return output


def _tapped_layer(trunk, info, name, tap):
    base, linear = tap.removesuffix(BEFORE_ACTIVATION), tap.endswith(BEFORE_ACTIVATION)
    layer_name = info.taps.get(base, base)
    names = [layer.name for layer in trunk.layers]
    if layer_name not in names:
        raise RecipeError(unknown_name(f"tap of {name}", base, [*info.taps, *info.vector_taps, *names]))
    layer = trunk.get_layer(layer_name)
    if linear:
        if getattr(layer, "activation", None) in (None, keras.activations.linear):
            raise RecipeError(f"The tap {base!r} of {name} has no fused activation: leave out '{BEFORE_ACTIVATION}'.")
        layer.activation = keras.activations.linear
    return layer


def _load(trunk, name, path):
    try:
        with warnings.catch_warnings():
            # Keras 3.15 walks a private copy of the layer list that files of older versions lack; the weights
            # themselves are all found under `layers`, or the load fails.
            warnings.filterwarnings("ignore", message="Skipping nested container at '_operations_by_depth")
            trunk.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds for one fact: this file does not fit
        reason = str(error).splitlines()[0].split(" Example error")[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"The weights {path} do not fit {name} (without its top, but for fc6 and fc7), or are damaged: "
            f"{reason.rstrip('.')}. Check the backbone, its options (such as alpha) and the file."
        ) from error


def _download(build, name, arguments):
    try:
        return build(weights="imagenet", **arguments)
    except Exception as error:  # keras.utils.get_file raises a bare Exception for any failed download
        raise WeightsError(
            f"The ImageNet weights of {name} could not be downloaded ({str(error).splitlines()[0]}). Pass the path of "
            f"a weight file for include_top=False as `backbone_weights` (--backbone-weights PATH), or None for random "
            f"weights."
        ) from error
