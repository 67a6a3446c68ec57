"""The operations that exports of this library hold.

    python -m tests.support.operations

writes `keras_fvvae/serving/known_operations.py` from exports of every representation, signature and option, and from
graphs of a network of each family.
"""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_fvvae.backbones import build_backbone
from keras_fvvae.builders.encoders import build_classifier, build_encoder
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
from keras_fvvae.data import Views
from keras_fvvae.errors import RecipeError
from keras_fvvae.export import export_fused, export_saved_model
from keras_fvvae.layers import GramPCA
from keras_fvvae.models import FisherEncoder
from keras_fvvae.recipes import load_recipe
from keras_fvvae.recipes.recipe import ACTIVATIONS
from keras_fvvae.recipes.registry import REPRESENTATIONS
from keras_fvvae.serving import operations
from tests.support.hub_networks import NETWORKS as HUB_NETWORKS
from tests.support.hub_networks import SIZE as HUB_SIZE

FILE = Path(__file__).parents[2] / "keras_fvvae" / "serving" / "known_operations.py"
# One of each family: its larger sisters hold the same operations.
NETWORKS = (
    "VGG16", "ResNet50", "ResNet50V2", "DenseNet121", "MobileNet", "MobileNetV2", "InceptionV3", "InceptionResNetV2",
    "Xception", "MobileNetV3Small", "EfficientNetB0", "EfficientNetV2B0", "ConvNeXtTiny", "NASNetMobile",
    "EfficientNetLite2", "DigitsConvNet",
)  # fmt: skip
SIZES = {"NASNetMobile": 224}
SIZE = 75  # InceptionV3 and its kin take no smaller images
CROPPED = {"resize_to": (10, 12), "crops": "ten"}
# What small maps need.
OPTIONS = {"cross_layer": {"representation_options": {"num_components": 4}}}
# Recipes that have layers which the others lack.
CHANGES = [
    {},
    {"descriptors": "spp"},
    {"descriptors": "spp", "spp_pooling": "average"},
    {"normalization": "map"},
    {"normalization": "descriptor"},
    {"normalization": "none"},
    {"information": "none"},
    {"information": "kronecker"},
    {"attention": True},
    {"decoder_units": [5]},
    {"hidden_units": [6]},
    {"vector_normalization": "spectral"},
    *({"hidden_activation": name} for name in ACTIVATIONS if name != "relu"),
]


def classifier_of(**changes):
    """An untrained classifier of digits by a recipe."""
    recipe = load_recipe("digits_conv", latent_dim=3, backbone_options={"filters": 4}, **changes)
    backbone = build_recipe_backbone(recipe, None)
    fvvae = build_fvvae(recipe, backbone, 2) if recipe.of_fv_vae else None
    return build_classifier(build_encoder(recipe, backbone, fvvae), ["a", "b"])


def exports(folder):
    """Writes exports of every kind below a folder and yields their paths."""
    count = 0

    def place():
        nonlocal count
        count += 1
        return folder / str(count)

    for name in REPRESENTATIONS:
        try:
            classifier = classifier_of(representation=name, **OPTIONS.get(name, {}))
        except RecipeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        yield export_saved_model(classifier, place())
        keras.backend.clear_session()
    for changes in CHANGES:
        try:
            classifier = classifier_of(**changes)
        except (RecipeError, ValueError) as error:
            print(f"{changes}: {error}", file=sys.stderr)
            continue
        yield export_saved_model(classifier, place(), half_svm=True)
    classifier = classifier_of()
    for kind in ("image", "video"):
        for resize in ("squeeze", "crop", "pad"):
            views = Views((8, 8), resize=resize, **CROPPED)
            yield export_saved_model(classifier, place(), views, kind, valid_output=True)
    flow = Views((8, 8), modality="flow", **CROPPED)
    yield export_saved_model(classifier, place(), flow, "video")
    for valid in (False, True):
        yield export_fused([classifier, classifier], place(), [Views((8, 8)), flow], valid_output=valid)
    old = classifier.encoder
    compression = GramPCA(2, normalization="l2", name="compression")
    compression.adapt(np.random.default_rng(0).normal(size=(8, old.output_dim)).astype("float32"))
    encoder = FisherEncoder(old.descriptors, old.head, old.normalization, old.backbone, compression)
    encoder.build((None, 8, 8, 3))
    yield export_saved_model(build_classifier(encoder, ["a", "b"]), place())
    keras.config.set_dtype_policy("mixed_float16")
    yield export_saved_model(classifier_of(), place())
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield export_saved_model(classifier_of(), place())
    keras.config.set_dtype_policy("float32")


def held(path):
    """All operations of a SavedModel, but for calls by name and those of its saver."""
    content = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    found = operations._unknown(content).keys()
    assert not found & operations.FILE_OPERATIONS, path
    return found


def of_network(name):
    """Operations of a network of the table."""
    side = SIZES.get(name, SIZE)
    return of_backbone(build_backbone(name, None, (side, side)))


def of_hub():
    """Operations of KerasHub's networks, where it is installed."""
    if importlib.util.find_spec("keras_hub") is None:
        print("KerasHub is not installed: its networks are left out", file=sys.stderr)
        return set()
    return set().union(
        *(of_backbone(build_backbone(build(), None, (HUB_SIZE, HUB_SIZE))) for build in HUB_NETWORKS.values())
    )


def of_backbone(backbone):
    """Operations of a backbone, as an export runs it."""
    function = tf.function(lambda images: backbone(images, training=False), autograph=False)
    graph = function.get_concrete_function(tf.TensorSpec(backbone.input.shape)).graph.as_graph_def()
    nodes = [*graph.node, *(node for one in graph.library.function for node in one.node_def)]
    keras.backend.clear_session()
    return {node.op for node in nodes} - {one.signature.name for one in graph.library.function}


def main():
    operations.KNOWN_OPERATIONS = frozenset()
    with tempfile.TemporaryDirectory() as folder:
        found = set().union(*(held(path) for path in exports(Path(folder))))
    print(f"{len(found)} of exports", file=sys.stderr)
    for name in NETWORKS:
        found |= of_network(name)
    found |= of_hub()
    names = "".join(f'        "{name}",\n' for name in sorted(found))
    FILE.write_text(
        f'"""Written by `python -m tests.support.operations`: operations of TensorFlow that exports hold."""\n\n'
        f"KNOWN_OPERATIONS = frozenset(\n    {{\n{names}    }}\n)\n"
    )


if __name__ == "__main__":
    main()
