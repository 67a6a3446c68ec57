"""Runs signatures of a SavedModel through TensorFlow's C API, in a process that never imports Python's TensorFlow.

TensorFlow Serving loads models with the same C++ code. Called as a script: the folder of TensorFlow's libraries, the
SavedModel, and a pickle of the requests; the answers are written beside it.
"""

import ctypes
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np

FLOAT, INT32, STRING, BOOL = 1, 3, 7, 10
TYPES = {FLOAT: "float32", INT32: "int32", BOOL: "bool"}
TSTRING_SIZE = 24


def run_signatures(saved_model, requests, folder):
    """Answers of signatures, from a fresh process.

    Args:
        saved_model: the version folder.
        requests: list of pairs of a signature's name and a dictionary of inputs.
        folder: for the files that both processes share.

    Returns:
        List of dictionaries from output name to array, strings as objects.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    definition = saved_model_pb2.SavedModel.FromString((Path(saved_model) / "saved_model.pb").read_bytes())
    signatures = definition.meta_graphs[0].signature_def
    jobs = []
    for name, inputs in requests:
        given = []
        for key, value in inputs.items():
            info = signatures[name].inputs[key]
            array = np.array(value, object if info.dtype == STRING else TYPES[info.dtype])
            given.append(
                (info.name, info.dtype, array.shape, array.ravel().tolist() if info.dtype == STRING else array)
            )
        wanted = [(key, info.name) for key, info in signatures[name].outputs.items()]
        jobs.append((given, wanted))
    file = Path(folder, "requests.pickle")
    file.write_bytes(pickle.dumps(jobs))
    libraries = Path(tf.__file__).parent
    command = [sys.executable, "-I", __file__, str(libraries), str(saved_model), str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return pickle.loads(file.with_suffix(".answers").read_bytes())


class Library:
    """The few functions of the C API that are needed."""

    def __init__(self, folder):
        for name in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
            self.c = ctypes.CDLL(str(Path(folder, name)), mode=ctypes.RTLD_GLOBAL)
        pointers = (
            "TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions", "TF_LoadSessionFromSavedModel", "TF_AllocateTensor",
            "TF_TensorData", "TF_GraphOperationByName", "TF_StringGetDataPointer",
        )  # fmt: skip
        for name in pointers:
            getattr(self.c, name).restype = ctypes.c_void_p
        for name in ("TF_Dim", "TF_TensorByteSize", "TF_StringGetSize"):
            getattr(self.c, name).restype = ctypes.c_size_t
        self.c.TF_Message.restype = ctypes.c_char_p
        self.status = ctypes.c_void_p(self.c.TF_NewStatus())

    def check(self):
        if self.c.TF_GetCode(self.status):
            raise RuntimeError(self.c.TF_Message(self.status).decode())

    def load(self, path):
        self.graph = ctypes.c_void_p(self.c.TF_NewGraph())
        options = ctypes.c_void_p(self.c.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b"serve")
        session = self.c.TF_LoadSessionFromSavedModel(
            options, None, path.encode(), tags, 1, self.graph, None, self.status
        )
        self.check()
        self.session = ctypes.c_void_p(session)

    def tensor(self, dtype, shape, values):
        dims = (ctypes.c_int64 * len(shape))(*shape)
        count = int(np.prod(shape))
        size = TSTRING_SIZE * count if dtype == STRING else values.nbytes
        tensor = ctypes.c_void_p(self.c.TF_AllocateTensor(dtype, dims, len(shape), ctypes.c_size_t(size)))
        data = self.c.TF_TensorData(tensor)
        if dtype != STRING:
            ctypes.memmove(data, np.ascontiguousarray(values).ctypes.data, size)
            return tensor
        for index, value in enumerate(values):
            place = ctypes.c_void_p(data + TSTRING_SIZE * index)
            self.c.TF_StringInit(place)
            self.c.TF_StringCopy(place, value, ctypes.c_size_t(len(value)))
        return tensor

    def array(self, tensor):
        tensor = ctypes.c_void_p(tensor)
        shape = [self.c.TF_Dim(tensor, axis) for axis in range(self.c.TF_NumDims(tensor))]
        dtype, data = self.c.TF_TensorType(tensor), self.c.TF_TensorData(tensor)
        if dtype != STRING:
            content = ctypes.string_at(data, self.c.TF_TensorByteSize(tensor))
            return np.frombuffer(content, TYPES[dtype]).reshape(shape)
        values = np.empty(int(np.prod(shape)), object)
        for index in range(len(values)):
            place = ctypes.c_void_p(data + TSTRING_SIZE * index)
            values[index] = ctypes.string_at(self.c.TF_StringGetDataPointer(place), self.c.TF_StringGetSize(place))
        return values.reshape(shape)

    def run(self, given, wanted):
        class Output(ctypes.Structure):
            _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))

        def outputs(names):
            pairs = (name.split(":") for name in names)
            found = [
                Output(self.c.TF_GraphOperationByName(self.graph, name.encode()), int(index)) for name, index in pairs
            ]
            return (Output * len(found))(*found)

        inputs = outputs([name for name, *_ in given])
        tensors = (ctypes.c_void_p * len(given))(*(self.tensor(*rest).value for _, *rest in given))
        fetched = outputs([name for _, name in wanted])
        values = (ctypes.c_void_p * len(wanted))()
        self.c.TF_SessionRun(
            self.session, None, inputs, tensors, len(given), fetched, values, len(wanted), None, 0, None, self.status
        )
        self.check()
        return {key: self.array(value) for (key, _), value in zip(wanted, values, strict=True)}


if __name__ == "__main__":
    _, libraries, saved_model, requests = sys.argv
    library = Library(libraries)
    library.load(saved_model)
    answers = [library.run(*job) for job in pickle.loads(Path(requests).read_bytes())]
    assert not {"tensorflow", "keras"} & set(sys.modules)
    Path(requests).with_suffix(".answers").write_bytes(pickle.dumps(answers))
