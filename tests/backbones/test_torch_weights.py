"""Files as PyTorch wrote them, put together opcode by opcode: whole ones are read, others end in one sentence."""

import hashlib
import os
import pickle

import numpy as np
import pytest

from keras_fvvae.backbones import torch_weights
from keras_fvvae.backbones.torch_weights import read_torch_weights
from keras_fvvae.errors import WeightsError
from tests.support.hostile import check_sentence

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
VERSION = pickle.dumps(1001, 2)
MACHINE = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}, 2)
DICTIONARY = b"ccollections\nOrderedDict\n)R"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def _literal(value):
    """The opcodes of a plain value, without those around it."""
    return pickle.dumps(value, 2)[2:-1]


def _storage(key="1", length=6, kind=b"FloatStorage", tag="storage", view=None):
    parts = (_literal(tag), b"ctorch\n" + kind + b"\n", *map(_literal, (key, "cpu", length, view)))
    return b"(" + b"".join(parts) + b"tQ"


def _tensor(storage=None, offset=0, shape=(2, 3), strides=(3, 1), function=REBUILD):
    arguments = (storage or _storage(), *map(_literal, (offset, shape, strides, False)), DICTIONARY)
    return function + b"(" + b"".join(arguments) + b"tR"


def _state(**entries):
    pairs = b"".join(_literal(name) + value for name, value in entries.items())
    return b"\x80\x02" + DICTIONARY + b"(" + pairs + b"u}" + _literal("_metadata") + DICTIONARY + b"sb."


def _values(values, length=None):
    return np.int64(len(values) if length is None else length).tobytes() + values.tobytes()


KERNEL = np.arange(6, dtype="float32") / 7
WHOLE = _values(KERNEL)


def _file(state=None, keys=("1",), values=WHOLE, magic=MAGIC, version=VERSION, machine=MACHINE):
    return magic + version + machine + (state or _state(kernel=_tensor())) + pickle.dumps(list(keys), 2) + values


def _read(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    return read_torch_weights(path, hashlib.sha256(content).hexdigest())


def test_arrays_of_a_file(tmp_path):
    counter = _tensor(_storage("2", 1, b"LongStorage"), shape=(), strides=())
    transposed = _tensor(offset=1, shape=(2, 2), strides=(1, 3))
    state = _state(kernel=_tensor(), counter=counter, transposed=transposed)
    found = _read(tmp_path, _file(state, ["2", "1"], _values(np.array([2**40])) + _values(KERNEL)))
    assert list(found) == ["kernel", "counter", "transposed"]
    np.testing.assert_array_equal(found["kernel"], KERNEL.reshape(2, 3))
    assert (found["counter"].shape, found["counter"].dtype, int(found["counter"])) == ((), "int64", 2**40)
    np.testing.assert_array_equal(found["transposed"], [[KERNEL[1], KERNEL[4]], [KERNEL[2], KERNEL[5]]])


class _Shell:
    """What every reader that calls what a pickle names would run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", ["magic", "version", "machine", "state"])
def test_nothing_is_executed(tmp_path, place, protocol):
    trace = tmp_path / "trace"
    evil = pickle.dumps(_Shell(trace), protocol)
    with pytest.raises(WeightsError) as raised:
        _read(tmp_path, _file(**{place: evil}))
    check_sentence(str(raised.value), "weights have no use for ('posix system', which it names|the opcode )")
    assert not trace.exists()
    pickle.loads(evil)
    assert trace.exists()  # so it would have


DEEP = b"\x80\x02)" + 100_000 * b"\x85"

BROKEN = {
    "nothing": (b"", "its pickles are broken"),
    "text": (b"not a pickle", "its pickles are broken"),
    "an archive, as PyTorch writes since 1.6": (b"PK\x03\x04", "its pickles are broken"),
    "another number": (_file(magic=VERSION), "begins with another number"),
    "another version": (_file(version=MAGIC), "another version"),
    "a big-endian machine": (_file(machine=pickle.dumps({"little_endian": False}, 2)), "big-endian"),
    "no facts of the machine": (_file(machine=MAGIC), "its pickles are broken"),
    "a module instead of a dictionary": (_file(b"\x80\x02ctorch.nn\nModule\n)R."), "'torch.nn Module', which it names"),
    "a name without end": (_file(b"\x80\x02c" + b"a" * 5000 + b"\nb\n."), f"'{'a' * 80}', which it names"),
    "a call of a storage": (_file(b"\x80\x02ctorch\nFloatStorage\n)R."), "calls what makes no tensor"),
    "a call of a text": (_file(b"\x80\x02" + _literal("os.system") + b")R."), "calls what makes no tensor"),
    "a list of tensors": (_file(pickle.dumps([], 2), [], b""), "do not go together"),
    "no dictionary": (_file(pickle.dumps(1, 2), [], b""), "do not go together"),
    "an entry that is no tensor": (_file(_state(kernel=_literal(1)), [], b""), "an entry is no tensor"),
    "entries of a tuple": (_file(b"\x80\x02)" + _literal("a") + _literal(1) + b"s."), "no entry of a dictionary"),
    "keys that are no texts": (_file(b"\x80\x02}" + DEEP[2:] + b"Ns."), "no entry of a dictionary"),
    "a storage of another kind": (_file(_state(kernel=_tensor(_storage(tag="module")))), "another way"),
    "a view of a storage": (_file(_state(kernel=_tensor(_storage(view=(1, 2))))), "another way"),
    "a key that is deep": (_file(b"\x80\x02(" + _literal("storage") + DEEP[2:] + b"NNNNtQ."), "another way"),
    "one storage twice": (_file(_state(a=_tensor(), b=_tensor(_storage(length=7)))), "declared twice"),
    "a key less": (_file(keys=[]), "do not go together"),
    "a key more": (_file(keys=["1", "2"]), "do not go together"),
    "keys that cannot be sorted": (_file(keys=["1", 1]), "its pickles are broken"),
    "a length less": (_file(values=_values(KERNEL, 5)), "another length than was declared"),
    "a huge length": (_file(values=_values(KERNEL, 2**62)), "another length than was declared"),
    "a huge length, declared": (
        _file(_state(kernel=_tensor(_storage(length=2**62))), values=_values(KERNEL, 2**62)),
        "ends before its last storage",
    ),
    "a negative length": (
        _file(_state(kernel=_tensor(_storage(length=-1))), values=_values(KERNEL, -1)),
        "ends before its last storage",
    ),
    "half of the values": (_file(values=_values(KERNEL)[:-12]), "ends before its last storage"),
    "no values": (_file(values=b""), "another length than was declared"),
    "more": (_file() + b"\0", "more behind its last storage"),
    "a shape beyond the storage": (_file(_state(kernel=_tensor(shape=(3, 3)))), "larger than its storage"),
    "an offset beyond the storage": (_file(_state(kernel=_tensor(offset=1))), "larger than its storage"),
    "strides beyond the storage": (_file(_state(kernel=_tensor(strides=(2**61, 1)))), "larger than its storage"),
    "a huge shape of one value": (
        _file(_state(kernel=_tensor(shape=(2**40,), strides=(0,)))),
        "larger than its storage",
    ),
    "a negative offset": (_file(_state(kernel=_tensor(offset=-1))), "has no shape"),
    "a negative stride": (_file(_state(kernel=_tensor(strides=(-3, 1)))), "has no shape"),
    "a fractional shape": (_file(_state(kernel=_tensor(shape=(2.0, 3)))), "opcode BINFLOAT"),
    "other strides than sides": (_file(_state(kernel=_tensor(strides=(1,)))), "its pickles are broken"),
    "a million axes": (_file(_state(kernel=_tensor(shape=(1,) * 10**6))), "an entry is no tensor"),
    "a huge index of the memo": (_file(b"\x80\x02)r\xff\xff\xff\xff"), "weights have no use|broken"),
    "a huge text": (_file(b"\x80\x02X\xff\xff\xff\x7f"), "its pickles are broken"),
    "too few values on the stack": (_file(b"\x80\x02)\x86."), "takes more than it has"),
    "no mark": (_file(b"\x80\x02)t."), "its pickles are broken"),
    "an index that nothing was put at": (_file(b"\x80\x02h\x07."), "its pickles are broken"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_refused(tmp_path, what):
    content, pattern = BROKEN[what]
    with pytest.raises(WeightsError) as raised:
        _read(tmp_path, content)
    message = str(raised.value)
    check_sentence(message, pattern)
    assert message.startswith(f"The weights {tmp_path / 'weights.pth'} are no state dictionary of PyTorch before 1.6")
    assert message.endswith(". Get the file again.")


def test_every_truncation_and_every_changed_byte_ends_in_a_sentence_or_in_arrays(tmp_path):
    whole = _file()
    for length in range(len(whole)):
        with pytest.raises(WeightsError):
            _read(tmp_path, whole[:length])
    rng = np.random.default_rng(0)
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= int(rng.integers(1, 256))
        try:
            assert sum(array.size for array in _read(tmp_path, bytes(changed)).values()) <= KERNEL.size
        except WeightsError as error:
            check_sentence(str(error), "are no state dictionary")


def test_the_hash_is_checked_before_anything_is_read(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    path.write_bytes(_file())
    monkeypatch.delattr(torch_weights, "_arrays")
    with pytest.raises(WeightsError) as raised:
        read_torch_weights(path, 64 * "0", "Install it again.")
    check_sentence(str(raised.value), f"have the SHA-256 {hashlib.sha256(_file()).hexdigest()}, not 0{{64}}: ")
    assert str(raised.value).endswith(" Install it again.")


def test_larger_files_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_weights, "MAX_BYTES", len(_file()) - 1)
    with pytest.raises(WeightsError) as raised:
        _read(tmp_path, _file())
    check_sentence(str(raised.value), f"have more than {len(_file()) - 1} bytes")


def test_a_folder_instead_of_a_file(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read \\(Is a directory\\). Get the file again."):
        read_torch_weights(tmp_path, 64 * "0")
