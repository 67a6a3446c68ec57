"""A trained classifier as a SavedModel: image bytes in, scores and labels or Fisher vectors out."""

import os
import shutil
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from keras_fvvae.data.decoding import decode_image, resize_image
from keras_fvvae.errors import RunError
from keras_fvvae.files import reason

TOP_K = 5


def export_saved_model(classifier, directory, resize="squeeze", version=None, top_k=TOP_K):
    """Writes `directory/<version>/`, a SavedModel that runs without this library and without Keras.

    Both signatures take `image: string[N]`, JPEG, PNG, WebP, BMP or GIF bytes, decoded and resized in the graph as in
    training, and return float32:

        serving_default  scores [N, classes]: decision values of the SVM, not probabilities;
                         labels string [N, k] and label_scores [N, k]: the k best classes, best first
        encode           fisher_vector [N, C * (latent_dim + 1)]: unit length

    Args:
        classifier: a built `keras_fvvae.models.Classifier`.
        directory: parent of the version folders, as TensorFlow Serving watches it.
        resize: how images are brought to the input size; must be that of the training.
        version: positive integer. Default: one above the highest there.
        top_k: labels returned per image; at most the number of classes.

    Returns:
        Path of the version folder. It is written beside and renamed, so a server never sees half of it.

    Raises:
        RunError: if the version exists already or the folder cannot be written.
    """
    directory = Path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        target = directory / str(_next_version(directory) if version is None else version)
        if target.exists():
            raise RunError(f"{target} exists; served versions are never replaced. Choose another --version.")
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=directory))
    except OSError as error:
        raise RunError(f"The export folder {directory} cannot be written: {reason(error)}.") from error
    try:
        _archive(classifier, resize, top_k).write_out(str(partial / "model"), verbose=False)
        os.replace(partial / "model", target)
    except OSError as error:
        raise RunError(f"The export to {target} failed: {reason(error)}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _archive(classifier, resize, top_k):
    size = tuple(classifier.encoder.backbone.input.shape[1:3])
    names = tf.constant(classifier.class_names)
    count = min(top_k, len(classifier.class_names))

    def images(contents):
        # map_fn keeps dimension 0 the number of requests' examples, which TensorFlow Serving's batching needs.
        return tf.map_fn(
            lambda one: tf.ensure_shape(resize_image(decode_image(one), size, resize), (*size, 3)),
            contents,
            fn_output_signature=tf.TensorSpec((*size, 3), tf.float32),
        )

    def classify(image):
        scores = tf.cast(classifier(images(image), training=False), tf.float32)
        best = tf.math.top_k(scores, count)
        return {"scores": scores, "labels": tf.gather(names, best.indices), "label_scores": best.values}

    def encode(image):
        return {"fisher_vector": tf.cast(classifier.encoder(images(image), training=False), tf.float32)}

    archive = keras.export.ExportArchive()
    archive.track(classifier)
    signature = [tf.TensorSpec((None,), tf.string, name="image")]
    archive.add_endpoint("serving_default", classify, input_signature=signature)
    archive.add_endpoint("encode", encode, input_signature=signature)
    return archive


def _next_version(directory):
    return 1 + max((int(path.name) for path in directory.iterdir() if path.name.isdigit()), default=0)
