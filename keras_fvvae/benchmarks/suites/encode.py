"""Encoding against the bare backbone: from image files, and from cached activations."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from keras_fvvae.benchmarks.harness.bare_pipeline import bare_pipeline
from keras_fvvae.benchmarks.harness.images import as_collection, image_paths
from keras_fvvae.benchmarks.harness.rounds import time_rounds, time_rows
from keras_fvvae.builders.encoders import build_encoder
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data import resize_image, view_batches
from keras_fvvae.models import FisherEncoder
from keras_fvvae.recipes import load_recipe
from keras_fvvae.training.inputs.activations import ActivationInputs

if TYPE_CHECKING:
    from keras_fvvae.recipes import Recipe

BARE = "bare backbone, images in memory"
FROM_FILES = "Fisher vectors from image files"
AVERAGES = "averages of the maps from image files"
IN_BFLOAT16 = "the same, backbone in bfloat16"
CACHED = "Fisher vectors from cached activations"
BOUND = "bound: bare reading, backbone, the encoder's matrix products"
# At least 0.9 of the bare backbone's images a second; 0.75 with a light backbone and what costs nothing beside it.
TARGET = {FROM_FILES: 1 / 0.9, AVERAGES: 1 / 0.75}


def measure(rounds: int, networks: Sequence[dict], batch_size: int, data: str | None = None) -> list[dict]:
    """Rows for every one of `networks`: dictionaries of `backbone`, `tap`, `size`, `descriptors`, `images` and
    perhaps `options` of the backbone and other `settings` of the recipe."""
    rows = []
    for network in networks:
        recipe = load_recipe(
            "image_folder",
            backbone=network["backbone"],
            backbone_options=network.get("options", {}),
            tap=network["tap"],
            input_size=[network["size"], network["size"]],
            descriptors=network["descriptors"],
            **network.get("settings", {}),
        )
        with tempfile.TemporaryDirectory() as folder:
            paths = image_paths(data, Path(folder) / "images", network["images"])
            rows += encode_rows(recipe, paths, rounds, batch_size, Path(folder) / "cache")
    return rows


def encode_rows(
    recipe: Recipe, paths: Sequence[str], rounds: int, batch_size: int, cache: Path, bfloat16: bool = False
) -> list[dict]:
    """Rows of one recipe on image files, with random weights.

    Args:
        recipe: a `Recipe`.
        paths: of the images.
        rounds, batch_size: how often, and of how many images.
        cache: the folder of the cached activations.
        bfloat16: also with the backbone in bfloat16, against the bare one in float32.
    """
    backbone = build_recipe_backbone(recipe, None)
    model = build_fvvae(recipe.replace(lambda3=0.0), backbone, None)
    encoder = build_encoder(recipe.replace(information="none"), backbone, model)
    averages = build_encoder(recipe.replace(representation="ave", vector_normalization="usual"), backbone)
    collection, indices, views = as_collection(paths), np.arange(len(paths)), recipe_views(recipe)
    inputs = ActivationInputs(collection, recipe, backbone, cache)
    inputs.prepare(verbose=0)
    decoded = [batch["views"] for batch in view_batches(collection, indices, views, batch_size)]
    cached = FisherEncoder(encoder.descriptors, encoder.head, encoder.normalization)

    def normalised(source, batches):
        for batch in batches:
            source.normalize_on_batch(source.predict_raw_on_batch(batch))

    def from_files(source=encoder):
        normalised(source, (b["views"] for b in view_batches(collection, indices, views, batch_size)))

    def bound():
        for batch in bare_reading(paths, views.size, batch_size):
            backbone.predict_on_batch(batch)
            products()

    products = _products(model.fvvae, batch_size, encoder.descriptors.output_shape[1])
    jobs = {
        BARE: lambda: [backbone.predict_on_batch(batch) for batch in decoded],
        FROM_FILES: from_files,
        AVERAGES: lambda: from_files(averages),
        CACHED: lambda: normalised(cached, (maps for maps, _ in inputs.batches(indices))),
        BOUND: bound,
    }
    if bfloat16:
        half = build_recipe_backbone(recipe.replace(precision="bfloat16"), None)
        in_bfloat16 = build_encoder(recipe.replace(information="none"), half, model)
        jobs[IN_BFLOAT16] = lambda: from_files(in_bfloat16)
    return time_rows(time_rounds(jobs, rounds), BARE, "ms an image", len(paths), network_name(recipe), TARGET)


def bare_reading(paths: Sequence[str], size: tuple[int, int], batch_size: int) -> tf.data.Dataset:
    """`tf.data` of files, read, decoded and resized by TensorFlow's operations alone."""

    def read(path):
        return resize_image(tf.io.decode_jpeg(tf.io.read_file(path), channels=3), size)

    return bare_pipeline([str(path) for path in paths], read, batch_size)


def _products(layer, batch_size, count):
    """The matrix products of a batch's raw Fisher vectors, and nothing between them."""
    rows = batch_size * count
    dense = [
        (tf.random.normal((rows, d.kernel.shape[0])), tf.random.normal(d.kernel.shape)) for d in layer.coder_layers
    ]
    gradient = tf.random.normal((batch_size, layer.decoder.units, count))
    extended = tf.random.normal((batch_size, count, layer.latent_dim + 1))

    @tf.function(autograph=False)
    def products():
        results = [inputs @ kernel for inputs, kernel in dense]
        # Single entries, or the graph would leave the products out.
        return [result[0, 0] for result in results], (gradient @ extended)[0, 0, 0]

    return lambda: products()[1].numpy()


def network_name(recipe: Recipe) -> str:
    """Backbone, its options, tap and input size in a few words."""
    options = [f"{name}={value}" for name, value in recipe.backbone_options.items()]
    return " ".join(filter(None, [recipe.backbone, *options, recipe.tap, "x".join(map(str, recipe.input_size))]))
