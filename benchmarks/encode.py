"""Encoding against the bare backbone: from image files, and from cached activations.

    python benchmarks/encode.py [--data DIR] [--backbone VGG19] [--tap conv5_4] [--size 448] [--descriptors dense]

Every row is a ratio in one run: rounds are interleaved in random order, and medians are taken. The ratio of CPU times
says what the work costs where other programs disturb the clock. Without --data, JPEG files of 500x375 pixels are made.
Weights are random: they do not change the speed.
"""

import argparse
import json
import platform
import random
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_fvvae.building import build_fvvae, build_recipe_backbone
from keras_fvvae.data import Collection, view_batches
from keras_fvvae.encoders import build_encoder
from keras_fvvae.models import FisherEncoder
from keras_fvvae.recipes import load_recipe
from keras_fvvae.tasks.inputs import ActivationInputs, backbone_batch_size, recipe_views


def main():
    """Prints a table and writes it as JSON."""
    arguments = _arguments()
    recipe = load_recipe(
        "image_folder",
        backbone=arguments.backbone,
        tap=arguments.tap or None,
        input_size=[arguments.size, arguments.size],
        descriptors=arguments.descriptors,
    )
    backbone = build_recipe_backbone(recipe, None)
    model = build_fvvae(recipe.replace(lambda3=0.0), backbone, None)
    encoder = build_encoder(recipe.replace(information="none"), backbone, model)
    with tempfile.TemporaryDirectory() as folder:
        paths = _images(arguments, Path(folder))
        collection = Collection(paths, paths, [0] * len(paths), ["test"] * len(paths), ["a", "b"])
        inputs = ActivationInputs(collection, recipe, backbone, Path(folder) / "cache")
        inputs.prepare(verbose=0)
        indices = np.arange(len(paths))
        batch_size = backbone_batch_size(recipe.input_size)
        views = recipe_views(recipe)
        decoded = [b["views"] for b in view_batches(collection, indices, views, batch_size)]
        cached = FisherEncoder(encoder.descriptors, encoder.head, encoder.normalization)

        def normalised(source, batches):
            for batch in batches:
                keras.ops.convert_to_numpy(source.normalization(source.predict_raw_on_batch(batch)))

        jobs = {
            "bare backbone, images in memory": lambda: [backbone.predict_on_batch(b) for b in decoded],
            "Fisher vectors from image files": lambda: normalised(
                encoder, (b["views"] for b in view_batches(collection, indices, views, batch_size))
            ),
            "Fisher vectors from cached activations": lambda: normalised(
                cached, (maps for maps, _ in inputs.batches(indices))
            ),
        }
        seconds, cpu_seconds = _measure(jobs, len(paths), arguments.rounds)
    _report(arguments, recipe, seconds, cpu_seconds, len(paths))


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of images, searched in depth; default: made for the run")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbone", default="VGG19")
    parser.add_argument("--tap", default="conv5_4", help="empty for the last convolutional stage")
    parser.add_argument("--size", type=int, default=448)
    parser.add_argument("--descriptors", default="dense", choices=("dense", "spp"))
    parser.add_argument("--out", help="JSON file to write the result to")
    return parser.parse_args()


def _images(arguments, folder):
    if arguments.data:
        paths = sorted(Path(arguments.data).rglob("*.jpg"))
        return [str(path) for path in paths[:: max(1, len(paths) // arguments.images)][: arguments.images]]
    generator = np.random.default_rng(0)
    for index in range(arguments.images):
        coarse = generator.integers(0, 255, (24, 32, 3)).astype("float32")
        image = tf.cast(tf.image.resize(coarse, (375, 500), method="bicubic"), tf.uint8)
        (folder / f"{index:04d}.jpg").write_bytes(tf.io.encode_jpeg(image).numpy())
    return [str(path) for path in sorted(folder.glob("*.jpg"))]


def _measure(jobs, count, rounds):
    seconds, cpu_seconds = ({name: [] for name in jobs} for _ in range(2))
    for name in jobs:
        jobs[name]()  # compiles
    for _ in range(rounds):
        for name in random.sample(list(jobs), len(jobs)):
            start, cpu_start = time.perf_counter(), time.process_time()
            jobs[name]()
            seconds[name].append((time.perf_counter() - start) / count)
            cpu_seconds[name].append((time.process_time() - cpu_start) / count)
    return seconds, cpu_seconds


def _report(arguments, recipe, seconds, cpu_seconds, count):
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    cpu_medians = {name: statistics.median(values) for name, values in cpu_seconds.items()}
    bare = next(iter(medians))
    rows = [
        {
            "what": name,
            "seconds_per_image": medians[name],
            "fastest": min(seconds[name]),
            "slowest": max(seconds[name]),
            "cpu_seconds_per_image": cpu_medians[name],
            "time_ratio": medians[name] / medians[bare],
            "cpu_time_ratio": cpu_medians[name] / cpu_medians[bare],
        }
        for name in seconds
    ]
    print(
        f"{recipe.backbone} {recipe.tap or ''} {arguments.size}x{arguments.size}, {recipe.descriptors} descriptors, "
        f"{count} images, {arguments.rounds} rounds; TensorFlow {tf.__version__}, {platform.machine()} CPU, "
        f"{len(tf.config.list_logical_devices('GPU'))} GPU\n"
    )
    print("| what | ms per image (fastest - slowest) | ratio to the bare backbone | the same, CPU time |")
    print("| --- | --- | --- | --- |")
    for row in rows:
        low, middle, high = (1000 * row[key] for key in ("fastest", "seconds_per_image", "slowest"))
        print(
            f"| {row['what']} | {middle:.1f} ({low:.1f} - {high:.1f}) | {row['time_ratio']:.3f} | "
            f"{row['cpu_time_ratio']:.3f} |"
        )
    if arguments.out:
        Path(arguments.out).write_text(json.dumps({"arguments": vars(arguments), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
