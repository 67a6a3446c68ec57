"""TensorFlow Serving's `PredictionLog`, in which requests for warming a model up are kept, without its package.

Of its messages these are the fields that a `Predict` request needs; what is not named here is passed over.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# Numbers of the fields in tensorflow_serving/apis: prediction_log.proto, predict.proto, model.proto. A map is a list of
# entries on the wire, and a tensor, which stays as its bytes here, what any message within another is.
_FIELDS = {
    "PredictionLog": {"predict_log": (6, "PredictLog")},
    "PredictLog": {"request": (1, "PredictRequest")},
    "PredictRequest": {"model_spec": (1, "ModelSpec"), "inputs": (2, "Input*")},
    "ModelSpec": {"name": (1, "string"), "signature_name": (3, "string")},
    "Input": {"key": (1, "string"), "value": (2, "bytes")},
}
_PACKAGE = "keras_fvvae.prediction_logs"
# Where in the folder of a version TensorFlow Serving looks for a TFRecord of logs.
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"


def to_bytes(model: str, signature: str, tensors: Mapping[str, bytes]) -> bytes:
    """A `Predict` request as a log.

    Args:
        model: name of the model; TensorFlow Serving does not look at it.
        signature: name of the signature that is asked.
        tensors: `TensorProto` as bytes by name of the input.

    Returns:
        bytes, equal for equal arguments.

    Example:
        >>> to_bytes("m", "encode", {})
        b'2\\x0f\\n\\r\\n\\x0b\\n\\x01m\\x1a\\x06encode'
    """
    log = _log_class()()
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, tensor in tensors.items():
        request.inputs.add(key=name, value=tensor)
    return log.SerializeToString(deterministic=True)


def from_bytes(content: bytes) -> tuple[str, dict[str, bytes]] | None:
    """Signature ("" for the default one) and inputs of a log; `None` where it is of another kind of request.

    Raises:
        ValueError: if it is no log.

    Example:
        >>> from_bytes(to_bytes("m", "encode", {"x": b"..."}))
        ('encode', {'x': b'...'})
        >>> from_bytes(b"") is None
        True
    """
    try:
        log = _log_class().FromString(content)
    except Exception as error:  # protobuf's DecodeError is another class in each of its implementations
        raise ValueError("it is not a PredictionLog of TensorFlow Serving") from error
    if not log.HasField("predict_log"):
        return None
    request = log.predict_log.request
    return request.model_spec.signature_name, {one.key: one.value for one in request.inputs}


@functools.cache
def _log_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            added = message.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL)
            if kind.endswith("*"):
                added.label = kinds.LABEL_REPEATED
            if kind in ("string", "bytes"):
                added.type = {"string": kinds.TYPE_STRING, "bytes": kinds.TYPE_BYTES}[kind]
            else:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{kind.rstrip('*')}"
    pool = descriptor_pool.DescriptorPool()  # of our own: the package's messages may be there, too
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.PredictionLog"))
