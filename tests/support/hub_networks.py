"""Small networks of KerasHub with random weights, one of each kind that is told apart."""

import importlib

from tests.support.own_backbones import SIZE

PATCH, CHANNELS = 8, 16
TRANSFORMER = {"patch_size": PATCH, "num_layers": 3, "hidden_dim": CHANNELS, "num_heads": 2}
TOKENS = (SIZE // PATCH, SIZE // PATCH)
EFFICIENTNET = {
    "stackwise_width_coefficients": [1.0, 1.0],
    "stackwise_depth_coefficients": [1.0, 1.0],
    "stackwise_kernel_sizes": [3, 3],
    "stackwise_num_repeats": [1, 1],
    "stackwise_input_filters": [8, 8],
    "stackwise_output_filters": [8, 16],
    "stackwise_expansion_ratios": [1, 4],
    "stackwise_squeeze_and_excite_ratios": [0.0, 0.25],
    "stackwise_strides": [1, 2],
    "stackwise_block_types": ["fused", "unfused"],
}


def hub():
    """KerasHub, which takes seconds to import."""
    return importlib.import_module("keras_hub")


def _vit(**arguments):
    return hub().models.ViTBackbone(image_shape=(SIZE, SIZE, 3), mlp_dim=32, **TRANSFORMER, **arguments)


def _dinov2(size=SIZE, registers=2):
    return hub().models.DINOV2Backbone(
        **TRANSFORMER,
        intermediate_dim=32,
        num_register_tokens=registers,
        image_shape=(size, size, 3),
        position_embedding_shape=(64, 64, 3),
    )


def _dinov3():
    return hub().models.DINOV3Backbone(**TRANSFORMER, intermediate_dim=32, image_shape=(SIZE, SIZE, 3))


def siglip():
    """The part of SigLIP for images, of which KerasHub 0.32 tells a wrong number of tokens."""
    return hub().models.SigLIPVisionEncoder(**TRANSFORMER, intermediate_dim=32, image_shape=(SIZE, SIZE, 3))


def _clip():
    encoder = hub().models.CLIPVisionEncoder(**TRANSFORMER, intermediate_dim=32, image_shape=(SIZE, SIZE, 3))
    text = {"vocabulary_size": 9, "embedding_dim": CHANNELS, "hidden_dim": CHANNELS, "max_sequence_length": 4}
    blocks = {"num_layers": 1, "num_heads": 2, "intermediate_dim": 8}
    return hub().models.CLIPBackbone(encoder, hub().models.CLIPTextEncoder(**text, **blocks), projection_dim=4)


def _deit():
    return hub().models.DeiTBackbone(image_shape=(SIZE, SIZE, 3), intermediate_dim=32, **TRANSFORMER)


NETWORKS = {
    "deit": _deit,
    "clip": _clip,
    "vit": _vit,
    "dinov2": _dinov2,
    "dinov3": _dinov3,
    "efficientnet": lambda: hub().models.EfficientNetBackbone(**EFFICIENTNET),
}
