"""The requests with which TensorFlow Serving warms a model up before it serves it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf

# Numbers of the fields in tensorflow_serving/apis: prediction_log.proto, predict.proto, model.proto. The messages are
# written here field by field, so that an export does not need tensorflow-serving-api: all of them hold nothing but
# strings and messages, whose encoding is the field's number, the length and the bytes.
_LOG_PREDICT = 6
_PREDICT_REQUEST = 1
_REQUEST_MODEL, _REQUEST_INPUTS = 1, 2
_MODEL_NAME, _MODEL_SIGNATURE = 1, 3
_KEY, _VALUE = 1, 2  # of an entry of a map
_LENGTH_DELIMITED = 2  # wire type
# Path in a version folder, fixed by TensorFlow Serving.
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"


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
    spec = _field(_MODEL_NAME, model.encode()) + _field(_MODEL_SIGNATURE, signature.encode())
    request = _field(_REQUEST_MODEL, spec)
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(_REQUEST_INPUTS, _field(_KEY, name.encode()) + _field(_VALUE, tensor))
    return _field(_LOG_PREDICT, _field(_PREDICT_REQUEST, request))


def _field(number, content):
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value):
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*result, value])
