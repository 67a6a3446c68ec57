"""Input preprocessing of ImageNet backbones, inside the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

# Means and standard deviations of ImageNet's training images: in BGR and of values 0..255 as the VGG authors used
# them with Caffe, and in RGB and of values 0..1 as torchvision uses them.
CAFFE_BGR_MEAN = (103.939, 116.779, 123.68)
TORCH_MEAN = (0.485, 0.456, 0.406)
TORCH_STD = (0.229, 0.224, 0.225)
# Of EfficientNet-Lite, for all channels: where 8-bit quantized inputs have their zero, and their scale.
LITE_MEAN = 127.0
LITE_SCALE = 128.0
# Optical flow as images: the value of no motion, and one scale for all channels instead of three.
NO_MOTION = 128.0
FLOW_SCALES = {"caffe": 1.0, "torch": 255.0 * sum(TORCH_STD) / 3, "tf": 127.5, "lite": LITE_SCALE}
SCHEMES = ("caffe", "torch", "tf", "lite", "none")


@keras.saving.register_keras_serializable(package="keras_fvvae")
class BackbonePreprocessing(keras.layers.Layer):
    """Brings RGB images with values 0 to 255 to what a backbone was trained on.

    The same as `keras.applications.imagenet_utils.preprocess_input` (but for `"lite"`, which that lacks), as a layer:
    saved, exported and served with the model, so that it cannot be forgotten or applied twice.

    Args:
        scheme: `"caffe"`: channels reversed to BGR and centred on ImageNet's mean (VGG, ResNet); `"torch"`: scaled to
            0..1 and standardised per channel (DenseNet); `"tf"`: scaled to -1..1 (MobileNetV2); `"lite"`:
            `(x - 127) / 128` (EfficientNet-Lite); `"none"`: unchanged, for backbones that carry their own
            (EfficientNetV2, ConvNeXt).
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Input shape:
        `(batch, H, W, 3)`, RGB, 0 to 255, any numeric dtype; or another number of channels, optical flow of 8 bits, 128
        for no motion: centred there and scaled as the scheme does, or unchanged by `"none"`.

    Output shape:
        That of the input.

    Raises:
        ValueError: for an unknown scheme.

    Example:
        >>> import numpy as np
        >>> white = np.full((1, 2, 2, 3), 255.0)
        >>> float(keras.ops.max(BackbonePreprocessing("tf")(white)))
        1.0
    """

    def __init__(self, scheme: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if scheme not in SCHEMES:
            raise ValueError(f"`scheme` must be one of {SCHEMES}. Received: scheme={scheme!r}")
        self.scheme = scheme

    def call(self, inputs: Any) -> Any:
        x = ops.cast(inputs, self.compute_dtype)
        if self.scheme == "none":
            return x
        if inputs.shape[-1] != 3:
            return (x - NO_MOTION) / FLOW_SCALES[self.scheme]
        if self.scheme == "caffe":
            return ops.flip(x, axis=-1) - ops.convert_to_tensor(CAFFE_BGR_MEAN, x.dtype)
        if self.scheme == "torch":
            mean, std = (ops.convert_to_tensor(values, x.dtype) for values in (TORCH_MEAN, TORCH_STD))
            return (x / 255.0 - mean) / std
        if self.scheme == "lite":
            return (x - LITE_MEAN) / LITE_SCALE
        return x / 127.5 - 1.0

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Sequence[int | None]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scheme": self.scheme}
