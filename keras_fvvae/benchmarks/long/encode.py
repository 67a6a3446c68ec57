"""Encoding against the bare backbone: from image files, and from cached activations.

    python -m keras_fvvae.benchmarks.long.encode [--data DIR] [--backbone VGG19] [--tap conv5_4] \
        [--size 448] [--descriptors dense] [--bfloat16]

The group `encode` of `keras-fvvae benchmark` at any size. Every row is a ratio in one run: rounds are interleaved in
random order. The ratio of CPU times says what the work costs where other programs disturb the clock. Without --data,
JPEG files of 500x375 pixels are made. Weights are random: they do not change the speed.
"""

import argparse
import json
import platform
import tempfile
from pathlib import Path

import tensorflow as tf

from keras_fvvae.benchmarks.harness.images import image_paths
from keras_fvvae.benchmarks.suites.encode import encode_rows
from keras_fvvae.data.batch_sizes import backbone_batch_size
from keras_fvvae.recipes import load_recipe


def main() -> None:
    """Prints a table and writes it as JSON."""
    arguments = _arguments()
    recipe = load_recipe(
        "image_folder",
        backbone=arguments.backbone,
        tap=arguments.tap or None,
        input_size=[arguments.size, arguments.size],
        descriptors=arguments.descriptors,
        latent_dim=arguments.latent_dim,
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = image_paths(arguments.data, Path(folder) / "images", arguments.images)
        batch_size = backbone_batch_size(recipe.input_size)
        rows = encode_rows(recipe, paths, arguments.rounds, batch_size, Path(folder) / "cache", arguments.bfloat16)
    print(
        f"{recipe.backbone} {recipe.tap or ''} {arguments.size}x{arguments.size}, {recipe.descriptors} descriptors, "
        f"{len(paths)} images, {arguments.rounds} rounds; TensorFlow {tf.__version__}, {platform.machine()} CPU, "
        f"{len(tf.config.list_logical_devices('GPU'))} GPU\n"
    )
    print("| what | ms per image (fastest - slowest) | ratio to the bare backbone | the same, CPU time |")
    print("| --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['what']} | {row['median']:.1f} ({row['fastest']:.1f} - {row['slowest']:.1f}) | "
            f"{row['ratio']:.3f} | {row['cpu_ratio']:.3f} |"
        )
    if arguments.out:
        Path(arguments.out).write_text(json.dumps({"arguments": vars(arguments), "rows": rows}, indent=2))


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of images, searched in depth; default: made for the run")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbone", default="VGG19")
    parser.add_argument("--tap", default="conv5_4", help="empty for the last convolutional stage")
    parser.add_argument("--size", type=int, default=448)
    parser.add_argument("--descriptors", default="dense", choices=("dense", "spp"))
    parser.add_argument("--latent-dim", type=int, default=255)
    parser.add_argument("--bfloat16", action="store_true", help="also with the backbone in bfloat16")
    parser.add_argument("--out", help="JSON file to write the result to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
