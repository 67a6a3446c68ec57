"""What Windows and macOS lack is not needed: every module is imported, and a server stopped, without it."""

import subprocess
import sys

import pytest

WITHOUT = """
import os, signal, sys
from asyncio import unix_events

import tensorflow  # its own affair

for name in ("fcntl", "resource"):
    sys.modules[name] = None
sys.modules["msvcrt"] = type(sys)("msvcrt")
for module, name in ((os, "sched_getaffinity"), (os, "posix_fallocate"), (os, "fork"), (signal, "SIGHUP")):
    delattr(module, name)

def add_signal_handler(*_):
    raise NotImplementedError

unix_events._UnixSelectorEventLoop.add_signal_handler = add_signal_handler
"""
IMPORTS = """
import importlib, pkgutil
import keras_fvvae

optional = {"usearch", "apache_beam", "keras_hub", "huggingface_hub", "lance", "pyarrow", "onnx", "onnxruntime",
            "tf2onnx", "ai_edge_litert", "openvino", "tensorflow_serving"}
for module in pkgutil.walk_packages(keras_fvvae.__path__, "keras_fvvae."):
    if module.name.startswith("keras_fvvae.benchmarks.long.") or module.name.endswith("__main__"):
        continue  # programs, which measure on Linux
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in optional:
            raise
from keras_fvvae.utils.cores import usable_cores
print(usable_cores() == os.cpu_count())
"""
SERVES = """
import os, signal, sys, threading
from keras_fvvae.serving import ModelConfig, Server, ServerSettings

server = Server([ModelConfig("m", sys.argv[1])], ServerSettings(port=0, grpc_port=None))
server.run(on_start=lambda server: threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start())
print("stopped")
"""


def _printed(program, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + program, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.system
@pytest.mark.once
def test_modules():
    assert _printed(IMPORTS) == "True"


@pytest.mark.system
@pytest.mark.once
def test_ctrl_c_ends_the_server(tmp_path):
    pytest.importorskip("uvicorn", reason="needs the extra: pip install keras_fvvae[serving]")
    import tensorflow as tf

    module = tf.Module()
    module.call = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.call)
    assert _printed(SERVES, tmp_path).endswith("stopped")
