"""gRPC: tensors that promise more than they hold, and calls of any kind (those over sockets are slow)."""

import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("grpc")
pytest.importorskip("tensorflow_serving.apis.predict_pb2")

import grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from keras_fvvae.serving.errors import ServingError
from keras_fvvae.serving.protocols.grpc_service import tensor_array
from tests.hostile.test_images import encoded, png_of
from tests.support.hostile import Refused, check, check_sentence

FLOAT, INT, STRING = (dtype.as_datatype_enum for dtype in (tf.float32, tf.int32, tf.string))
LIMIT = 1000


def tensor(dtype=FLOAT, shape=(), **values):
    proto = tensor_pb2.TensorProto(dtype=dtype)
    for side in shape:
        proto.tensor_shape.dim.add(size=side)
    for name, value in values.items():
        if name == "tensor_content":
            proto.tensor_content = value
        else:
            getattr(proto, name).extend(value)
    return proto


def unknown_rank():
    proto = tensor(float_val=[1.0])
    proto.tensor_shape.unknown_rank = True
    return proto


TENSORS = {
    "numbers": (tensor(shape=[1, 2], float_val=[1, 2]), [[1, 2]]),
    "content": (tensor(shape=[2], tensor_content=np.float32([1, 2]).tobytes()), [1, 2]),
    "a value that is repeated": (tensor(shape=[3], float_val=[7]), [7, 7, 7]),
    "a scalar": (tensor(float_val=[7]), 7),
    "no rows": (tensor(shape=[0, 2]), []),
    "strings": (tensor(STRING, [2], string_val=[b"a", b"\xff"]), [b"a", b"\xff"]),
    "a negative side": (tensor(shape=[-2], float_val=[1]), Refused("Input x cannot be read: ")),
    "an open side": (tensor(shape=[-1, 2], float_val=[1]), Refused("its shape is not fully known")),
    "no rank": (unknown_rank(), Refused("Input x cannot be read")),
    "a terabyte": (tensor(shape=[1 << 40], float_val=[1]), Refused("is larger than a request may be")),
    "sides that overflow": (
        tensor(shape=[1 << 40, 1 << 40], float_val=[1]),
        Refused("is larger than a request may be"),
    ),
    "a product of none": (tensor(shape=[1 << 62, 0], float_val=[1]), Refused("Input x cannot be read")),
    "a dtype that is none": (tensor(9999, [1], float_val=[1]), Refused("Input x cannot be read")),
    "no dtype": (tensor(0, [1], float_val=[1]), Refused("Input x cannot be read")),
    "too few strings": (tensor(STRING, [3], string_val=[b"a"]), Refused("it has 1 values for the shape .3.")),
    "too many strings": (tensor(STRING, [1], string_val=[b"a", b"b"]), Refused("it has 2 values for the shape .1.")),
    "too little content": (tensor(shape=[4], tensor_content=b"\0" * 8), Refused("Input x cannot be read")),
    "too much content": (tensor(shape=[1], tensor_content=b"\0" * 8), Refused("Input x cannot be read")),
    "content of half a number": (tensor(shape=[1], tensor_content=b"\0" * 3), Refused("Input x cannot be read")),
    "too many numbers": (tensor(shape=[1], float_val=[1, 2, 3]), Refused("Input x cannot be read")),
    "a resource": (tensor(tf.resource.as_datatype_enum, [1]), Refused("Input x cannot be read")),
    "a variant": (tensor(tf.variant.as_datatype_enum, [1]), Refused("Input x cannot be read")),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors(name):
    proto, expected = TENSORS[name]
    check(lambda: tensor_array("x", proto, LIMIT).tolist(), expected, errors=(ServingError,))


def request(model="images", signature="", **inputs):
    result = predict_pb2.PredictRequest()
    result.model_spec.name = model
    result.model_spec.signature_name = signature
    for key, value in inputs.items():
        proto = value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        result.inputs[key].CopyFrom(proto)
    return result


def versioned(version):
    result = request(image=[b"a"])
    result.model_spec.version.value = version
    return result


def filtered(name):
    result = request(image=[encoded("PNG")])
    result.output_filter.append(name)
    return result


CALLS = {
    "an unknown model": (request("nobody"), "NOT_FOUND", "Servable not found for request: Latest.nobody."),
    "a name of 100 kB": (request("x" * 100_000), "NOT_FOUND", r"\.\.\.$"),
    "a name of nothing": (request(""), "NOT_FOUND", "Servable not found"),
    "an unknown version": (versioned(7), "NOT_FOUND", "Specific.images, 7."),
    "a negative version": (versioned(-7), "NOT_FOUND", "Specific.images, -7."),
    "an unknown signature": (request(signature="train"), "INVALID_ARGUMENT", '"train" not found'),
    "an unknown output": (filtered("x"), "INVALID_ARGUMENT", "alias not found in signature: x"),
    "no inputs": (request(), "INVALID_ARGUMENT", "Missing but required: {image}"),
    "other inputs": (request(x=[1.0]), "INVALID_ARGUMENT", "Sent extra: {x}"),
    "numbers for images": (request(image=[1.0]), "INVALID_ARGUMENT", "was given values of float32"),
    "images in two dimensions": (request(image=[[b"a"]]), "INVALID_ARGUMENT", r"was given a tensor of shape \[1, 1\]"),
    "no example": (request(image=np.array([], object)), "INVALID_ARGUMENT", "holds no example|cannot be read"),
    "no image": (request(image=[b"no image"]), "INVALID_ARGUMENT", "Unknown image file format"),
    "a bomb": (request(image=[png_of(500, 500)]), "INVALID_ARGUMENT", "claims 250,000 pixels; the limit is 10,000"),
    "a terabyte": (
        request("numbers", x=tensor(shape=[1 << 39, 2], float_val=[1])),
        "INVALID_ARGUMENT",
        "larger than a request",
    ),
}


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield channel


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_calls(channel, name):
    wanted, code, pattern = CALLS[name]
    with pytest.raises(grpc.RpcError) as caught:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(wanted, timeout=20)
    assert caught.value.code().name == code
    check_sentence(caught.value.details(), pattern)


@pytest.mark.slow
@pytest.mark.parametrize("fields", [[], ["signature_defs"], ["signature_def", "signature_def"], ["x" * 100_000]])
def test_metadata(channel, fields):
    wanted = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    wanted.model_spec.name = "images"
    with pytest.raises(grpc.RpcError) as caught:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(wanted, timeout=20)
    check_sentence(caught.value.details(), r'`metadata_field` must be \["signature_def"\]')


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"\xff" * 10, b"\x0a\xff\xff\xff\xff\x0f", b"text", b"\x00"])
def test_what_is_no_message(channel, content):
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict", lambda one: one, lambda one: one)
    with pytest.raises(grpc.RpcError) as caught:
        call(content, timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    check_sentence(caught.value.details(), "The request is not a message of this call")
