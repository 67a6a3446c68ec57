"""Warmup requests: what is written is what TensorFlow Serving's protos read."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from keras_fvvae.export.warmup import prediction_log, write_warmup

INPUTS = {
    "frames": tf.constant([[b"\xff\x00" * 200, b""]]),
    "num_frames": tf.constant([2], tf.int32),
    "raw": tf.constant(np.arange(6, dtype="float32").reshape(1, 2, 3)),
}


def _fields(content):
    """Pairs of number and bytes of a message that holds nothing but strings and messages."""
    position = 0

    def varint():
        nonlocal position
        value = shift = 0
        while True:
            byte = content[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while position < len(content):
        key = varint()
        assert key & 7 == 2
        size = varint()
        assert position + size <= len(content)
        yield key >> 3, content[position : position + size]
        position += size


def read_log(record):
    """Signature and inputs of a `PredictionLog`, read by the field numbers of its .proto files."""
    ((log, predict),) = _fields(record)
    ((field, request),) = _fields(predict)
    assert (log, field) == (6, 1)
    parts = list(_fields(request))
    spec = dict(_fields(next(content for number, content in parts if number == 1)))
    entries = [dict(_fields(content)) for number, content in parts if number == 2]
    inputs = {e[1].decode(): tf.make_ndarray(tensor_pb2.TensorProto.FromString(e[2])) for e in entries}
    return spec[3].decode(), inputs


def test_round_trip(tmp_path):
    path = tmp_path / "requests"
    write_warmup(path, [("serving_default", INPUTS), ("encode", {})])
    first, second = map(read_log, tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    assert first[0] == "serving_default"
    assert second == ("encode", {})
    assert first[1]["frames"].tolist() == INPUTS["frames"].numpy().tolist()
    assert first[1]["num_frames"].dtype == np.int32
    np.testing.assert_array_equal(first[1]["raw"], INPUTS["raw"])


def test_tensorflow_serving_reads_it():
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2", reason="needs tensorflow-serving-api")
    log = apis.PredictionLog.FromString(prediction_log("serving_default", INPUTS, "digits"))
    request = log.predict_log.request
    assert (request.model_spec.name, request.model_spec.signature_name) == ("digits", "serving_default")
    assert sorted(request.inputs) == sorted(INPUTS)
    for name, value in INPUTS.items():
        np.testing.assert_array_equal(tf.make_ndarray(request.inputs[name]), value.numpy())
    # Nothing was read as unknown: what the protos write is of the same length.
    assert len(log.SerializeToString()) == len(prediction_log("serving_default", INPUTS, "digits"))
