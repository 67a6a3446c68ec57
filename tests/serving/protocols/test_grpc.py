"""TensorFlow Serving's gRPC services, called through its own stubs."""

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.serving.conftest import bomb, png


def as_json(message):
    """As TensorFlow Serving makes REST's answers of its messages; REST here does without them."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield channel


@pytest.fixture
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request(name="images", signature="", **inputs):
    result = predict_pb2.PredictRequest()
    result.model_spec.name = name
    result.model_spec.signature_name = signature
    for key, value in inputs.items():
        result.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return result


def test_predict(stub):
    response = stub.Predict(request(image=[png((255, 0, 51)), png((0, 255, 51))]))
    assert response.model_spec.name == "images"
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"
    outputs = {name: tf.make_ndarray(value) for name, value in response.outputs.items()}
    np.testing.assert_allclose(outputs["scores"], [[1, 0, 0.2], [0, 1, 0.2]], atol=1e-6)
    assert outputs["labels"].tolist() == [[b"red", b"blue"], [b"green", b"blue"]]


def test_output_filter(stub):
    wanted = request(image=[png((0, 0, 0))])
    wanted.output_filter.append("labels")
    assert list(stub.Predict(wanted).outputs) == ["labels"]


def test_version_and_label(stub):
    wanted = request("numbers", x=np.float32([[1, 2]]))
    wanted.model_spec.version_label = "stable"
    assert stub.Predict(wanted).model_spec.version.value == 1


def test_metadata(stub, server):
    wanted = get_model_metadata_pb2.GetModelMetadataRequest()
    wanted.model_spec.name = "videos"
    wanted.metadata_field.append("signature_def")
    response = stub.GetModelMetadata(wanted)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    inputs = found.signature_def["serving_default"].inputs
    assert {name: info.dtype for name, info in inputs.items()} == {
        "frames": tf.string.as_datatype_enum,
        "num_frames": tf.int32.as_datatype_enum,
    }
    rest = requests.get(f"{server.url}/v1/models/videos/metadata").json()
    assert rest["metadata"]["signature_def"] == as_json(found)


def test_status(channel, server):
    wanted = get_model_status_pb2.GetModelStatusRequest()
    wanted.model_spec.name = "images"
    response = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(wanted)
    (status,) = response.model_version_status
    assert (status.version, status.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    assert requests.get(f"{server.url}/v1/models/images").json() == as_json(response)


def huge_shape():
    result = request("numbers")
    result.inputs["x"].dtype = tf.float32.as_datatype_enum
    result.inputs["x"].tensor_shape.CopyFrom(tf.TensorShape([2**40, 2]).as_proto())
    result.inputs["x"].float_val.append(1.0)
    return result


def missing_strings():
    result = request("images")
    result.inputs["image"].dtype = tf.string.as_datatype_enum
    result.inputs["image"].tensor_shape.CopyFrom(tf.TensorShape([1000]).as_proto())
    result.inputs["image"].string_val.append(b"a")
    return result


def unknown_dtype():
    result = request("images")
    result.inputs["image"].dtype = 99
    return result


def negative_shape():
    result = request("numbers")
    result.inputs["x"].dtype = tf.float32.as_datatype_enum
    result.inputs["x"].tensor_shape.dim.add(size=-5)
    return result


def short_content():
    result = request("numbers", x=np.float32([[1, 2]]))
    result.inputs["x"].tensor_content = b"abc"
    return result


def unknown_output():
    result = request(image=[png((0, 0, 0))])
    result.output_filter.append("probabilities")
    return result


@pytest.mark.parametrize(
    ("wanted", "code", "message"),
    [
        (request("nothing"), "NOT_FOUND", "Latest\\(nothing\\)"),
        (request(""), "NOT_FOUND", "not found"),
        (request("images", "nothing"), "INVALID_ARGUMENT", "not found in signature def"),
        (request("images"), "INVALID_ARGUMENT", "Missing but required: {image}"),
        (request("images", img=["a"]), "INVALID_ARGUMENT", "Sent extra: {img}"),
        (request("images", image=["no image"]), "INVALID_ARGUMENT", "Unknown image file format"),
        (request("images", image=[bomb()]), "INVALID_ARGUMENT", "400,000,000 pixels"),
        (request("images", image=[1.5]), "INVALID_ARGUMENT", "given values of float32"),
        (request("numbers", x=np.float64([[1, 2]])), "INVALID_ARGUMENT", "given values of float64"),
        (request("numbers", x=np.float32([1, 2])), "INVALID_ARGUMENT", "shape \\[2\\]"),
        (huge_shape(), "INVALID_ARGUMENT", "larger than a request may be"),
        (missing_strings(), "INVALID_ARGUMENT", "1 values for the shape"),
        (unknown_dtype(), "INVALID_ARGUMENT", "cannot be read"),
        (negative_shape(), "INVALID_ARGUMENT", "cannot be read"),
        (short_content(), "INVALID_ARGUMENT", "cannot be read"),
        (unknown_output(), "INVALID_ARGUMENT", "output tensor alias not found in signature: probabilities"),
        (request("numbers", x=np.zeros((10**6, 2), np.float32)), "RESOURCE_EXHAUSTED", "larger than max"),
    ],
)
def test_errors(stub, wanted, code, message):
    with pytest.raises(grpc.RpcError, match=message) as caught:
        stub.Predict(wanted)
    assert caught.value.code().name == code


def test_deadline_of_the_client(stub):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request("numbers", "slow", rounds=np.int32([400])), timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert stub.Predict(request("numbers", x=np.float32([[1, 2]])))
