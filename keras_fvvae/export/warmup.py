"""The requests with which TensorFlow Serving warms a model up before it serves it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_fvvae.utils import prediction_logs


def write_warmup(path: str | Path, requests: Iterable[tuple[str, dict]], model: str = "model") -> None:
    """Writes a TFRecord of `PredictionLog`.

    Args:
        path: file to write.
        requests: iterable of pairs: a signature's name, and a dictionary from input name to tensor. TensorFlow Serving
            reads at most 1000.
        model: name in the requests; TensorFlow Serving does not look at it.
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            writer.write(prediction_log(signature, inputs, model))


def prediction_log(signature: str, inputs: dict[str, Any], model: str = "model") -> bytes:
    """One request as the bytes of a `tensorflow.serving.PredictionLog`.

    Example:
        >>> prediction_log("encode", {}, "m")
        b'2\\x0f\\n\\r\\n\\x0b\\n\\x01m\\x1a\\x06encode'
    """
    tensors = {name: tf.make_tensor_proto(value).SerializeToString() for name, value in inputs.items()}
    return prediction_logs.to_bytes(model, signature, tensors)
