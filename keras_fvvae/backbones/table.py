"""Backbones as a table: how each is built, what preprocessing its weights expect, and where it is tapped.

Needs no Keras: what an entry names is imported when it is built.
"""

from __future__ import annotations

import dataclasses
from typing import Any

# Height and width of the images that networks with fully-connected layers are made for.
OWN_SIZE = 224


@dataclasses.dataclass(frozen=True)
class BackboneInfo:
    """What must be known of a backbone.

    Attributes:
        preprocessing: scheme of `BackbonePreprocessing` that its weights expect.
        taps: short names, as in the paper, of its layers; any other layer can be tapped by its own name. Without a
            tap, the output of the last convolutional stage is taken.
        build: `"module:function"`, of the interface of `keras.applications.VGG19`; `None`: the Keras Applications
            function of the backbone's name.
        imagenet: whether the function of `build` knows `weights="imagenet"`, as those of Keras Applications do.
        flow_preprocessing: the scheme for inputs of other than three channels where it is another one.
        default_tap: where `keras-fvvae train --backbone` taps it; `None`: at its last stage. Not the last where an
            earlier one was measured to be better for FV-VAE (docs/results.md): what a network's last layer leaves of a
            position suits a linear classifier of their mean, and an encoding gains little there.
        consecutive_taps: two layers, one after the other, of which cross-layer pooling takes the maps.
        vector_taps: names of global activations, vectors that are given as maps of 1x1: for each its layer, and the
            arguments with which Keras Applications builds it (and for which weight files must be).
    """

    preprocessing: str
    taps: dict[str, str] = dataclasses.field(default_factory=dict)
    vector_taps: dict[str, tuple[str, dict[str, Any]]] = dataclasses.field(default_factory=dict)
    build: str | None = None
    imagenet: bool = False
    flow_preprocessing: str | None = None
    default_tap: str | None = None
    consecutive_taps: str | None = None

    @property
    def has_imagenet_weights(self) -> bool:
        """Whether `"imagenet"` names weights of it."""
        return self.imagenet or self.build is None


_VGG16_TAPS = {"conv4_3": "block4_conv3", "conv5_3": "block5_conv3", "pool5": "block5_pool"}
_VGG19_TAPS = {**_VGG16_TAPS, "conv5_4": "block5_conv4"}
# How Keras Applications builds a network with its fully-connected layers.
WITH_TOP = {"include_top": True, "classifier_activation": None}
_FC_TAPS = {"fc6": ("fc1", WITH_TOP), "fc7": ("fc2", WITH_TOP)}
_RESNET_TAPS = {"res5c": "conv5_block3_out"}
_RESNET_POOL = {"pool5": ("avg_pool", {"pooling": "avg"})}

BACKBONES = {
    # The paper's, for images.
    "VGG16": BackboneInfo(
        "caffe", _VGG16_TAPS, _FC_TAPS, default_tap="conv5_3", consecutive_taps="block5_conv2+conv5_3"
    ),
    "VGG19": BackboneInfo(
        "caffe", _VGG19_TAPS, _FC_TAPS, default_tap="conv5_4", consecutive_taps="block5_conv3+conv5_4"
    ),
    **{name: BackboneInfo("caffe", _RESNET_TAPS, _RESNET_POOL) for name in ("ResNet50", "ResNet101", "ResNet152")},
    **{name: BackboneInfo("tf") for name in ("ResNet50V2", "ResNet101V2", "ResNet152V2")},
    **{name: BackboneInfo("torch") for name in ("DenseNet121", "DenseNet169", "DenseNet201")},
    **{name: BackboneInfo("tf") for name in ("MobileNet", "NASNetMobile", "NASNetLarge")},
    "MobileNetV2": BackboneInfo("tf", default_tap="block_16_project_BN"),
    **{name: BackboneInfo("tf") for name in ("InceptionV3", "InceptionResNetV2", "Xception")},
    # These carry their own preprocessing; that of ConvNeXt, torch's scheme, is for RGB alone.
    **{name: BackboneInfo("none") for name in ("MobileNetV3Small", "MobileNetV3Large")},
    **{f"EfficientNetB{size}": BackboneInfo("none") for size in range(8)},
    **{f"EfficientNetV2{size}": BackboneInfo("none") for size in ("B0", "B1", "B2", "B3", "S", "M", "L")},
    **{
        f"ConvNeXt{size}": BackboneInfo("none", flow_preprocessing="torch")
        for size in ("Tiny", "Small", "Base", "Large", "XLarge")
    },
    # Their weights come with the extra `lite`. Tapped where the widest stage but the last ends: few, wide maps.
    **{
        f"EfficientNetLite{number}": BackboneInfo(
            "lite",
            build=f"keras_fvvae.backbones.efficientnet_lite:efficientnet_lite{number}",
            imagenet=True,
            default_tap=tap,
        )
        for number, tap in enumerate(("block_14_add", "block_19_add", "block_19_add"))
    },
    "DigitsConvNet": BackboneInfo(
        "tf", build="keras_fvvae.backbones.digits_network:digits_conv_net", consecutive_taps="conv2+conv3"
    ),
}
