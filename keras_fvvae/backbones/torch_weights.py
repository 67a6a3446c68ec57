"""PyTorch's weight files of before version 1.6, read as data: nothing in them is executed, PyTorch is not needed."""

from __future__ import annotations

import hashlib
import io
import math
import os
import pickletools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_fvvae.errors import WeightsError
from keras_fvvae.utils.files import reason

# More than twice the largest file that is read by this library; a larger one is refused before it is in memory.
MAX_BYTES = 64 * 2**20
# What such a file begins with, as pickles.
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_DICTIONARY = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_DTYPES = {"torch FloatStorage": "<f4", "torch LongStorage": "<i8"}
_KNOWN_NAMES = {_DICTIONARY, _TENSOR, *_DTYPES}
# Before the values of a storage stands how many they are.
_COUNT = np.dtype("<i8")
# Kernels have four axes. More are refused, so that no product over millions of them is computed.
_MAX_RANK = 8
# What broken content can raise while it is walked through, beside what is found and said here.
_RAISED = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


class _BrokenError(ValueError):
    """With what is wrong, for a user."""


class _Name(str):
    """What a pickle wants to import. It is compared, never looked up."""


class _Storage(NamedTuple):
    key: str
    dtype: str
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch_weights(
    path: str | os.PathLike, sha256: str, remedy: str = "Get the file again."
) -> dict[str, np.ndarray]:
    """Reads the arrays of a state dictionary that `torch.save` wrote before PyTorch 1.6.

    Such a file is five pickles (a magic number, a version, facts of the machine, the dictionary, the keys of the
    storages) and then the values of every storage. Python's `pickle` would call what a pickle names. Here its opcodes
    are walked through (`pickletools.genops`, which only parses): the thirty that state dictionaries are made of put
    numbers, texts, tuples, lists and dictionaries together, a name is compared with four known ones and never
    imported, and anything else ends the reading.

    Args:
        path: of the file, at most `MAX_BYTES` long.
        sha256: of the whole file, 64 hexadecimal digits; checked before anything is parsed.
        remedy: what a user can do about a file that is not the right one; the end of every error.

    Returns:
        Dictionary from a parameter's name to its array, float32 or int64, in the file's order.

    Raises:
        WeightsError: if the file is missing, has another SHA-256, is damaged, or holds something else.

    Example:
        >>> read_torch_weights("missing.pth", 64 * "0")
        Traceback (most recent call last):
        ...
        keras_fvvae.errors.WeightsError: The weights missing.pth cannot be read (No such file or directory). Get the \
file again.

    Reference:
        The layout is that of `_legacy_save` in PyTorch's `torch/serialization.py`.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise WeightsError(f"The weights {path} cannot be read ({reason(error)}). {remedy}") from error
    if len(content) > MAX_BYTES:
        raise WeightsError(f"The weights {path} have more than {MAX_BYTES} bytes: they are others. {remedy}")
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise WeightsError(
            f"The weights {path} have the SHA-256 {found}, not {sha256}: they are damaged or others. {remedy}"
        )
    try:
        return _arrays(io.BytesIO(content))
    except _RAISED as error:
        what = str(error) if isinstance(error, _BrokenError) else "its pickles are broken"
        raise WeightsError(
            f"The weights {path} are no state dictionary of PyTorch before 1.6, or are damaged: {what}. {remedy}"
        ) from error


def _arrays(stream: io.BytesIO) -> dict[str, np.ndarray]:
    """The arrays of a file, checked against its size and one another."""
    storages: dict[str, _Storage] = {}
    if _unpickled(stream, storages) != _MAGIC_NUMBER:
        raise _BrokenError("it begins with another number")
    if _unpickled(stream, storages) != _PROTOCOL:
        raise _BrokenError("it has another version")
    if _unpickled(stream, storages)["little_endian"] is not True:
        raise _BrokenError("it is of a big-endian machine")
    state = _unpickled(stream, storages)
    keys = _unpickled(stream, storages)
    if type(state) is not dict or type(keys) is not list or sorted(keys) != sorted(storages):
        raise _BrokenError("its dictionary and its storages do not go together")
    values = {key: _values(stream, storages[key]) for key in keys}
    if stream.read(1):
        raise _BrokenError("there is more behind its last storage")
    return {name: _array(tensor, values) for name, tensor in state.items()}


def _unpickled(stream: io.BytesIO, storages: dict[str, _Storage]) -> Any:
    """The next pickle of a stream; the storages that it declares are added to `storages`."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def popped(count):
        """The last values of the stack, and at least so many."""
        if count > len(stack):
            raise _BrokenError("a pickle takes more than it has")
        values = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        return values

    for opcode, argument, _ in pickletools.genops(stream):
        match opcode.name:
            case "PROTO":
                pass
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINUNICODE":
                stack.append(argument)
            case "GLOBAL":
                stack.append(_known(argument))
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(popped(int(opcode.name[-1]) if opcode.name[-1].isdigit() else 0)))
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(popped(len(stack) - marks.pop())))
            case "APPEND" | "APPENDS":
                values = popped(1 if opcode.name == "APPEND" else len(stack) - marks.pop())
                stack[-1].extend(values)
            case "SETITEM" | "SETITEMS":
                values = popped(2 if opcode.name == "SETITEM" else len(stack) - marks.pop())
                _update(values, stack[-1])
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "BINPERSID":
                stack.append(_declared(stack.pop(), storages))
            case "REDUCE":
                stack.append(_made(*popped(2)))
            case "BUILD":
                popped(1)  # attributes of the dictionary: versions of PyTorch's modules
            case "STOP":
                return stack.pop()
            case other:
                raise _BrokenError(f"weights have no use for the opcode {other}")
    raise _BrokenError("a pickle does not end")


def _known(name):
    if name not in _KNOWN_NAMES:
        raise _BrokenError(f"weights have no use for {name[:80]!r}, which it names")
    return _Name(name)


def _update(pairs, target):
    if type(target) is not dict or any(type(key) is not str for key in pairs[::2]):
        raise _BrokenError("a pickle sets what is no entry of a dictionary")
    target.update(zip(pairs[::2], pairs[1::2], strict=True))


def _declared(identity, storages):
    """The storage of a persistent id `("storage", type, key, device, count, view)`."""
    kind, name, key, _, length, view = identity
    if kind != "storage" or view is not None or [type(name), type(key), type(length)] != [_Name, str, int]:
        raise _BrokenError("a storage is declared in another way")
    storage = _Storage(key, _DTYPES[name], length)
    if storages.setdefault(key, storage) != storage:
        raise _BrokenError("a storage is declared twice")
    return storage


def _made(function, arguments):
    """What PyTorch would get for a call of one of the two functions."""
    if type(function) is _Name and function == _DICTIONARY and arguments == ():
        return {}
    if type(function) is not _Name or function != _TENSOR:
        raise _BrokenError("a pickle calls what makes no tensor")
    storage, offset, shape, strides, _, _ = arguments
    if type(storage) is not _Storage:
        raise _BrokenError("a tensor has no storage")
    return _Tensor(storage, offset, shape, strides)


def _values(stream, storage):
    """The values of a storage: what the file says of their number must be what the pickle said, and be there."""
    count = stream.read(_COUNT.itemsize)
    if len(count) < _COUNT.itemsize or int(np.frombuffer(count, _COUNT)[0]) != storage.length:
        raise _BrokenError("a storage has another length than was declared")
    size = storage.length * np.dtype(storage.dtype).itemsize
    # Compared first: memory for what is not there is not asked for.
    if not 0 <= size <= stream.getbuffer().nbytes - stream.tell():
        raise _BrokenError("it ends before its last storage does")
    return np.frombuffer(stream.read(size), storage.dtype)


def _array(tensor, values):
    """A tensor as a view of its storage's values: rows of a kernel may lie in TensorFlow's order there."""
    if type(tensor) is not _Tensor or type(tensor.shape) is not tuple or len(tensor.shape) > _MAX_RANK:
        raise _BrokenError("an entry is no tensor")
    storage, offset, shape, strides = tensor
    if any(type(number) is not int or number < 0 for number in (offset, *shape, *strides)):
        raise _BrokenError("a tensor has no shape")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    # Strides of 0 would make any size of one value.
    if last >= storage.length or math.prod(shape) > storage.length:
        raise _BrokenError("a tensor is larger than its storage")
    array = values[storage.key]
    return np.lib.stride_tricks.as_strided(
        array[offset:], shape, [stride * array.itemsize for stride in strides], writeable=False
    )
