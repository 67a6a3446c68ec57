"""A tiny SavedModel whose vectors are an image's pixels, and an index of eight files."""

import hashlib

import numpy as np
import tensorflow as tf

from keras_fvvae.export.saved_model import _tell
from keras_fvvae.search import Index
from keras_fvvae.serving.searching.encoders import ENCODER, encoder_text
from tests.serving.conftest import _images, _labelled, save

DIGEST, OTHER_DIGEST = "1" * 64, "2" * 64
ENCODING = {"model": DIGEST, "kind": "image", "views": {"size": [4, 4]}, "raw": False, "dtype": "float32"}
NAMES = [f"{color}/{number}.png" for color in ("red", "green") for number in range(4)]


class SearchModel(tf.Module):
    """Vectors are the pixels of 4x4, of unit length; parts of a cosine are those of its cells."""

    def __init__(self):
        super().__init__()
        self.names = tf.constant(["red", "green", "blue"])

    @staticmethod
    def _vectors(image):
        return tf.math.l2_normalize(tf.reshape(_images(image), (-1, 48)), axis=1)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image")])
    def serve(self, image):
        return _labelled(tf.reduce_mean(_images(image), (1, 2)) / 255, self.names)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image")])
    def encode(self, image):
        return {"fisher_vector": self._vectors(image)}

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.string, name="image"),
            tf.TensorSpec((None, 48), tf.float32, name="match"),
        ]
    )
    def explain_match(self, image, match):
        parts = tf.reshape(self._vectors(image) * tf.math.l2_normalize(match, axis=1), (-1, 4, 4, 3))
        maps = tf.reduce_sum(parts, axis=-1)
        cosine = tf.reduce_sum(maps, (1, 2))
        return {"contributions": maps, "constant": tf.zeros_like(cosine), "similarity": cosine}

    def signatures(self):
        return {"serving_default": self.serve, "encode": self.encode, "explain_match": self.explain_match}


def save_search_model(path, digest=DIGEST):
    """Writes it as a version that tells its encoder."""
    save(SearchModel(), path)
    _tell(path / "saved_model.pb", ENCODER, encoder_text(digest, "image", {"size": [4, 4]}))
    return path


def noisy_png(color, seed, size=(6, 5)):
    """An image of about one colour."""
    noise = np.random.default_rng(seed).integers(0, 60, (*size, 3))
    return tf.io.encode_png(np.minimum(np.array(color) + noise, 255).astype("uint8")).numpy()


def vectors_of(contents):
    model = SearchModel()  # its functions hold it weakly
    return model.encode(tf.constant(contents))["fisher_vector"].numpy()


def build_index(path, folder, encoding=ENCODING, **options):
    """An index of the files in a folder."""
    contents = [(folder / name).read_bytes() for name in NAMES]
    return Index.build(
        path,
        vectors_of(contents),
        NAMES,
        [name.split("/")[0] for name in NAMES],
        [str(folder / name) for name in NAMES],
        [hashlib.sha256(content).hexdigest() for content in contents],
        encoding=encoding,
        model="a run",
        **options,
    )


def write_files(folder):
    for seed, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noisy_png((190, 10, 10) if name.startswith("red") else (10, 190, 10), seed))
    return folder
