"""Checks a SavedModel where it will live: in a process that has neither this library nor Keras."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from keras_fvvae.data import Collection
from keras_fvvae.errors import RunError
from keras_fvvae.models import Classifier
from keras_fvvae.utils.fresh_process import run_isolated

# Largest difference of decision values between Keras and the SavedModel that rounding explains in float32.
TOLERANCE = 1e-3

# Runs isolated (-I); both libraries are barred, should they be installed.
_SCRIPT = """
import sys
sys.modules["keras_fvvae"] = sys.modules["keras"] = None
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
contents = np.load(sys.argv[2])
offsets = contents["offsets"]
data = contents["data"].tobytes()
images = tf.constant([data[start:end] for start, end in zip(offsets[:-1], offsets[1:])])
outputs = model.signatures["serving_default"](image=images)
np.savez(sys.argv[3], **{name: value.numpy() for name, value in outputs.items() if value.dtype == tf.float32})
"""


def scores_in_fresh_process(saved_model: str | os.PathLike, contents: list[bytes]) -> np.ndarray:
    """Scores of a SavedModel's `serving_default`, computed in a fresh process without keras_fvvae and Keras.

    Args:
        saved_model: the version folder.
        contents: list of encoded images, bytes.

    Returns:
        float32 array `(len(contents), classes)`.

    Raises:
        RunError: if the process fails, with its last line of output.
    """
    arrays = {"offsets": np.cumsum([0, *map(len, contents)]), "data": np.frombuffer(b"".join(contents), "uint8")}

    def failure(last):
        return f"The SavedModel {saved_model} does not run: {last}"

    return run_isolated(["-c", _SCRIPT, saved_model], arrays, failure)["scores"]


def encoded_images(collection: Collection, indices: Iterable[int]) -> list[bytes]:
    """The encoded bytes of images; pixels of a collection of arrays are encoded as PNG, which is lossless."""
    contents = (collection.read(int(index)) for index in indices)
    return [tf.io.encode_png(one).numpy() if isinstance(one, np.ndarray) else one for one in contents]


def require_same_scores(saved_model: str | os.PathLike, classifier: Classifier, images: Collection) -> float:
    """The largest difference between the scores of a SavedModel in a fresh process and those of Keras here.

    Args:
        saved_model: the version folder that the classifier was exported to.
        classifier: from `keras_fvvae.zoo.load_classifier`, of a run.
        images: a `Collection`.

    Raises:
        RunError: if the difference is more than rounding explains in float32, or the process fails.
    """
    served = scores_in_fresh_process(saved_model, encoded_images(images, range(len(images))))
    difference = float(np.abs(served - classifier.classify(images)[1]).max())
    if not difference <= TOLERANCE:
        raise RunError(f"The scores of {saved_model} differ from Keras's by {difference:.2g}.")
    return difference
