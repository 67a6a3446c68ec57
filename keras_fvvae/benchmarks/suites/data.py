"""The image pipeline, with both decoders, against bare decoding of the same bytes by the same threads."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_fvvae.benchmarks.harness.bare_pipeline import bare_pipeline
from keras_fvvae.benchmarks.harness.images import SIZE, as_collection, image_paths
from keras_fvvae.benchmarks.harness.rounds import time_rounds, time_rows
from keras_fvvae.data import Views, view_batches

BARE = "bare tf.io.decode_jpeg, bytes in memory"
RESIZED = "the same, and tf.image.resize"
EXACT, FAST = "image pipeline, from files to batches", "the same, decoder: fast"
# The whole pipeline takes at most so many times the time of decoding, of pictures of ImageNet's size.
TARGET = {EXACT: 3.0}


def measure(
    rounds: int, images: int, size: int, batch_size: int, large: Sequence[int], data: str | None = None
) -> list[dict]:
    """Rows of `view_batches` and of decoding with and without resizing; views are of `size` x `size` pixels.

    Args:
        rounds, images, size, batch_size: how often, how many, and how they are read.
        large: height and width of further pictures, one for 25 of the others, as a camera takes them; they are made.
        data: folder of images for the first rows. Default: made ones.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = image_paths(data, Path(folder) / "usual", images)
        sides = "x".join(map(str, SIZE[::-1]))
        rows = _rows(paths, rounds, size, batch_size, f"{sides} to {size}x{size}" if data is None else "", TARGET)
        height, width = large
        paths = image_paths(None, Path(folder) / "large", max(1, images // 25), (height, width))
        return rows + _rows(paths, rounds, size, batch_size, f"{width}x{height} to {size}x{size}")


def _rows(paths, rounds, size, batch_size, case, target=None):
    collection, contents = as_collection(paths), [Path(path).read_bytes() for path in paths]

    def decode(content):
        return tf.io.decode_jpeg(content, channels=3)

    def batches(decoder):
        return view_batches(collection, np.arange(len(paths)), Views((size, size), decoder=decoder), batch_size)

    datasets = {
        BARE: bare_pipeline(contents, decode),
        RESIZED: bare_pipeline(
            contents, lambda content: tf.image.resize(decode(content), (size, size), antialias=True)
        ),
        EXACT: batches("exact"),
        FAST: batches("fast"),
    }
    jobs = {name: lambda dataset=dataset: sum(1 for _ in dataset) for name, dataset in datasets.items()}
    return time_rows(time_rounds(jobs, rounds), BARE, "ms an image", len(paths), case, target)
