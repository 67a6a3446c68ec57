"""Quantised ONNX and LiteRT files: what becomes smaller, how it is checked, what is refused."""

import importlib.util
import re

import numpy as np
import pytest
from click.testing import CliRunner
from keras_fvvae.tools import export as export_command

from keras_fvvae.data import load_folder
from keras_fvvae.errors import DataError, RunError
from keras_fvvae.export import quantization as quantization_module
from keras_fvvae.export import quantized_agreement
from keras_fvvae.export.agreement import run_fresh
from keras_fvvae.export.formats import FORMATS
from keras_fvvae.export.quantization import Quantization, require_quantization
from keras_fvvae.export.quantization_litert import PARTS, quantize_litert
from keras_fvvae.tasks.export_formats import export_formats
from keras_fvvae.tasks.quantization_images import quantization_of
from keras_fvvae.training import train as task_train
from keras_fvvae.zoo.sources import open_reading
from tests.support.small_data import TINIEST, write_digits

NEEDED = {"onnx": FORMATS["onnx"].packages, "litert": (*FORMATS["litert"].packages, "ai_edge_quantizer")}


def _skipped(format):
    missing = [package for package in NEEDED[format] if importlib.util.find_spec(package) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {missing}: pip install 'keras_fvvae[onnx,quantize]'")


each = pytest.mark.parametrize("format", [pytest.param(name, marks=_skipped(name)) for name in NEEDED])


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Pictures of digits, one folder a class."""
    return write_digits(tmp_path_factory.mktemp("pictures") / "data")


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    data = load_folder(digits)
    task_train.train(TINIEST, data, folder / "run", backbone_weights=None, cache=folder / "cache", verbose=0)
    return folder / "run"


@each
@pytest.mark.parametrize(("mode", "largest"), [("float16", 0.65), ("int8", 0.55)])
def test_smaller_files_answer_alike(format, mode, largest, digits, tmp_path):
    """The entry of digits: its weights ship, its size is mostly that of the SVM and the encoding."""
    (float32,) = export_formats("digits_conv", tmp_path / "float32", [format])
    (small,) = export_formats("digits_conv", tmp_path / mode, [format], quantize=mode, calibration=digits)
    file = FORMATS[format].file
    sizes = [(one.path / file).stat().st_size for one in (float32, small)]
    assert sizes[1] < largest * sizes[0]
    assert small.agreement.size == sizes[1]
    text = small.agreement.text
    assert text in (small.path / "card.md").read_text()
    assert f"Quantised ({mode})" in text
    assert float(re.search(r"is Keras's for ([\d.]+)% of \d+ images of data\. In float32: ", text)[1]) > 95
    assert "accuracy" not in text  # the folder's classes are not the entry's
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype("uint8")
    wanted, given = (run_fresh(format, one.path / file, {"a": {"pixels": pixels}}) for one in (float32, small))
    change = np.abs(given["a/scores"] - wanted["a/scores"]).max()
    assert 0 < change < (0.05 if mode == "float16" else 0.5) * np.abs(wanted["a/scores"]).max()
    np.testing.assert_allclose(np.linalg.norm(given["a/vector"], axis=1), 1, atol=1e-3)
    assert [path.name for path in small.path.iterdir() if path.suffix == ".onnx"] == [file] * (format == "onnx")


@_skipped("onnx")
def test_the_network_alone_computes_in_integers(digits, tmp_path):
    import onnx

    (small,) = export_formats("digits_conv", tmp_path, ["onnx"], quantize="int8", calibration=digits)
    model = onnx.load(str(small.path / "model.onnx"))
    assert [one.key for one in model.metadata_props] == ["labels"]
    producers = {output: node for node in model.graph.node for output in node.output}
    kinds = {"Conv": set(), "MatMul": set()}
    for node in model.graph.node:
        if node.op_type in kinds:
            kinds[node.op_type] |= {producers[name].op_type for name in node.input if name in producers}
    assert kinds["Conv"] == {"DequantizeLinear"}
    assert "DequantizeLinear" in kinds["MatMul"]  # weights
    assert len(kinds["MatMul"]) > 1  # of activations in float32


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs pip install 'keras_fvvae[openvino]'")
def test_half_the_weights_of_openvino(tmp_path):
    (float32,) = export_formats("digits_conv", tmp_path / "float32", ["openvino"])
    (small,) = export_formats("digits_conv", tmp_path / "float16", ["openvino"], quantize="float16")
    weights = [(one.path / "model.bin").stat().st_size for one in (float32, small)]
    assert weights[1] < 0.55 * weights[0]
    assert "is Keras's for 100.0% of 16 sample inputs" in small.agreement.text


@_skipped("litert")
def test_every_part_by_itself(tmp_path):
    """What `benchmarks.long.quantized_parts` measures: each makes the file smaller, and all together most."""
    (whole,) = export_formats("digits_conv", tmp_path, ["litert"])
    content = (whole.path / "model.tflite").read_bytes()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype("uint8")
    quantization = Quantization("int8", pixels, pixels, None, "")
    sizes = []
    for parts in (*((part,) for part in PARTS), PARTS):
        path = tmp_path / "part.tflite"
        path.write_bytes(content)
        quantize_litert(path, quantization, parts)
        sizes.append(path.stat().st_size)
        assert run_fresh("litert", path, {"a": {"pixels": pixels}})["a/scores"].shape == (4, 10)
    assert max(sizes[:-1]) < len(content)
    assert sizes[-1] < min(sizes[:-1])


@_skipped("litert")
def test_dynamic_ranges_need_no_pictures(tmp_path):
    (small,) = export_formats("digits_conv", tmp_path, ["litert"], quantize="dynamic")
    assert re.search(r"is Keras's for [\d.]+% of 16 sample inputs\. In float32: ", small.agreement.text)


@_skipped("litert")
def test_videos(tmp_path):
    (small,) = export_formats("moving_digits_rgb", tmp_path, ["litert"], quantize="float16")
    assert "Quantised (float16)" in small.agreement.text
    with pytest.raises(RunError, match="takes no calibration frames: choose --quantize float16 or dynamic"):
        export_formats("moving_digits_rgb", tmp_path, ["litert"], quantize="int8")


def test_a_run_is_checked_on_its_test_items(run, digits):
    model = open_reading(run)
    found = quantization_of("int8", model, digits)
    vectors = model.run.vectors()
    tested = len(vectors.names) - vectors.first_test_row
    assert found.title == f"{tested} test images of the run run"
    assert found.checked.dtype == np.uint8
    assert (len(found.checked), found.labels.tolist()) == (tested, vectors.test_labels.tolist())
    assert len(found.calibration) == min(vectors.first_test_row, quantization_module.CALIBRATION_IMAGES)
    # No picture is in both: a range of the test would be a look at it.
    both = {one.tobytes() for one in found.calibration} & {one.tobytes() for one in found.checked}
    assert len(both) <= len({one.tobytes() for one in found.checked}) // 10  # digits that are alike


def test_other_data_than_the_run_s(run, digits, tmp_path):
    for folder in sorted(path for path in digits.rglob("*") if path.is_dir())[:2]:
        picture = next(path for path in digits.rglob("*.png"))
        (tmp_path / "other" / folder.name).mkdir(parents=True, exist_ok=True)
        for name in ("one.png", "two.png", "three.png"):
            (tmp_path / "other" / folder.name / name).write_bytes(picture.read_bytes())
    with pytest.raises(
        DataError, match="items of .*run are not in .*other, such as .*; give the data it was trained on"
    ):
        quantization_of("int8", open_reading(run), tmp_path / "other")


def test_int8_needs_pictures(run, tmp_path):
    with pytest.raises(RunError, match="give --calibration DIR, the data that it was trained on"):
        quantization_of("int8", open_reading(run), None)
    with pytest.raises(
        RunError, match="digits_conv: int8 .*--calibration DIR, a folder of images such as it is to see"
    ):
        quantization_of("int8", open_reading("digits_conv"), None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty has 0 images for --calibration"):
        quantization_of("int8", open_reading("digits_conv"), tmp_path / "empty")
    for name in ("a.png", "b.png"):
        (tmp_path / "empty" / name).write_bytes(b"not a picture")
    with pytest.raises(DataError, match="No image for the quantisation can be read; the first is .*png"):
        quantization_of("int8", open_reading("digits_conv"), tmp_path / "empty")


@_skipped("onnx")
def test_another_classifier_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(quantized_agreement, "LEAST_AGREEING", 1.01)
    with pytest.raises(
        RunError, match="ONNX in float16 gives another best label than Keras for 0% of 16 sample inputs"
    ):
        export_formats("digits_conv", tmp_path, ["onnx"], quantize="float16")
    assert not list(tmp_path.rglob("*"))


def test_what_is_not_quantised(monkeypatch):
    with pytest.raises(RunError, match="SavedModel is not quantised: export it without --quantize"):
        require_quantization("int8", ["onnx", "savedmodel"])
    with pytest.raises(RunError, match="with dynamic ranges answer otherwise: choose --quantize int8 or float16"):
        require_quantization("dynamic", ["onnx"])
    with pytest.raises(RunError, match="OpenVINO's int8 is not written: choose --quantize float16"):
        require_quantization("int8", ["openvino"])
    with pytest.raises(ValueError, match="int8"):
        require_quantization("int9", ["onnx"])
    monkeypatch.setattr(quantization_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"needs the package ai_edge_quantizer: pip install 'keras_fvvae\[quantize\]'"):
        require_quantization("int8", ["litert"])
    require_quantization("float16", ["litert"])


@_skipped("onnx")
def test_the_command(tmp_path):
    def call(*arguments):
        result = CliRunner().invoke(export_command.command, list(map(str, arguments)), catch_exceptions=False)
        return result.exit_code, result.stdout, result.stderr

    code, output, errors = call("digits_conv", "--format", "onnx", "--quantize", "float16", "--out", tmp_path)
    assert (code, output.strip()) == (0, str(tmp_path / "onnx" / "1"))
    assert "Quantised (float16): weights are kept in float16" in errors
    code, _, errors = call("digits_conv", "--format", "onnx", "--calibration", tmp_path, "--out", tmp_path)
    assert (code, "--calibration is for --quantize." in errors) == (2, True)
