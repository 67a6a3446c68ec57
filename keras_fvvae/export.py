"""A trained classifier as a SavedModel: bytes of images or frames in, scores and labels or Fisher vectors out."""

import os
import shutil
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from keras_fvvae.data.decoding import decode_image, resize_image
from keras_fvvae.data.views import Views
from keras_fvvae.errors import RunError
from keras_fvvae.files import reason

TOP_K = 5


def export_saved_model(classifier, directory, views=None, kind="image", version=None, top_k=TOP_K):
    """Writes `directory/<version>/`, a SavedModel that runs without this library and without Keras.

    The signatures of a classifier of images take `image: string[N]`, JPEG, PNG, WebP, BMP or GIF bytes. Those of a
    classifier of videos take `frames: string[N, T]`, encoded images of RGB, and `num_frames: int32[N]`: what follows
    after a video's frames is padding, and may hold anything. Both decode, resize and crop in the graph as in training,
    and return float32:

        serving_default  scores [N, classes]: decision values of the SVM, not probabilities;
                         labels string [N, k] and label_scores [N, k]: the k best classes, best first
        encode           fisher_vector [N, C * (latent_dim + 1)]: unit length

    Args:
        classifier: a built `keras_fvvae.models.Classifier`.
        directory: parent of the version folders, as TensorFlow Serving watches it.
        views: `keras_fvvae.data.Views` of the training. Default: the whole image, squeezed to the input size.
        kind: `"image"` or `"video"`.
        version: positive integer. Default: one above the highest there.
        top_k: labels returned per item; at most the number of classes.

    Returns:
        Path of the version folder. It is written beside and renamed, so a server never sees half of it.

    Raises:
        RunError: if the version exists already, the folder cannot be written, or the views are of optical flow, which
            TensorFlow has no ops for.
    """
    views = views or Views(tuple(classifier.encoder.backbone.input.shape[1:3]))
    if views.is_flow:
        raise RunError("A classifier of optical flow cannot be exported: TensorFlow has no op that computes the flow.")
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
        _archive(classifier, views, kind, top_k).write_out(str(partial / "model"), verbose=False)
        os.replace(partial / "model", target)
    except OSError as error:
        raise RunError(f"The export to {target} failed: {reason(error)}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _archive(classifier, views, kind, top_k):
    names = tf.constant(classifier.class_names)
    count = min(top_k, len(classifier.class_names))
    inputs, views_of = _SIGNATURES[kind]

    def classify(*arguments):
        pixels, mask = views_of(views, *arguments)
        scores = tf.cast(classifier(pixels, mask=mask, training=False), tf.float32)
        best = tf.math.top_k(scores, count)
        return {"scores": scores, "labels": tf.gather(names, best.indices), "label_scores": best.values}

    def encode(*arguments):
        pixels, mask = views_of(views, *arguments)
        return {"fisher_vector": tf.cast(classifier.encoder(pixels, mask=mask, training=False), tf.float32)}

    archive = keras.export.ExportArchive()
    archive.track(classifier)
    archive.add_endpoint("serving_default", classify, input_signature=inputs)
    archive.add_endpoint("encode", encode, input_signature=inputs)
    return archive


def _image_views(views, image):
    """`(N, *size, 3)`, or `(N, crops, *size, 3)` where there are several crops, whose raw vectors are averaged."""
    pixels = views.crop(_decoded(image, views))
    crops = views.per_item("image")
    return pixels if crops == 1 else tf.reshape(pixels, (-1, crops, *views.size, 3)), None


def _video_views(views, frames, num_frames):
    """`(N, T * crops, *size, 3)` and the mask of what is not padding."""
    frame_count = tf.shape(frames)[1]
    mask = tf.sequence_mask(num_frames, frame_count)
    # Padding may be anything, an empty string too: the first frame stands in its place and is masked.
    contents = tf.where(mask, frames, frames[:, :1])
    pixels = views.crop(_decoded(tf.reshape(contents, (-1,)), views))
    crops = views.per_item("image")
    pixels = tf.reshape(pixels, (-1, frame_count * crops, *views.size, 3))
    return pixels, tf.repeat(mask, crops, axis=1)


def _decoded(contents, views):
    # map_fn keeps dimension 0 the number of requests' examples, which TensorFlow Serving's batching needs.
    size = views.resize_to
    return tf.map_fn(
        lambda one: tf.ensure_shape(resize_image(decode_image(one), size, views.resize), (*size, 3)),
        contents,
        fn_output_signature=tf.TensorSpec((*size, 3), tf.float32),
    )


_SIGNATURES = {
    "image": ([tf.TensorSpec((None,), tf.string, name="image")], _image_views),
    "video": (
        [tf.TensorSpec((None, None), tf.string, name="frames"), tf.TensorSpec((None,), tf.int32, name="num_frames")],
        _video_views,
    ),
}


def _next_version(directory):
    return 1 + max((int(path.name) for path in directory.iterdir() if path.name.isdigit()), default=0)
