"""TensorFlow Serving's JSON: `instances` (a row an example) or `inputs` (a column a tensor), and back.

Reference:
    https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from keras_fvvae.serving.engine.signatures import find_signature
from keras_fvvae.serving.errors import ServingError, invalid

if TYPE_CHECKING:
    from keras_fvvae.serving.engine.signatures import Signature

# NumPy's own limit is 64; nobody sends more than a video of maps.
MAX_RANK = 16
# Of a parsed value: a number with its place in a list takes 32, an empty list or object 72.
VALUE_BYTES = 80
# Numbers or strings of an answer that are written at once: while a piece is written no other thread can work.
PIECE = 4096
# Bytes of a body that are looked through at once: they stay in the processor's cache.
_PART = 1 << 16
_BASE64 = re.compile("(?P<digits>[A-Za-z0-9+/]*)(?P<padding>={0,2})")
_WHITE_SPACE = dict.fromkeys(map(ord, " \t\n\v\f\r"))
# Seconds of reading that others notice.
_LONG = 0.01
_COMPACT = (",", ":")
_KINDS = {"float": "iuf", "int": "iu", "bool": "b"}


def parsed_bytes(body: bytes) -> int:
    """Memory that a body takes while it is parsed, about: its text, and Python's objects, which are far larger.

    Example:
        >>> parsed_bytes(b'{"instances": [[1, 2], []]}')
        507
    """
    # By NumPy, whose time does not depend on how many there are.
    parts = (np.frombuffer(body, "uint8", min(_PART, len(body) - i), i) for i in range(0, len(body), _PART))
    return len(body) + VALUE_BYTES * sum(int(np.count_nonzero(part == one)) for part in parts for one in b",[{")


def parse_request(body: bytes, signatures: dict[str, Signature]) -> tuple[Signature, dict[str, np.ndarray], bool]:
    """Reads the body of a `:predict` request.

    Args:
        body: bytes.
        signatures: dictionary from name to `Signature`.

    Returns:
        `(signature, inputs, is_row)`: the `Signature`, a dictionary from input name to array (strings are objects of
        bytes), and whether the request was in rows.

    Raises:
        ServingError: INVALID_ARGUMENT, with what is wrong.

    """
    request = read_object(body)
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid("`signature_name` must be a string.")
    signature = find_signature(signatures, name)
    return signature, *read_inputs(request, signature)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        ServingError: INVALID_ARGUMENT, with what is wrong.
    """
    try:
        request = _loads(body)
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, no UTF-8, or an integer of too many digits
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        if "integer string conversion" in reason:  # Python's words are for who can set its limit
            reason = "an integer of too many digits"
        raise invalid(f"JSON Parse error: {reason}") from error
    if not isinstance(request, dict):
        raise invalid("The request must be a JSON object with `instances` or `inputs`.")
    return request


def read_inputs(request: dict[str, Any], signature: Signature) -> tuple[dict[str, np.ndarray], bool]:
    """The inputs of a signature in a request, and whether they came in rows, see `parse_request`."""
    if ("instances" in request) == ("inputs" in request):
        raise invalid("The request must have either `instances` (rows) or `inputs` (columns), and not both.")
    is_row = "instances" in request
    columns = _columns_of_rows(request["instances"], signature) if is_row else _columns(request["inputs"], signature)
    specs = signature.inputs
    arrays = {k: _array(v, specs[k]) if k in specs else np.zeros(0) for k, v in columns.items()}
    signature.check(arrays)
    return arrays, is_row


def format_response(outputs: dict[str, np.ndarray], is_row: bool) -> bytes:
    """Writes outputs as the answer to a `:predict` request, in the format of the request.

    NaN and infinity are written as `NaN` and `Infinity`, as TensorFlow Serving does. Strings of outputs whose name ends
    in `_bytes` are base64 in `{"b64": ...}`; others are text.

    Args:
        outputs: dictionary from name to array.
        is_row: `predictions`, a list with one entry an example, or `outputs`, the tensors.

    Returns:
        bytes.

    Raises:
        ServingError: INVALID_ARGUMENT if the outputs have no row an example.

    Example:
        >>> format_response({"scores": np.float32([[0.5, 1]]), "labels": np.array([b"a"], object)}, is_row=True)
        b'{"predictions":[{"scores":[0.5,1.0],"labels":"a"}]}'
        >>> format_response({"scores": np.float32([[0.5, 1]])}, is_row=False)
        b'{"outputs":[[0.5,1.0]]}'
    """
    single = next(iter(outputs.items())) if len(outputs) == 1 else None
    if not is_row:
        return _wrapped("outputs", _written_array(*single) if single else _written_object(outputs))
    rows = {len(array) if array.ndim else None for array in outputs.values()}
    if len(rows) != 1 or None in rows:
        raise invalid("The outputs differ in dimension 0, so they have no rows: send `inputs` instead of `instances`.")
    if single is not None:
        return _wrapped("predictions", _written_array(*single))
    (count,) = rows
    step = max(1, PIECE * count // max(1, sum(array.size for array in outputs.values())))
    parts = []
    for start in range(0, count, step):
        part = {name: array[start : start + step] for name, array in outputs.items()}
        if step > 1:
            values = {name: _rows(name, array) for name, array in part.items()}
            examples = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
            parts.append(_dumps(examples)[1:-1])
        else:
            parts.append(_written_object({name: array.reshape(array.shape[1:]) for name, array in part.items()}))
    return _wrapped("predictions", b"[" + b",".join(parts) + b"]")


def _loads(body):
    """The value of a body. No other thread can work while a reader does: as long as that took, they can then."""
    start = time.thread_time()
    try:
        return orjson.loads(body)  # in a third of the time of Python's reader
    except orjson.JSONDecodeError:
        return json.loads(body)  # takes NaN and Infinity, as TensorFlow Serving does, and tells what is wrong
    finally:
        if (seconds := time.thread_time() - start) > _LONG:
            time.sleep(seconds)


def _wrapped(key, content):
    return b'{"' + key.encode() + b'":' + content + b"}"


def _written_object(outputs):
    pairs = (_dumps(name) + b":" + _written_array(name, array) for name, array in outputs.items())
    return b"{" + b",".join(pairs) + b"}"


def _written_array(name, array):
    """As JSON, in pieces of few numbers."""
    array = np.asarray(array)
    if array.size <= PIECE or not array.ndim:
        return _dumps(_plain(name, array))
    inner = array.size // len(array)
    if inner > PIECE:
        return b"[" + b",".join(_written_array(name, one) for one in array) + b"]"
    step = max(1, PIECE // max(1, inner))
    pieces = (_dumps(_plain(name, array[start : start + step]))[1:-1] for start in range(0, len(array), step))
    return b"[" + b",".join(pieces) + b"]"


def error_body(message: str) -> bytes:
    """TensorFlow Serving's shape of an error.

    Example:
        >>> error_body("No such model.")
        b'{"error":"No such model."}'
    """
    # Not by `_dumps`, which takes no halves of surrogate pairs: a message can quote them.
    return json.dumps({"error": message}, ensure_ascii=False, separators=_COMPACT).encode("utf-8", "replace")


def _dumps(value):
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _columns_of_rows(instances, signature):
    if not isinstance(instances, list) or not instances:
        raise invalid("`instances` must be a list of at least one example.")
    if dict not in set(map(type, instances)):  # at once, however many there are
        return {_only_input(signature, "instances"): instances}
    if not all(_is_object(instance) for instance in instances):
        if any(_is_object(instance) for instance in instances):
            raise invalid("`instances` must be all objects or all plain values.")
        return {_only_input(signature, "instances"): instances}
    names = instances[0].keys()
    for index, instance in enumerate(instances):
        if instance.keys() != names:
            raise invalid(f"`instances` must all have the same keys; instance {index} differs from the first.")
    return {name: [instance[name] for instance in instances] for name in names}


def _columns(inputs, signature):
    return inputs if _is_object(inputs) else {_only_input(signature, "inputs"): inputs}


def _is_object(value):
    return isinstance(value, dict) and value.keys() != {"b64"}


def _only_input(signature, key):
    if len(signature.inputs) != 1:
        names = ", ".join(signature.inputs)
        raise invalid(f"`{key}` must name the inputs of {signature.name!r}, which are several: {names}.")
    return next(iter(signature.inputs))


def _array(value, spec):
    if spec.dtype.name == "string":
        leaves = []
        shape = _flatten_strings(value, spec, leaves, 0)
        array = np.empty(len(leaves), object)
        array[:] = leaves
        return array.reshape(shape)
    return _numbers(value, spec)


def _flatten_strings(value, spec, leaves, rank):
    """Appends the bytes of nested lists and returns their shape."""
    if not isinstance(value, list):
        leaves.append(_bytes(value, spec))
        return ()
    if rank == MAX_RANK:
        raise invalid(f"Input {spec} was given a list nested too deeply.")
    shapes = {_flatten_strings(one, spec, leaves, rank + 1) for one in value}
    if len(shapes) > 1:
        raise invalid(f"Input {spec} was given lists of different lengths.")
    return (len(value), *(shapes.pop() if shapes else _empty_inner(spec, rank)))


def _empty_inner(spec, rank):
    """Sides below an empty list, which the JSON cannot tell: 0 wherever the signature leaves them open."""
    return tuple(max(side, 0) for side in (spec.shape or ())[rank + 1 :])


def _bytes(value, spec):
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and isinstance(value.get("b64"), str) and len(value) == 1:
        content = _decoded_base64(value["b64"])
        if content is None:
            raise invalid(f"Input {spec} was given base64 that cannot be decoded: {_shown(value['b64'])}.")
        return content
    raise invalid(f'Input {spec} needs strings or {{"b64": ...}}; it was given {_shown(value)}.')


def _decoded_base64(text):
    """As TensorFlow Serving does: white space of ASCII anywhere, padding whole or not at all; `None` for others."""
    digits = text.translate(_WHITE_SPACE)
    match = _BASE64.fullmatch(digits)
    missing = -len(match["digits"]) % 4 if match else 3
    if missing == 3 or len(match["padding"]) not in (0, missing):  # 3: a single digit holds no byte
        return None
    return binascii.a2b_base64(match["digits"] + missing * "=")


def _numbers(value, spec):
    dtype = spec.dtype.as_numpy_dtype
    kind = "bool" if spec.dtype.is_bool else "int" if spec.dtype.is_integer else "float"
    if not (spec.dtype.is_bool or spec.dtype.is_integer or spec.dtype.is_floating):
        raise ServingError("UNIMPLEMENTED", f"Input {spec}: JSON has no values of this dtype; use gRPC.")
    try:
        array = np.array(value)
    except (ValueError, OverflowError) as error:
        raise invalid(f"Input {spec} was given lists of different lengths or values that are not numbers.") from error
    if array.dtype.kind not in _KINDS[kind] and array.size:
        raise invalid(f"Input {spec} needs numbers of its dtype; it was given {_shown(value)}.")
    if kind == "int" and array.size and not spec.dtype.min <= array.min() <= array.max() <= spec.dtype.max:
        raise invalid(f"Input {spec} was given a number out of its range.")
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def _shown(value):
    while isinstance(value, list) and value:
        value = value[0]
    return json.dumps(value)[:40]


def _plain(name, array):
    """What `_dumps` takes: numbers as an array, where it writes these at once and right, and strings as lists."""
    if array.dtype != object:
        kind = array.dtype.kind
        if kind in "iub" or (kind == "f" and np.isfinite(array).all()):
            return np.asarray(array, order="C")[()]
        return orjson.Fragment(json.dumps(array.tolist(), separators=_COMPACT))
    flat = array.reshape(-1)
    if name.endswith("_bytes"):
        texts = [{"b64": base64.b64encode(one).decode()} for one in flat]
    else:
        texts = [one.decode("utf-8", "replace") for one in flat]
    result = np.empty(len(texts), object)
    result[:] = texts
    return result.reshape(array.shape).tolist()


def _rows(name, array):
    plain = _plain(name, array)
    return [_plain(name, np.asarray(row)) for row in array] if isinstance(plain, orjson.Fragment) else list(plain)
