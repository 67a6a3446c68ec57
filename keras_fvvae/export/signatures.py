"""The functions of a served model: from encoded images to scores, vectors, and parts of scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from keras_fvvae.explanations import JoinedScoreSplit, ScoreSplit, has_heat_maps, score_split
from keras_fvvae.explanations.similarity import split_of_match
from keras_fvvae.export.inputs import FrameInput, ImageInput, where_valid
from keras_fvvae.utils.text import to_bytes

if TYPE_CHECKING:
    from keras_fvvae.data.views import Views
    from keras_fvvae.models import Classifier
    from keras_fvvae.svm.calibration import Calibration


class ServedStream:
    """One classifier of a served model: frames, or optical flow, or images.

    Args:
        classifier: a built `keras_fvvae.models.Classifier`.
        views: `keras_fvvae.data.Views` of its training.
        kind: `"image"` or `"video"`.
        weight: of its scores in the sum over streams.
        columns: positions of its classes in the common order; `None` where that is its own.
        half_svm: whether the SVM's weights are kept in float16; they are computed with in float32.
        flagged: whether what cannot be decoded is flagged.
    """

    def __init__(
        self,
        classifier: Classifier,
        views: Views,
        kind: str,
        weight: float = 1.0,
        columns: Sequence[int] | None = None,
        half_svm: bool = False,
        flagged: bool = False,
    ):
        self.encoder = classifier.encoder
        self.inputs = (ImageInput if kind == "image" else FrameInput)(views, flagged)
        kernel, bias = (np.asarray(one) * np.float32(weight) for one in classifier.svm.get_weights())
        if columns is not None:
            kernel, bias = kernel[:, columns], bias[columns]
        self.kernel = tf.Variable(kernel.astype("float16") if half_svm else kernel, trainable=False, name="svm_kernel")
        self.bias = tf.Variable(bias, trainable=False, name="svm_bias")
        self.prefix = "flow_" if views.is_flow else ""
        self.raw_shape = tuple(self.encoder.raw_shape)

    @property
    def variables(self) -> list[tf.Variable]:
        """All of its TensorFlow variables."""
        return [*(variable.value for variable in self.encoder.variables), self.kernel, self.bias]

    @property
    def raw_specs(self) -> list[tf.TensorSpec]:
        """Inputs of `classify_raw`."""
        return [
            tf.TensorSpec((None, *self.raw_shape), tf.float32, name=f"{self.prefix}raw_sum"),
            tf.TensorSpec((None,), tf.float32, name=f"{self.prefix}count"),
        ]

    @property
    def match_spec(self) -> tf.TensorSpec:
        """The further input of `explain_match`: vectors of others, as `encode` gives them."""
        return tf.TensorSpec((None, self.encoder.output_dim), tf.float32, name=f"{self.prefix}match")

    def scores(self, vectors: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.cast(vectors, tf.float32), tf.cast(self.kernel, tf.float32)) + self.bias

    def raw_sum(self, pixels: tf.Tensor, mask: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        """Sum of the raw vectors of an example's views, and their number."""
        mean = tf.cast(self.encoder.encode_raw(pixels, mask=mask, training=False), tf.float32)
        ones = tf.ones(tf.shape(pixels)[: 2 if len(pixels.shape) == 5 else 1])
        counted = ones if mask is None else tf.cast(mask, tf.float32)
        count = tf.reduce_sum(tf.reshape(counted, (tf.shape(pixels)[0], -1)), axis=1)
        return mean * tf.reshape(count, (-1, *[1] * len(self.raw_shape))), count

    def normalized(self, raw_sum: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """Vectors of sums of raw vectors of so many views."""
        mean = raw_sum / tf.reshape(tf.maximum(count, 1), (-1, *[1] * len(self.raw_shape)))
        return tf.cast(self.encoder.normalize(mean), tf.float32)

    def contributions(self, split: ScoreSplit | JoinedScoreSplit, best: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Parts of the scores of classes `best`, `(N, H, W)` or, of videos, `(N, T, H, W)`; and what is no part."""
        parts, constant = split.split(tf.cast(tf.transpose(tf.gather(self.kernel, best, axis=1)), tf.float32))
        return self.inputs.on_picture(split.maps(parts)), constant + tf.gather(self.bias, best)


class Endpoints:
    """The signatures of one stream, or of several whose scores are added.

    Args:
        streams: list of `ServedStream`; at most one of each modality.
        class_names: in the order of the scores.
        top_k: labels returned.
        flagged: whether an output `valid` flags what cannot be decoded.
        calibration: how scores become probabilities; `None`: they do not.
        threshold: probability of the best label below which the output `answer` is empty; `None`: there is no such
            output.
    """

    def __init__(
        self,
        streams: Sequence[ServedStream],
        class_names: Sequence[str],
        top_k: int,
        flagged: bool = False,
        calibration: Calibration | None = None,
        threshold: float | None = None,
    ):
        self.streams = streams
        self.names = tf.constant([to_bytes(name) for name in class_names])
        self.count = min(top_k, len(class_names))
        self.flagged = flagged
        self.calibration = calibration
        self.threshold = threshold

    def signatures(self) -> dict[str, tuple[Callable, list[tf.TensorSpec]]]:
        """Dictionary from name to a pair of function and input specifications."""
        encoded = [spec for stream in self.streams for spec in stream.inputs.specs]
        raw = [spec for stream in self.streams for spec in stream.raw_specs]
        result = {
            "serving_default": (self.classify, encoded),
            **self._of_pixels(),
            "encode": (self.encode, encoded),
            "encode_raw": (self.encode_raw, encoded),
            "classify_raw": (self.classify_raw, raw),
        }
        if all(has_heat_maps(stream.encoder) for stream in self.streams):
            result["explain"] = (self.explain, encoded)
            if len(self.streams) == 1:
                result["explain_match"] = (self.explain_match, [*encoded, self.streams[0].match_spec])
        return result

    def examples(self) -> dict[str, dict[str, tf.Tensor]]:
        """Dictionary from signature to the inputs of one example, for warming up."""
        encoded = {name: value for stream in self.streams for name, value in stream.inputs.example().items()}
        raw = {spec.name: tf.ones((1, *spec.shape[1:])) for stream in self.streams for spec in stream.raw_specs}
        match = {spec.name: tf.ones((1, *spec.shape[1:])) for spec in (stream.match_spec for stream in self.streams)}
        pixels = {name: value for stream in self.streams for name, value in stream.inputs.pixel_example().items()}
        others = {"classify_pixels": pixels, "classify_raw": raw, "explain_match": {**encoded, **match}}
        return {name: others.get(name, encoded) for name in self.signatures()}

    def classify(self, *arguments: tf.Tensor) -> dict[str, tf.Tensor]:
        rows, valid = self._decode(arguments)
        vectors = [stream.encoder(pixels, mask=mask, training=False) for stream, pixels, mask in rows]
        return self._answer(vectors, valid)

    def classify_pixels(self, *arguments: tf.Tensor) -> dict[str, tf.Tensor]:
        (stream,) = self.streams
        pixels, mask, valid = stream.inputs.of_pixels(*arguments)
        return self._answer([stream.encoder(pixels, mask=mask, training=False)], valid)

    def encode(self, *arguments: tf.Tensor) -> dict[str, tf.Tensor]:
        rows, valid = self._decode(arguments)
        return self._flagged(
            {
                f"{stream.prefix}fisher_vector": tf.cast(stream.encoder(pixels, mask=mask, training=False), tf.float32)
                for stream, pixels, mask in rows
            },
            valid,
        )

    def encode_raw(self, *arguments: tf.Tensor) -> dict[str, tf.Tensor]:
        rows, valid = self._decode(arguments)
        outputs: dict[str, tf.Tensor] = {}
        for stream, pixels, mask in rows:
            sums = stream.raw_sum(pixels, mask)
            outputs |= {spec.name: value for spec, value in zip(stream.raw_specs, sums, strict=True)}
        return self._flagged(outputs, valid)

    def classify_raw(self, *arguments: tf.Tensor) -> dict[str, tf.Tensor]:
        pairs = zip(arguments[::2], arguments[1::2], strict=True)
        vectors = [stream.normalized(*pair) for stream, pair in zip(self.streams, pairs, strict=True)]
        return self._answer(vectors, None)

    def explain(self, *arguments: tf.Tensor) -> dict[str, tf.Tensor]:
        rows, valid = self._decode(arguments)
        splits = [score_split(stream.encoder, pixels, mask) for stream, pixels, mask in rows]
        scores = self._scores([split.vectors for split in splits])
        best = tf.argmax(scores, axis=1, output_type=tf.int32)
        parts, constants = {}, 0.0
        for stream, split in zip(self.streams, splits, strict=True):
            parts[f"{stream.prefix}contributions"], constant = stream.contributions(split, best)
            constants += constant
        rest = {"bias": constants, "score": tf.reduce_max(scores, axis=1), "label": tf.gather(self.names, best)}
        return self._flagged({**parts, **rest}, valid)

    def explain_match(self, *arguments: tf.Tensor) -> dict[str, tf.Tensor]:
        *encoded, match = arguments
        ((stream, pixels, mask),), valid = self._decode(encoded)
        split = score_split(stream.encoder, pixels, mask)
        similarity, parts, constant = split_of_match(split, match)
        maps = stream.inputs.on_picture(split.maps(parts))
        outputs = {f"{stream.prefix}contributions": maps, "constant": constant, "similarity": similarity}
        return self._flagged(outputs, valid)

    def _of_pixels(self):
        """What callers that decode themselves use; of RGB: flow frames are no pictures of a camera."""
        if any(stream.inputs.views.is_flow for stream in self.streams):
            return {}
        return {"classify_pixels": (self.classify_pixels, self.streams[0].inputs.pixel_specs())}

    def _decode(self, arguments):
        """Triples of stream, pixels and mask; and the flags."""
        rows, flags, start = [], [], 0
        for stream in self.streams:
            end = start + len(stream.inputs.specs)
            pixels, mask, valid = stream.inputs.pixels(*arguments[start:end])
            rows.append((stream, pixels, mask))
            flags.append(valid)
            start = end
        return rows, tf.reduce_all(tf.stack(flags), axis=0) if self.flagged else None

    def _scores(self, vectors):
        return tf.add_n([stream.scores(one) for stream, one in zip(self.streams, vectors, strict=True)])

    def _answer(self, vectors, valid):
        scores = self._scores(vectors)
        best = tf.math.top_k(scores, self.count)
        outputs = {"scores": scores, "labels": tf.gather(self.names, best.indices), "label_scores": best.values}
        if self.calibration is not None:
            outputs["probabilities"] = self.calibration.probabilities(scores, keras.ops)
            outputs["label_probabilities"] = tf.gather(outputs["probabilities"], best.indices, batch_dims=1)
        if self.threshold is not None:
            known = outputs["label_probabilities"][:, 0] >= self.threshold
            outputs["answer"] = tf.where(known, outputs["labels"][:, 0], tf.constant(""))
        return self._flagged(outputs, valid)

    def _flagged(self, outputs, valid):
        """NaN and empty labels in rows that are not valid."""
        if valid is None:
            return outputs
        return {**{name: where_valid(valid, value) for name, value in outputs.items()}, "valid": valid}
