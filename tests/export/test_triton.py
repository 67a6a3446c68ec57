"""Triton's configuration beside an ONNX export, and what Triton's own messages make of it."""

import subprocess
import sys
import venv

import pytest

from keras_fvvae.export.triton import config, write_config
from keras_fvvae.utils.files import write_json

SCORES = {"name": "scores", "dtype": "float32", "shape": ["N", 3]}
VECTOR = {"name": "vector", "dtype": "float32", "shape": ["N", 64]}
IMAGES = {
    "file": "model.onnx",
    "inputs": [{"name": "pixels", "dtype": "uint8", "shape": ["N", "height", "width", 3]}],
    "outputs": [SCORES, {**SCORES, "name": "probabilities"}, VECTOR],
}
VIDEOS = {
    "file": "model.onnx",
    "inputs": [
        {"name": "pixels", "dtype": "uint8", "shape": ["N", "T", "height", "width", 3]},
        {"name": "num_frames", "dtype": "int32", "shape": ["N"]},
    ],
    "outputs": [SCORES, VECTOR],
}
# Prints what Triton reads, in an environment of its own: its client's protobuf is older than TensorFlow's.
READ = """
import sys
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

config = text_format.Parse(sys.stdin.read(), ModelConfig())
for one in (*config.input, *config.output):
    reshaped = list(one.reshape.shape) if one.HasField("reshape") else "as it is"
    print(one.name, DataType.Name(one.data_type), list(one.dims), reshaped, getattr(one, "label_filename", ""))
print(config.backend, config.default_model_filename, config.max_batch_size, config.HasField("dynamic_batching"))
"""


def test_files(tmp_path):
    version = tmp_path / "onnx" / "3"
    version.mkdir(parents=True)
    (version / "labels.txt").write_text("a\nb\nc\n")
    write_json(version / "signature.json", IMAGES)
    write_config(version)
    assert sorted(path.name for path in version.parent.iterdir()) == ["3", "config.pbtxt", "labels.txt"]
    assert (version.parent / "config.pbtxt").read_text() == config(IMAGES)
    assert (version.parent / "labels.txt").read_text() == "a\nb\nc\n"


def test_a_number_an_example_is_no_list_of_one():
    assert "dims: [1]\n  reshape { shape: [ ] }" in config(VIDEOS)
    assert "reshape" not in config(IMAGES)


@pytest.mark.slow
def test_triton_reads_it(tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    done = subprocess.run([python, "-m", "pip", "install", "-q", "tritonclient[grpc]"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"tritonclient cannot be installed: {done.stderr.strip().splitlines()[-1]}")

    def read(signature):
        text = config(signature)
        return subprocess.run(
            [python, "-c", READ], input=text, capture_output=True, text=True, check=True
        ).stdout.splitlines()

    assert read(IMAGES) == [
        "pixels TYPE_UINT8 [-1, -1, 3] as it is ",
        "scores TYPE_FP32 [3] as it is labels.txt",
        "probabilities TYPE_FP32 [3] as it is labels.txt",
        "vector TYPE_FP32 [64] as it is ",
        "onnxruntime model.onnx 32 True",
    ]
    assert read(VIDEOS) == [
        "pixels TYPE_UINT8 [-1, -1, -1, 3] as it is ",
        "num_frames TYPE_INT32 [1] [] ",
        "scores TYPE_FP32 [3] as it is labels.txt",
        "vector TYPE_FP32 [64] as it is ",
        "onnxruntime model.onnx 32 True",
    ]
