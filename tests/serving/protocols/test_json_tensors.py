"""TensorFlow Serving's JSON, to arrays and back."""

import base64
import contextlib
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from keras_fvvae.serving.engine.signatures import Signature
from keras_fvvae.serving.errors import ServingError
from keras_fvvae.serving.protocols import json_tensors
from keras_fvvae.serving.protocols.json_tensors import format_response, parse_request


def signature(name="serving_default", **inputs):
    definition = meta_graph_pb2.SignatureDef()
    for key, (dtype, shape) in inputs.items():
        definition.inputs[key].dtype = dtype.as_datatype_enum
        definition.inputs[key].tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    definition.outputs["y"].dtype = tf.float32.as_datatype_enum
    definition.outputs["y"].tensor_shape.CopyFrom(tf.TensorShape([None]).as_proto())
    return {name: Signature(name, definition)}


STRINGS = signature(image=(tf.string, [None]))
FRAMES = signature(frames=(tf.string, [None, None]), num_frames=(tf.int32, [None]))
NUMBERS = signature(x=(tf.float32, [None, 2]))
B64 = {"b64": base64.b64encode(b"\xff\x00a").decode()}


def parse(signatures, **request):
    return parse_request(json.dumps(request).encode(), signatures)


@pytest.mark.parametrize("instances", [["text", B64], [{"image": "text"}, {"image": B64}]])
def test_rows_of_strings(instances):
    _, inputs, is_row = parse(STRINGS, instances=instances)
    assert inputs["image"].tolist() == [b"text", b"\xff\x00a"]
    assert is_row


@pytest.mark.parametrize("inputs", [["text", B64], {"image": ["text", B64]}])
def test_columns_of_strings(inputs):
    _, arrays, is_row = parse(STRINGS, inputs=inputs)
    assert arrays["image"].tolist() == [b"text", b"\xff\x00a"]
    assert not is_row


def test_rows_and_columns_of_several_inputs_agree():
    rows = [{"frames": ["a", "b"], "num_frames": 2}, {"frames": ["c", ""], "num_frames": 1}]
    _, by_row, _ = parse(FRAMES, instances=rows)
    _, by_column, _ = parse(FRAMES, inputs={"frames": [["a", "b"], ["c", ""]], "num_frames": [2, 1]})
    for inputs in (by_row, by_column):
        assert inputs["frames"].tolist() == [[b"a", b"b"], [b"c", b""]]
        assert inputs["num_frames"].tolist() == [2, 1]
        assert inputs["num_frames"].dtype == np.int32


def test_numbers():
    _, inputs, _ = parse(NUMBERS, instances=[[1, 2.5], [float("nan"), float("-inf")]])
    assert inputs["x"].dtype == np.float32
    np.testing.assert_array_equal(inputs["x"], np.float32([[1, 2.5], [np.nan, -np.inf]]))


def test_named_signature():
    signatures = signature("other", x=(tf.float32, [None]))
    assert parse(signatures, inputs=[1.0], signature_name="other")[0].name == "other"
    with pytest.raises(ServingError, match='"serving_default" not found in signature def.*other'):
        parse(signatures, inputs=[1.0])


@pytest.mark.parametrize(
    ("signatures", "request_", "message"),
    [
        (STRINGS, {}, "either `instances`"),
        (STRINGS, {"instances": ["a"], "inputs": ["a"]}, "either `instances`"),
        (STRINGS, {"instances": []}, "at least one example"),
        (STRINGS, {"instances": {"image": "a"}}, "must be a list"),
        (STRINGS, {"inputs": {"image": []}}, "holds no example"),
        (STRINGS, {"instances": [{"image": "a"}, "b"]}, "all objects or all plain"),
        (STRINGS, {"instances": [{"image": "a"}, {"img": "b"}]}, "instance 1 differs"),
        (STRINGS, {"instances": [{"img": "a"}]}, r"Sent extra: \{img\}. Missing but required: \{image\}"),
        (STRINGS, {"instances": [1]}, "needs strings"),
        (STRINGS, {"instances": [None]}, "needs strings"),
        (STRINGS, {"instances": [{"b64": "%"}]}, "base64 that cannot be decoded"),
        (STRINGS, {"instances": [{"b64": 3}]}, "needs strings"),
        (STRINGS, {"instances": [["a", "b"]]}, r"shape \[1, 2\]"),
        (STRINGS, {"inputs": "a"}, r"shape \[\]"),
        (STRINGS, {"instances": ["a"], "signature_name": 3}, "must be a string"),
        (STRINGS, {"instances": ["a"], "signature_name": "serving_defualt"}, "did you mean 'serving_default'"),
        (FRAMES, {"instances": ["a"]}, "must name the inputs"),
        (FRAMES, {"inputs": {"frames": [["a"], ["b", "c"]], "num_frames": [1, 2]}}, "different lengths"),
        (FRAMES, {"inputs": {"frames": [["a"], ["b"]], "num_frames": [1]}}, "differ in their number of examples"),
        (FRAMES, {"inputs": {"frames": [["a"]], "num_frames": [1.5]}}, "needs numbers of its dtype"),
        (FRAMES, {"inputs": {"frames": [["a"]], "num_frames": [2**31]}}, "out of its range"),
        (FRAMES, {"inputs": {"frames": [["a"]], "num_frames": [10**400]}}, "numbers"),
        (NUMBERS, {"inputs": [["1", "2"]]}, "needs numbers"),
        (NUMBERS, {"inputs": [[True, False]]}, "needs numbers"),
        (NUMBERS, {"inputs": [[1, 2, 3]]}, r"shape \[1, 3\]"),
        (NUMBERS, {"inputs": [[1, 2], [3]]}, "different lengths"),
        (NUMBERS, {"inputs": [[{}, {}]]}, "needs numbers"),
    ],
)
def test_wrong_requests(signatures, request_, message):
    with pytest.raises(ServingError, match=message) as caught:
        parse(signatures, **request_)
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"x",
        b"\xff\xfe\x00",
        b"[" * 200_000,
        b"[1]",
        b"null",
        b'{"instances": ' + b"[" * 20_000,
        b"9" * 10_000,
    ],
    ids=["empty", "open", "word", "no utf-8", "deep", "list", "null", "deep rows", "long number"],
)
def test_bodies_that_are_no_requests(body):
    with pytest.raises(ServingError) as caught:
        parse_request(body, STRINGS)
    assert caught.value.http_status == 400


@pytest.mark.parametrize("body", [b'{"instances": ["a"]}', b'{"instances": [NaN]}', b"no JSON"])
def test_others_have_a_turn_after_long_reading(body, monkeypatch):
    pauses = []
    monkeypatch.setattr(json_tensors.time, "sleep", pauses.append)
    for long, count in ((10.0, 0), (0.0, 1)):
        monkeypatch.setattr(json_tensors, "_LONG", long)
        with contextlib.suppress(ServingError):
            parse_request(body, STRINGS)
        assert len(pauses) == count
    assert pauses[0] > 0


def test_deep_but_valid_json():
    body = b'{"instances": ' + b"[" * 100 + b"]" * 100 + b"}"
    with pytest.raises(ServingError, match="nested too deeply"):
        parse_request(body, STRINGS)


def test_answers():
    outputs = {"a": np.int64([1, 2]), "b": np.array([[b"x"], [b"\xc3\xa9"]], object)}
    assert json.loads(format_response(outputs, True)) == {"predictions": [{"a": 1, "b": ["x"]}, {"a": 2, "b": ["é"]}]}
    assert json.loads(format_response(outputs, False)) == {"outputs": {"a": [1, 2], "b": [["x"], ["é"]]}}
    assert json.loads(format_response({"a": outputs["a"]}, True)) == {"predictions": [1, 2]}


def test_bytes_and_nan():
    outputs = {"x_bytes": np.array([b"\xff"], object), "y": np.float32([np.nan])}
    assert format_response(outputs, False) == b'{"outputs":{"x_bytes":[{"b64":"/w=="}],"y":[NaN]}}'


def test_nan_in_rows_beside_other_outputs():
    outputs = {"a": np.array([b"x", b"y"], object), "b": np.float32([[0.1, np.nan], [np.inf, 1]])}
    expected = b'{"predictions":[{"a":"x","b":[0.10000000149011612,NaN]},{"a":"y","b":[Infinity,1.0]}]}'
    assert format_response(outputs, True) == expected


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "bool", "uint8", "int64"])
def test_numbers_of_every_dtype(dtype):
    array = np.asarray(tf.cast([[0, 1], [1, 0]], dtype)).T  # not contiguous
    assert json.loads(format_response({"y": array}, False)) == {"outputs": [[0, 1], [1, 0]]}


def test_floats_come_back_exactly():
    values = np.random.default_rng(0).normal(size=100).astype("float32")
    answer = json.loads(format_response({"y": values}, False))["outputs"]
    np.testing.assert_array_equal(np.float32(answer), values)


def test_outputs_without_rows():
    with pytest.raises(ServingError, match="send `inputs`"):
        format_response({"a": np.float32(1), "b": np.float32([1, 2])}, True)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("/wBh", b"\xff\0a"),
        ("/w==", b"\xff"),
        ("/w", b"\xff"),
        ("/wA", b"\xff\0"),
        (" /w\t\n B\r\v\fh ", b"\xff\0a"),
        ("/w= =\n", b"\xff"),
        ("", b""),
        ("  ", b""),
    ],
)
def test_base64_as_tensorflow_serving_takes_it(text, content):
    _, inputs, _ = parse(STRINGS, instances=[{"b64": text}])
    assert inputs["image"].tolist() == [content]


@pytest.mark.parametrize(
    "text", ["/", "/w=", "/wA==", "/wBh=", "=", "====", "/w==/w==", "/w-_", "/w\u00a0==", "é", "/w===="]
)
def test_base64_that_it_does_not_take(text):
    with pytest.raises(ServingError, match="base64 that cannot be decoded"):
        parse(STRINGS, instances=[{"b64": text}])


def _values(array):
    """Nested lists; floats as the float32 that they are."""
    if array.ndim:
        return [_values(np.asarray(one)) for one in array]
    value = array.item()
    return value.decode() if isinstance(value, bytes) else np.float32(array) if array.dtype.kind == "f" else value


SHAPES = [(), (0,), (3,), (5000,), (2, 5000), (5000, 2), (3, 3, 3000), (4097,), (0, 5), (5, 0), (2, 0, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("is_row", [True, False])
@pytest.mark.parametrize("several", [True, False])
def test_answers_in_pieces_are_the_same_json(shape, is_row, several, monkeypatch):
    """Every piece is small, so that other requests go on between two of them."""
    rng = np.random.default_rng(0)
    outputs = {"scores": rng.normal(size=shape).astype("float32")}
    if several:
        outputs["labels"] = np.full(shape[:1], b"a", object)
        outputs["more"] = rng.integers(0, 9, (*shape[:1], 5000 if shape == (3,) else 2))
    values = {name: _values(value) for name, value in outputs.items()}
    pieces, dumps = [], json_tensors._dumps
    monkeypatch.setattr(json_tensors, "_dumps", lambda value: pieces.append(value) or dumps(value))
    if is_row and not shape:
        with pytest.raises(ServingError, match="no rows"):
            format_response(outputs, is_row)
        return
    if not is_row:
        expected = {"outputs": values if several else values["scores"]}
    elif several:
        expected = {"predictions": [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]}
    else:
        expected = {"predictions": values["scores"]}
    assert json.loads(format_response(outputs, is_row), parse_float=np.float32) == expected
    assert max((len(dumps(piece)) for piece in pieces), default=0) < 30 * json_tensors.PIECE
