"""A trained classifier as a SavedModel: bytes of images or frames in, scores, vectors and their explanation out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_fvvae.data.views import Views
from keras_fvvae.errors import RunError
from keras_fvvae.export.card import served_card
from keras_fvvae.export.inputs import FrameInput
from keras_fvvae.export.labels import write_labels
from keras_fvvae.export.places import version_folder
from keras_fvvae.export.signatures import Endpoints, ServedStream
from keras_fvvae.export.warmup import write_warmup
from keras_fvvae.serving.probabilities import CALIBRATION, calibration_text
from keras_fvvae.serving.sampling import SAMPLING, Sampling, sampling_text
from keras_fvvae.serving.searching.encoders import ENCODER, encoder_text
from keras_fvvae.serving.version_folders import require_export_folder
from keras_fvvae.utils.prediction_logs import WARMUP_FILE
from keras_fvvae.utils.text import to_bytes

if TYPE_CHECKING:
    from keras_fvvae.models import Classifier
    from keras_fvvae.recipes import Recipe
    from keras_fvvae.svm.calibration import Calibration

TOP_K = 5


def export_saved_model(
    classifier: Classifier,
    directory: str | os.PathLike,
    views: Views | None = None,
    kind: str = "image",
    version: int | None = None,
    top_k: int = TOP_K,
    *,
    recipe: Recipe | None = None,
    notes: Sequence[str] = (),
    coverage: float | None = None,
    **options: Any,
) -> Path:
    """Writes `directory/<version>/`, a SavedModel that runs without this library and without Keras.

    A classifier of images takes `image: string[N]`: JPEG, PNG, WebP, BMP or GIF bytes. A classifier of videos takes
    `frames: string[N, T]`, encoded images of RGB, and `num_frames: int32[N]`: what follows after a video's frames is
    padding, and may hold anything. One of optical flow takes `flow_frames`, encoded images of x, y and magnitude as
    `keras_fvvae.data.readers.flow.flow_image` makes them, and `num_flow_frames`. All decode, resize and crop in the
    graph as in training. Dimension 0 is the number of examples everywhere, numbers come out as float32, and nothing is
    random:

        serving_default  scores [N, classes]: decision values of the SVM, not probabilities;
                         labels string [N, k] and label_scores [N, k]: the k best classes, best first. Of a calibrated
                         classifier probabilities [N, classes] and label_probabilities [N, k] as well, and with
                         `coverage` answer string [N]: the best label, empty for "none of these"
        classify_pixels  takes pixels uint8 [N, H, W, 3], of videos [N, T, H, W, 3] and num_frames, of any height and
                         width: RGB of callers that decode themselves; answers as serving_default. Of RGB only
        encode           fisher_vector [N, dimension]: unit length
        encode_raw       raw_sum [N, ...], for Fisher vectors [N, C, latent_dim + 1]: sums of raw vectors over an
                         example's frames (and crops), and count [N] of these. Both may be added up over the pieces of
                         a long video
        classify_raw     takes raw_sum and count, and answers as serving_default
        explain          contributions [N, H, W], of videos [N, T, H, W]: parts of the best label's score on a map of
                         the resized picture; they and bias [N] add up to score [N]; label string [N]. See
                         `keras_fvvae.explanations`; left out for representations whose score is not split, and for
                         tokens without places
        explain_match    takes match [N, dimension] too, vectors of others from `encode`: contributions as those of
                         `explain`, of the cosine similarity [N]; they and constant [N] add up to it. For the parts of
                         the others exchange the roles; left out where `explain` is, and of two streams

    A model of videos tells in its metadata which frames it was trained on, see `keras_fvvae.serving.sampling`: the
    client and the web page send these.

    `assets/labels.txt` holds the class names, one a line, in the order of the scores; `assets.extra` a card, the recipe
    and one request a signature with which TensorFlow Serving warms up. Undecodable bytes are an error for the whole
    call, unless `valid_output` is set.

    Args:
        classifier: a built `keras_fvvae.models.Classifier`.
        directory: parent of the version folders, as TensorFlow Serving watches it.
        views: `keras_fvvae.data.Views` of the training. Default: the whole image, squeezed to the input size.
        kind: `"image"` or `"video"`.
        version: positive integer. Default: one above the highest there.
        top_k: labels returned per item; at most the number of classes.
        recipe: the `Recipe` of the training, for the card.
        notes: further paragraphs of the card in Markdown, such as measured accuracies.
        coverage: above 0, at most 1: adds the output `answer`, empty where the best label's probability is below the
            threshold that so many items of the classes reach, see `keras_fvvae.svm.calibration.Calibration.threshold`;
            the metadata tell it, see `keras_fvvae.serving.probabilities`.
        **options: `half_svm=True` keeps the SVM's weights in float16, half of the size on disk and in memory; they are
            computed with in float32. `valid_output=True` adds a bool output `valid [N]` to the signatures that decode:
            an example of which an image or a frame cannot be decoded gets a row of NaN and empty labels and is flagged
            with false, and the others their answers. `model_digest` is the SHA-256 of the `model.keras` that the
            classifier was loaded from: the metadata tell it, so that an index of its vectors can be served beside it,
            see `keras_fvvae.serving.searching.encoders`. `check` is called with the folder before it has its name, and
            returns a paragraph of the card; where it raises, nothing is left.

    Returns:
        Path of the version folder. It is written beside and renamed, so a server never sees half of it.

    Raises:
        RunError: if the version exists already, the folder cannot be written, or the views are stacks of flow, for
            which there is no image format.
        WeightsError: for a `coverage` of a classifier without probabilities.
    """
    require_export_folder(directory)
    views = views or Views(tuple(classifier.encoder.backbone.input.shape[1:3]))
    recipes = [] if recipe is None else [recipe]
    streams = [(classifier, views, 1.0)]
    calibration = classifier.calibration if coverage is None else classifier.require_calibration()
    return _export(streams, directory, kind, version, top_k, recipes, notes, calibration, coverage, **options)


def export_fused(
    classifiers: Sequence[Classifier],
    directory: str | os.PathLike,
    views: Sequence[Views],
    weights: Sequence[float] | None = None,
    version: int | None = None,
    top_k: int = TOP_K,
    *,
    recipes: Sequence[Recipe] = (),
    notes: Sequence[str] = (),
    calibration: Calibration | None = None,
    coverage: float | None = None,
    **options: Any,
) -> Path:
    """Writes a two-stream model of videos as one SavedModel, in which the scores are fused.

    It takes `frames` and `num_frames` as well as `flow_frames` and `num_flow_frames`, see `export_saved_model`. The
    scores are the weighted mean of both streams' scores (late fusion). What else a stream gives stands beside the
    other's with the prefix `flow_`: `fisher_vector` and `flow_fisher_vector`, `raw_sum`, `count`, `flow_raw_sum` and
    `flow_count`, `contributions` and `flow_contributions`, which add up to the fused score together with `bias`. There
    are probabilities where `calibration` is given: what the streams' calibrations know of their own scores, they do not
    know of the sum.

    Args:
        classifiers: two built classifiers of the same classes, matched by name; the first gives their order.
        directory: parent of the version folders.
        views: the `Views` of each: one of frames, one of optical flow.
        weights: one number a stream, as for `keras_fvvae.evaluation.fusion.late_fusion`. Default: equal.
        version, top_k, notes, coverage, **options: as for `export_saved_model`.
        recipes: the `Recipe` of each.
        calibration: how the fused scores become probabilities, see
            `keras_fvvae.tasks.fused_calibration.fused_calibration`. Default: they do not.

    Returns:
        Path of the version folder.

    Raises:
        RunError: as `export_saved_model`; for other than one stream of frames and one of flow, and for different
            classes.
        ValueError: for weights that do not go with the streams, and a `coverage` without a `calibration`.
    """
    require_export_folder(directory)
    weights = [1.0] * len(classifiers) if weights is None else [float(weight) for weight in weights]
    if len(weights) != len(classifiers) or min(weights) < 0 or not sum(weights) > 0:
        raise ValueError(
            f"`weights` must be {len(classifiers)} numbers, none negative, not all 0. Received: weights={weights}"
        )
    if coverage is not None and calibration is None:
        raise ValueError("`coverage` needs a `calibration` of the fused scores.")
    if sorted(one.is_flow for one in views) != [False, True]:
        raise RunError("A fused model is made of one run on frames and one on optical flow.")
    if len({frozenset(one.class_names) for one in classifiers}) > 1:
        raise RunError("The runs were trained on different classes and cannot be fused.")
    shares = [weight / sum(weights) for weight in weights]
    streams = list(zip(classifiers, views, shares, strict=True))
    return _export(streams, directory, "video", version, top_k, recipes, notes, calibration, coverage, **options)


def _export(
    streams,
    directory,
    kind,
    version,
    top_k,
    recipes,
    notes,
    calibration,
    coverage,
    half_svm=False,
    valid_output=False,
    model_digest=None,
    check=None,
):
    if any(views.modality == "flow_stack" for _, views, _ in streams):
        raise RunError("A classifier of stacked optical flow cannot be exported: no image format has its 20 channels.")
    if kind == "image" and any(views.is_flow for _, views, _ in streams):
        raise RunError("Optical flow is of videos: export the classifier with `kind='video'`.")
    class_names = streams[0][0].class_names
    threshold = None if coverage is None else calibration.threshold(coverage)
    served = [
        ServedStream(classifier, views, kind, weight, _columns(classifier, class_names), half_svm, valid_output)
        for classifier, views, weight in streams
    ]
    endpoints = Endpoints(served, class_names, top_k, valid_output, calibration, threshold)
    with version_folder(directory, version) as (partial, target):
        _write(endpoints, class_names, partial)
        if calibration is not None:
            _tell(partial / "saved_model.pb", CALIBRATION, calibration_text(calibration.method, coverage, threshold))
        if model_digest is not None and len(streams) == 1:
            _tell(partial / "saved_model.pb", ENCODER, encoder_text(model_digest, kind, streams[0][1].settings(kind)))
        extra = (partial / WARMUP_FILE).parent
        extra.mkdir()
        checked = [] if check is None else [check(partial)]
        card = served_card(endpoints, recipes, [*notes, *checked], half_svm, coverage)
        (extra / "card.md").write_bytes(to_bytes(card))
        for stream, recipe in zip(served, recipes, strict=True) if recipes else ():
            (extra / f"{stream.prefix}recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
        write_warmup(partial / WARMUP_FILE, endpoints.examples().items())
    return target


def _columns(classifier, class_names):
    if classifier.class_names == class_names:
        return None
    return [classifier.class_names.index(name) for name in class_names]


def _write(endpoints, class_names, path):
    # Not Keras's ExportArchive, which saves no assets but those of lookup tables.
    root = tf.Module()
    root.weights = [variable for stream in endpoints.streams for variable in stream.variables]
    signatures = {
        name: tf.function(function, input_signature=specs, autograph=False)
        for name, (function, specs) in endpoints.signatures().items()
    }
    with tempfile.TemporaryDirectory() as folder:
        root.labels = tf.saved_model.Asset(str(write_labels(folder, class_names)))
        tf.saved_model.save(root, str(path), signatures=signatures)
    if samplings := {
        stream.inputs.names[0]: _sampling(stream.inputs.views)
        for stream in endpoints.streams
        if isinstance(stream.inputs, FrameInput)
    }:
        _tell(path / "saved_model.pb", SAMPLING, sampling_text(samplings))


def _sampling(views):
    return Sampling(
        views.frames,
        views.frame_step,
        views.modality,
        views.size,
        views.resize_to,
        views.resize,
        views.flow.method,
        views.flow.bound,
    )


def _tell(file, name, text):
    """Adds a signature that tells something and that nobody can call."""
    content = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    content.meta_graphs[0].signature_def[name].method_name = text
    file.write_bytes(content.SerializeToString(deterministic=True))
