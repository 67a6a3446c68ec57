"""A classifier as one file of another runtime: pixels in; scores, probabilities, the vector and their parts out."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from keras_fvvae.data.readers.image import antialiased
from keras_fvvae.errors import RunError
from keras_fvvae.explanations import has_heat_maps, score_split
from keras_fvvae.export.formats import FORMATS
from keras_fvvae.export.inputs import FrameInput, ImageInput, where_valid
from keras_fvvae.export.labels import one_line
from keras_fvvae.export.matrix_resize import scale_by_products
from keras_fvvae.export.onnx_operations import register_operations
from keras_fvvae.ops.spectral import without_eigenvalues

if TYPE_CHECKING:
    from keras_fvvae.data.views import Views
    from keras_fvvae.models import Classifier

# Names of dimensions in an ONNX file, instead of numbers, by their number: of pixels, of all else.
_SIDES = {4: ("N", "height", "width"), 5: ("N", "T", "height", "width")}
_OTHERS = {1: ("N",), 2: ("N",), 3: ("N", "rows", "columns"), 4: ("N", "T", "rows", "columns")}


class PixelModel(keras.Model):
    """A classifier that takes pixels as a caller has decoded them; its preprocessing is inside.

    Args:
        classifier: a built `keras_fvvae.models.Classifier` of RGB.
        views: `keras_fvvae.data.Views` of its training.
        kind: `"image"` or `"video"`.
        any_size: whether the graph resizes pixels of any height and width; else they are of `views.resize_to`.
        explained: whether the best class's score is split over the picture, where the representation's can be.

    Input shape:
        uint8 `(N, height, width, 3)`; of videos `(N, T, height, width, 3)` and int32 `(N,)`, how many of an example's
        T frames count.

    Output shape:
        Dictionary: `scores` `(N, classes)`, of a calibrated classifier `probabilities` likewise, and `vector` `(N,
        dimension)`, float32. If `explained`, `contributions` `(N, H, W)`, of videos `(N, T, H, W)`: the parts of the
        largest score on a map of the resized picture; with `bias` `(N,)` they add up to it. A video without frames, or
        with more than T, gets rows of NaN.
    """

    def __init__(
        self, classifier: Classifier, views: Views, kind: str, any_size: bool, explained: bool = False
    ) -> None:
        super().__init__(name="pixel_model", dtype=classifier.dtype_policy)
        self.classifier = classifier
        self.source = (ImageInput if kind == "image" else FrameInput)(views, flagged=True)
        self.any_size = any_size
        self.explained = explained and has_heat_maps(classifier.encoder)
        self.built = True  # as the classifier is; the pixels' sides are no part of it

    @property
    def specs(self) -> list[tf.TensorSpec]:
        """Of what it takes."""
        return self.source.pixel_specs((None, None) if self.any_size else self.source.views.resize_to)

    def call(self, pixels: Any, count: Any = None) -> dict[str, Any]:
        scale = scale_by_products if self.any_size else antialiased
        arguments = [pixels] if count is None else [pixels, count]
        views, mask, valid = self.source.of_pixels(*arguments, scale=scale)  # type: ignore[misc]  # one or two
        if self.explained:
            split = score_split(self.classifier.encoder, views, mask)
            vectors = split.vectors
        else:
            vectors = self.classifier.encoder(views, mask=mask, training=False)
        outputs = {"scores": self.classifier.svm(vectors)}
        if self.classifier.calibration is not None:
            outputs["probabilities"] = self.classifier.calibration.probabilities(outputs["scores"], keras.ops)
        outputs["vector"] = vectors
        if self.explained:
            best = tf.argmax(outputs["scores"], axis=1, output_type=tf.int32)
            kernel = self.classifier.svm.kernel
            # LiteRT's product takes the matrix transposed, ONNX's as it is: taken otherwise, a file has it twice.
            if self.any_size:
                weights = tf.transpose(tf.gather(kernel, best, axis=1))
            else:
                weights = tf.gather(tf.transpose(kernel), best)
            parts, constant = split.split(weights)
            outputs["contributions"] = self.source.on_picture(split.maps(parts))
            outputs["bias"] = constant + tf.gather(self.classifier.svm.bias, best)
        outputs = {name: tf.cast(value, tf.float32) for name, value in outputs.items()}
        if count is None:
            return outputs
        return {name: where_valid(valid, value) for name, value in outputs.items()}


def write_onnx(classifier: Classifier, views: Views, kind: str, path: Path, explained: bool = False) -> None:
    """Writes an ONNX file of the default domain's operations; it resizes pixels of any height and width.

    The class names are in its metadata (`labels`, a JSON list).

    Args:
        classifier, views, kind, explained: as for `PixelModel`.
        path: of the file.

    Raises:
        RunError: for what cannot be converted.
    """
    import onnx

    model = PixelModel(classifier, views, kind, any_size=True, explained=explained)
    register_operations()
    with converting("onnx"), warnings.catch_warnings(action="ignore"):
        model.export(path, format="onnx", verbose=False, input_signature=model.specs)
        content = onnx.load(str(path))
        unknown = {node.op_type for node in content.graph.node if not onnx.defs.has(node.op_type, node.domain)}
        if unknown:  # left as they are
            raise ValueError(f"it has no operation {', '.join(sorted(unknown))}")
        # tf2onnx leaves an input that no operation takes where it has replaced one (KerasHub's position embedding).
        taken = {name for node in content.graph.node for name in node.input}
        for value in [value for value in content.graph.input if value.name not in taken]:
            content.graph.input.remove(value)
        for value in (*content.graph.input, *content.graph.output):
            dimensions = value.type.tensor_type.shape.dim
            names = _SIDES if value.name == "pixels" else _OTHERS
            for dimension, name in zip(dimensions, names[len(dimensions)], strict=False):
                if not dimension.dim_value:
                    dimension.dim_param = name
        content.metadata_props.add(key="labels", value=json.dumps(one_line(classifier.class_names)))
        onnx.save(content, str(path))


def write_litert(
    classifier: Classifier, views: Views, kind: str, path: Path, explained: bool = False, half: bool = False
) -> None:
    """Writes a LiteRT file of its own operations; it takes pixels of `views.resize_to`, so that all shapes are known.

    Args:
        classifier, views, kind, explained: as for `PixelModel`.
        path: of the file.
        half: whether weights are kept in float16; they are computed with in float32.

    Raises:
        RunError: for what cannot be converted.
    """
    model = PixelModel(classifier, views, kind, any_size=False, explained=explained)
    target: dict[str, Any] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    options: dict[str, Any] = {"target_spec": target}
    if half:
        target["supported_types"] = [tf.float16]
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    with converting("litert"):
        model.export(path, format="litert", verbose=False, input_signature=model.specs, **options)


@contextlib.contextmanager
def converting(format: str) -> Iterator[None]:
    """Turns whatever a converter raises, beside `OSError`, into a `RunError` of one sentence; no eigenvalues inside."""
    title = FORMATS[format].title
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # its complaints come back as the runtime's, in one sentence
    try:
        with without_eigenvalues():
            yield
    except OSError:
        raise
    except Exception as error:  # whatever a converter raises
        raise RunError(
            f"The classifier cannot be converted to {title}: {_why(error)}. Export it with --format savedmodel."
        ) from error
    finally:
        logger.setLevel(level)


def _why(error):
    """The operations that a converter names in pages of text, LiteRT's at their end; else the first line."""
    for kind in ("Custom ops", "TF Select ops", "No conversion rule found for operations"):
        if found := re.search(rf"{kind}: (.*)", str(error)):
            return f"it has no operation {found[1]}"
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
