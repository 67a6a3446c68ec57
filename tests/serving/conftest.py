"""Tiny SavedModels of images, videos and numbers, and a server of them for each module."""

import importlib.util
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf

EXTRA = ("uvicorn", "starlette", "h11", "prometheus_client", "orjson", "tensorflow_serving")


def pytest_collection_modifyitems(items):
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if not missing:
        return
    skip = pytest.mark.skip(reason=f"needs {', '.join(missing)} of the extra: pip install keras_fvvae[serving]")
    for item in items:
        if "tests/serving" in item.nodeid:
            item.add_marker(skip)


def _images(strings):
    return tf.map_fn(
        lambda one: tf.ensure_shape(
            tf.image.resize(tf.io.decode_image(one, channels=3, expand_animations=False), (4, 4)), (4, 4, 3)
        ),
        strings,
        fn_output_signature=tf.TensorSpec((4, 4, 3), tf.float32),
    )


def _labelled(scores, names):
    best = tf.math.top_k(scores, 2)
    return {"scores": scores, "labels": tf.gather(names, best.indices), "label_scores": best.values}


class ImageModel(tf.Module):
    """Scores are the means of red, green and blue, divided by 255."""

    def __init__(self):
        super().__init__()
        self.names = tf.constant(["red", "green", "blue"])

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image")])
    def serve(self, image):
        return _labelled(tf.reduce_mean(_images(image), (1, 2)) / 255, self.names)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image")])
    def encode(self, image):
        return {"fisher_vector": tf.reshape(_images(image), (-1, 48))}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image")])
    def explain(self, image):
        parts = _images(image) / 255 / 16
        best = tf.argmax(tf.reduce_sum(parts, (1, 2)), axis=-1)
        return {
            "contributions": tf.gather(parts, best, axis=3, batch_dims=1),
            "label": tf.gather(self.names, best),
        }

    def signatures(self):
        return {"serving_default": self.serve, "encode": self.encode, "explain": self.explain}


class VideoModel(tf.Module):
    """Scores as for images, averaged over the frames that count."""

    def __init__(self):
        super().__init__()
        self.names = tf.constant(["red", "green", "blue"])

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None), tf.string, name="frames"),
            tf.TensorSpec((None,), tf.int32, name="num_frames"),
        ]
    )
    def serve(self, frames, num_frames):
        shape = tf.shape(frames)
        mask = tf.sequence_mask(num_frames, shape[1])
        pixels = _images(tf.reshape(tf.where(mask, frames, frames[:, :1]), (-1,)))
        means = tf.reshape(tf.reduce_mean(pixels, (1, 2)) / 255, (shape[0], shape[1], 3))
        weights = tf.cast(mask, tf.float32)[:, :, tf.newaxis]
        return _labelled(tf.reduce_sum(means * weights, 1) / tf.reduce_sum(weights, 1), self.names)

    def signatures(self):
        return {"serving_default": self.serve}


class NumberModel(tf.Module):
    """Multiplies by a factor; `slow` takes as many rounds of work as it is told."""

    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = tf.Variable(factor)

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    def serve(self, x):
        return {"y": x * self.factor}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32, name="rounds")])
    def slow(self, rounds):
        matrix = tf.eye(256) * 0.5
        for _ in tf.range(tf.reduce_max(rounds)):
            matrix = matrix @ matrix * 0.5 + tf.eye(256) * 0.25  # stays below 0.5
        return {"y": tf.cast(rounds, tf.float32) * self.factor + 0 * matrix[0, 0]}

    @tf.function(
        input_signature=[tf.TensorSpec((None,), tf.int64, name="ids"), tf.TensorSpec((), tf.bool, name="flag")]
    )
    def mixed(self, ids, flag):
        return {"ids": tf.where(flag, ids, -ids), "name_bytes": tf.fill(tf.shape(ids), b"\xff\x00")}

    def signatures(self):
        return {"serving_default": self.serve, "slow": self.slow, "mixed": self.mixed}


def save(module, path):
    """Writes a module with its signatures."""
    tf.saved_model.save(module, str(path), signatures=module.signatures())
    return path


def png(color, size=(6, 5)):
    """An image of one colour as PNG bytes."""
    return tf.io.encode_png(np.full((*size, 3), color, np.uint8)).numpy()


def bomb(side=20_000):
    """A PNG that claims `side` squared pixels in a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory):
    """Folder with the models `images`, `videos` and `numbers`, one version each."""
    folder = tmp_path_factory.mktemp("models")
    save(ImageModel(), folder / "images" / "1")
    save(VideoModel(), folder / "videos" / "1")
    save(NumberModel(), folder / "numbers" / "1")
    return folder


@pytest.fixture(scope="session")
def number_versions(tmp_path_factory):
    """Dictionary from factor to a SavedModel of numbers, to be copied into version folders."""
    folder = tmp_path_factory.mktemp("versions")
    return {factor: save(NumberModel(float(factor)), folder / str(factor)) for factor in (1, 2, 3)}


@pytest.fixture(scope="session")
def search_model(tmp_path_factory):
    """Folder with version 1 of a model whose vectors are searched."""
    from tests.serving.searching.model import save_search_model

    return save_search_model(tmp_path_factory.mktemp("searched") / "colors" / "1").parent


@pytest.fixture(scope="session")
def indexed_files(tmp_path_factory):
    """Folder of eight images."""
    from tests.serving.searching.model import write_files

    return write_files(tmp_path_factory.mktemp("colors"))


@pytest.fixture(scope="session")
def index(indexed_files, tmp_path_factory):
    """Their index."""
    from tests.serving.searching.model import build_index

    return build_index(tmp_path_factory.mktemp("indexes") / "colors", indexed_files)


@pytest.fixture(scope="module")
def server(saved_models):
    """A running server of the three models on free ports, with tight limits."""
    from keras_fvvae.serving import ModelConfig, Server, ServerSettings

    models = [
        ModelConfig(name, str(saved_models / name), labels={"stable": 1}) for name in ("images", "videos", "numbers")
    ]
    settings = ServerSettings(
        port=0,
        grpc_port=0,
        max_request_bytes=2 << 20,
        max_pixels=10_000,
        max_queued=40,
        max_batch_size=8,
        max_images=32,
        workers=2,
        receive_timeout=0.6,
        request_timeout=20.0,
        stop_timeout=2.0,
        poll_interval=0.1,
    )
    with Server(models, settings).running() as running:
        yield running
