"""The exported classifier against the exported bare backbone, both called in this process with encoded images."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from keras_fvvae.benchmarks.harness.images import image_paths
from keras_fvvae.benchmarks.harness.rounds import time_rounds, time_rows
from keras_fvvae.benchmarks.suites.encode import network_name
from keras_fvvae.builders.encoders import build_classifier, build_encoder
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data import decode_image, resize_image
from keras_fvvae.export import export_saved_model
from keras_fvvae.recipes import load_recipe

BARE = "SavedModel of the bare backbone"
OURS = "SavedModel of encoder and SVM"


def measure(rounds: int, networks: Sequence[dict], classes: int, data: str | None = None) -> list[dict]:
    """Rows for every one of `networks`: dictionaries of `backbone`, `tap`, `size`, `descriptors` and `images`."""
    rows = []
    for network in networks:
        size = (network["size"], network["size"])
        settings = {key: network[key] for key in ("backbone", "tap", "descriptors")}
        recipe = load_recipe("image_folder", input_size=list(size), **settings)
        recipe = recipe.replace(lambda3=0.0, information="none")
        backbone = build_recipe_backbone(recipe, None)
        encoder = build_encoder(recipe, backbone, build_fvvae(recipe, backbone, None))
        classifier = build_classifier(encoder, [f"class {number}" for number in range(classes)])
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            paths = {OURS: export_saved_model(classifier, folder / "whole", recipe_views(recipe))}
            paths[BARE] = export_bare_backbone(backbone, folder / "bare", size)
            images = image_paths(data, folder / "images", network["images"])
            batch = tf.constant([Path(path).read_bytes() for path in images])
            models = {name: tf.saved_model.load(str(path)) for name, path in paths.items()}
            jobs = {name: functools.partial(_call, model, batch) for name, model in models.items()}
            rows += time_rows(time_rounds(jobs, rounds), BARE, "ms an image", len(images), network_name(recipe))
    return rows


def _call(model, batch):
    outputs = model.signatures["serving_default"](image=batch)
    return {name: value.numpy() for name, value in outputs.items()}


def export_bare_backbone(backbone: keras.Model, path: Path, size: tuple[int, int]) -> Path:
    """Writes the SavedModel that an engineer would write for the backbone alone: from JPEG bytes to its mean map."""

    def decoded(contents):
        return tf.map_fn(
            lambda one: tf.ensure_shape(resize_image(decode_image(one), size), (*size, 3)),
            contents,
            fn_output_signature=tf.TensorSpec((*size, 3), tf.float32),
        )

    def serve(image):
        return {"features": tf.reduce_mean(backbone(decoded(image), training=False), axis=(1, 2))}

    archive = keras.export.ExportArchive()
    archive.track(backbone)
    archive.add_endpoint("serving_default", serve, [tf.TensorSpec((None,), tf.string, name="image")])
    archive.write_out(str(path), verbose=False)
    return path
