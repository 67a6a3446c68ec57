"""The image pipeline against bare decoding of the same bytes by the same threads."""

import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_fvvae.benchmarks.harness.bare_pipeline import bare_pipeline
from keras_fvvae.benchmarks.harness.images import as_collection, image_paths
from keras_fvvae.benchmarks.harness.rounds import time_rounds, time_rows
from keras_fvvae.data import Views, resize_image, view_batches

BARE = "bare tf.io.decode_jpeg, bytes in memory"


def measure(rounds: int, images: int, size: int, batch_size: int, data: str | None = None) -> list[dict]:
    """Rows of `view_batches` and of decoding with and without resizing; views are of `size` x `size` pixels."""
    with tempfile.TemporaryDirectory() as folder:
        paths = image_paths(data, folder, images)
        collection, views = as_collection(paths), Views((size, size))
        contents = [Path(path).read_bytes() for path in paths]

        def decode(content):
            return tf.io.decode_jpeg(content, channels=3)

        datasets = {
            BARE: bare_pipeline(contents, decode),
            "the same, resized": bare_pipeline(contents, lambda content: resize_image(decode(content), (size, size))),
            "image pipeline, from files to batches": view_batches(collection, np.arange(len(paths)), views, batch_size),
        }
        jobs = {name: lambda dataset=dataset: sum(1 for _ in dataset) for name, dataset in datasets.items()}
        return time_rows(time_rounds(jobs, rounds), BARE, "ms an image", len(paths))
