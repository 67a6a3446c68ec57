"""ONNX, LiteRT, OpenVINO and Keras files: what their runtimes answer without this library, and what is refused."""

import contextlib
import importlib.util
import json
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from keras_fvvae.tools import export as export_command

from keras_fvvae import zoo
from keras_fvvae.builders.encoders import build_classifier, build_encoder
from keras_fvvae.data import Views, resize_image
from keras_fvvae.data.crops import ten_crops
from keras_fvvae.errors import RunError
from keras_fvvae.explanations import score_split
from keras_fvvae.explanations.positions import on_picture
from keras_fvvae.export import agreement as agreements
from keras_fvvae.export import formats as export_formats_table
from keras_fvvae.export.agreement import Reference, run_fresh
from keras_fvvae.export.formats import FORMATS, require_formats
from keras_fvvae.export.matrix_resize import scale_by_products
from keras_fvvae.export.openvino_model import write_openvino
from keras_fvvae.export.portable import write_litert, write_onnx
from keras_fvvae.recipes import load_recipe
from keras_fvvae.serving.version_folders import version_folders
from keras_fvvae.tasks.export_formats import export_formats
from keras_fvvae.utils.files import sha256
from keras_fvvae.zoo.sources import open_reading
from tests.support.served import random_classifier

WRITERS = {"onnx": write_onnx, "litert": write_litert, "openvino": write_openvino}


def _installed(format):
    return all(importlib.util.find_spec(package) for package in FORMATS[format].packages)


def _skipped(format):
    return pytest.mark.skipif(not _installed(format), reason=f"needs pip install 'keras_fvvae[{format}]'")


each = pytest.mark.parametrize("format", [pytest.param(name, marks=_skipped(name)) for name in WRITERS])


@pytest.mark.parametrize("mode", ["squeeze", "crop", "pad"])
@pytest.mark.parametrize("size", [(8, 8), (40, 31), (17, 60)])
def test_products_of_matrices_resize_as_tensorflow(mode, size):
    images = np.random.default_rng(0).uniform(0, 255, (2, 31, 23, 3)).astype("float32")
    wanted = np.stack([resize_image(tf.constant(one), size, mode) for one in images])
    np.testing.assert_array_equal(resize_image(tf.constant(images), size, mode), wanted)
    np.testing.assert_allclose(resize_image(tf.constant(images), size, mode, scale_by_products), wanted, atol=1e-3)


@each
@pytest.mark.parametrize("crops", ["center", "ten"])
def test_images(format, crops, classifier, tmp_path):
    """The runtime's answers are Keras's on the crops of the training, resized in the graph where it can."""
    views = Views((8, 8), resize_to=(10, 12), resize="crop", crops=crops)
    path = tmp_path / FORMATS[format].file
    WRITERS[format](classifier, views, "image", path)
    sides = (10, 12) if format == "litert" else (30, 21)
    pixels = np.random.default_rng(0).integers(0, 256, (3, *sides, 3)).astype("uint8")
    outputs = run_fresh(format, path, {"a": {"pixels": pixels}, "b": {"pixels": pixels[:1]}})
    resized = resize_image(tf.constant(pixels), (10, 12), "crop")
    views_ = views.crop(resized) if crops == "center" else tf.reshape(ten_crops(resized, (8, 8)), (3, 10, 8, 8, 3))
    vectors = classifier.encoder(views_)
    np.testing.assert_allclose(outputs["a/vector"], vectors, atol=1e-5)
    scores = np.asarray(classifier.svm(vectors))
    np.testing.assert_allclose(outputs["a/scores"], scores, atol=1e-4 * np.abs(scores).max())
    np.testing.assert_allclose(outputs["b/scores"], scores[:1], atol=1e-4 * np.abs(scores).max())
    assert sorted(outputs) == ["a/scores", "a/vector", "b/scores", "b/vector"]


@each
def test_videos(format, classifier, tmp_path):
    """Frames after an example's own are nothing; a number of frames that cannot be gives NaN, not an answer."""
    path = tmp_path / FORMATS[format].file
    WRITERS[format](classifier, Views((8, 8)), "video", path)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8, 3)).astype("uint8")
    count = np.array([3, 2, 0, 4], "int32")
    outputs = run_fresh(format, path, {"a": {"pixels": pixels, "num_frames": count}})
    mask = np.arange(3) < count[:, np.newaxis]
    scores = np.asarray(classifier(pixels.astype("float32"), mask=mask))
    np.testing.assert_allclose(outputs["a/scores"][:2], scores[:2], atol=1e-4 * np.abs(scores).max())
    assert np.isnan(outputs["a/scores"][2:]).all()


def _assert_parts(outputs, classifier, views, expected):
    """Of images: where Keras has them, on the map of the resized picture, and with the bias the best score."""
    split = score_split(classifier.encoder, views)
    scores = np.asarray(classifier.svm(split.vectors))
    best = scores.argmax(axis=1)
    kernel, bias = classifier.svm.get_weights()
    wanted = expected(split.maps(split.split(kernel.T[best])[0]))
    parts = outputs["a/contributions"]
    # Parts follow rounding where entries cancel, as those of a random network do (docs/explanations.md).
    np.testing.assert_allclose(parts, wanted, atol=0.02 * np.abs(wanted).max())
    total = parts.reshape(len(parts), -1).sum(axis=1) + outputs["a/bias"]
    np.testing.assert_allclose(total, scores.max(axis=1), atol=agreements.PARTS * np.abs(scores).max())
    np.testing.assert_allclose(outputs["a/bias"], bias[best], atol=1e-6)


@each
@pytest.mark.parametrize("normalization", ["usual", "spectral"])
def test_parts_of_the_score(format, normalization, classifier, spectral_classifier, tmp_path):
    classifier = classifier if normalization == "usual" else spectral_classifier
    views = Views((8, 8), resize_to=(10, 12), crops="ten")
    path = tmp_path / FORMATS[format].file
    WRITERS[format](classifier, views, "image", path, explained=True)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 10, 12, 3)).astype("uint8")
    outputs = run_fresh(format, path, {"a": {"pixels": pixels}})
    crops = tf.reshape(ten_crops(tf.constant(pixels, tf.float32), (8, 8)), (3, 10, 8, 8, 3))
    _assert_parts(outputs, classifier, crops, lambda maps: on_picture(maps, views))


@each
def test_parts_of_frames(format, classifier, tmp_path):
    path = tmp_path / FORMATS[format].file
    WRITERS[format](classifier, Views((8, 8)), "video", path, explained=True)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2, 8, 8, 3)).astype("uint8")
    count = np.array([2, 2, 0], "int32")
    outputs = run_fresh(format, path, {"a": {"pixels": pixels, "num_frames": count}})
    assert all(np.isnan(outputs[f"a/{name}"][2]).all() for name in ("contributions", "bias"))
    outputs = {name: value[:2] for name, value in outputs.items()}
    _assert_parts(outputs, classifier, pixels[:2].astype("float32"), lambda maps: maps)


@each
def test_what_is_not_split_has_no_parts(format, tmp_path):
    recipe = load_recipe("digits_conv", representation="concatenation")
    encoder = build_encoder(recipe, random_classifier().encoder.backbone)
    classifier = build_classifier(encoder, ["a", "b"])
    path = tmp_path / FORMATS[format].file
    WRITERS[format](classifier, Views((8, 8)), "image", path, explained=True)
    outputs = run_fresh(format, path, {"a": {"pixels": np.zeros((1, 8, 8, 3), "uint8")}})
    assert sorted(outputs) == ["a/scores", "a/vector"]


@_skipped("litert")
def test_parts_that_do_not_add_up(tmp_path, monkeypatch):
    monkeypatch.setattr(agreements, "PARTS", -1.0)
    with pytest.raises(RunError, match="In LiteRT the parts of the scores do not add up to them: they are off by"):
        export_formats("digits_conv", tmp_path, ["litert"])
    assert not list(tmp_path.rglob("*"))


@each
@pytest.mark.parametrize("activation", ["gelu", "silu", "hard_silu", "mish", "elu", "softplus"])
def test_activations_of_newer_networks(format, activation, tmp_path):
    """ConvNeXt's and transformers' exact GELU is made of an operation that ONNX does not have."""
    images = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(6, 3, activation=activation)(keras.layers.Rescaling(1 / 32, -4)(images))
    recipe = load_recipe("digits_conv", representation="bilinear", vector_normalization="usual")
    classifier = build_classifier(build_encoder(recipe, keras.Model(images, maps)), ["a", "b"])
    path = tmp_path / FORMATS[format].file
    WRITERS[format](classifier, Views((8, 8)), "image", path)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype("uint8")
    outputs = run_fresh(format, path, {"a": {"pixels": pixels}})
    np.testing.assert_allclose(outputs["a/vector"], classifier.encoder(pixels.astype("float32")), atol=1e-5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An entry in every format that can be written here."""
    out = tmp_path_factory.mktemp("formats")
    formats = [name for name in FORMATS if name not in WRITERS or _installed(name)]
    return out, dict(zip(formats, export_formats("digits_conv", out, formats), strict=True))


def test_all_at_once(exported):
    """One version number; a server of SavedModels sees only its own folders."""
    out, written = exported
    assert written["savedmodel"].path == out / "1"
    assert {name: one.path for name, one in written.items() if name != "savedmodel"} == {
        name: out / name / "1" for name in written if name != "savedmodel"
    }
    assert version_folders(out) == {1: out / "1"}
    assert all(one.agreement.difference < 1e-4 for one in written.values())
    assert "in a fresh process" in (out / "1" / "assets.extra" / "card.md").read_text()


def test_what_lies_beside_a_model(exported):
    out, written = exported
    for name in written.keys() - {"savedmodel"}:
        folder = out / name / "1"
        assert sorted(path.name for path in folder.iterdir()) == sorted(
            ["card.md", "labels.txt", FORMATS[name].file, "recipe.yaml", "signature.json"]
            + ([FORMATS[name].weights] if FORMATS[name].weights else [])
        )
        signature = json.loads((folder / "signature.json").read_text())
        assert signature["labels"] == (folder / "labels.txt").read_text().splitlines() == [str(i) for i in range(10)]
        assert " ms for 16" in (folder / "card.md").read_text()
    assert sha256(out / "keras" / "1" / "model.keras") == sha256(open_reading("digits_conv").model)


@_skipped("onnx")
def test_an_onnx_file_says_what_it_takes(exported):
    import onnxruntime

    path = exported[0] / "onnx" / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(str(path))
    (given,) = session.get_inputs()
    assert (given.name, given.shape, given.type) == ("pixels", ["N", "height", "width", 3], "tensor(uint8)")
    outputs = {one.name: one.shape for one in session.get_outputs()}
    signature = json.loads(path.with_name("signature.json").read_text())
    assert outputs.pop("contributions") == ["N", 8, 8]
    told = {one["name"]: one["shape"] for one in signature["outputs"]}
    assert told.pop("contributions") == ["N", "rows", "columns"]
    assert outputs == told
    assert outputs["scores"] == ["N", 10]
    labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
    assert labels == signature["labels"]


@_skipped("openvino")
def test_an_openvino_model_says_what_it_takes(exported):
    assert sys.modules["openvino_telemetry"] is None  # barred by the exporter: nothing is told to anyone
    from openvino import Core

    folder = exported[0] / "openvino" / "1"
    model = Core().read_model(folder / "model.xml")
    (given,) = model.inputs
    assert (given.get_any_name(), str(given.partial_shape), str(given.element_type)) == (
        "pixels",
        "[?,?,?,3]",
        "<Type: 'uint8_t'>",
    )
    signature = json.loads((folder / "signature.json").read_text())
    assert signature["weights_file"] == "model.bin"
    outputs = {one.get_any_name(): one.partial_shape for one in model.outputs}
    assert {name: len(shape) for name, shape in outputs.items()} == {
        one["name"]: len(one["shape"]) for one in signature["outputs"]
    }
    assert str(outputs["scores"]) == "[?,10]"
    assert json.loads(model.get_rt_info(["labels"]).value) == signature["labels"]
    size = sum((folder / name).stat().st_size for name in ("model.xml", "model.bin"))
    assert exported[1]["openvino"].agreement.size == size


def test_the_next_version_is_one_for_all(exported):
    out, _ = exported
    (written,) = export_formats("digits_conv", out, ["keras"])
    assert written.path == out / "keras" / "2"
    with pytest.raises(RunError, match="keras/2 exists; served versions are never replaced"):
        export_formats("digits_conv", out, ["keras"], version=2)


@_skipped("onnx")
def test_a_disagreement_leaves_nothing(tmp_path, monkeypatch):
    """Keras's scores are changed under the comparison: as if the file were wrong."""

    class Wrong(Reference):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.scores = {name: value + 1 for name, value in self.scores.items()}

    monkeypatch.setattr("keras_fvvae.tasks.export_formats.Reference", Wrong)
    with pytest.raises(RunError, match="ONNX answers otherwise than Keras: scores differ by up to 1 "):
        export_formats("digits_conv", tmp_path, ["keras", "onnx"])
    assert not list(tmp_path.rglob("*"))


@pytest.fixture
def spectral_classifier(classifier):
    """Its vectors are normalised by their singular values, and of attended positions, as those of photos_lite2."""
    recipe = load_recipe("digits_conv", vector_normalization="spectral", information="none", attention=True)
    model = zoo.load("digits_conv", weights=None, attention=True)
    for weight in model.fvvae.attention_score.weights:
        weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    encoder = build_encoder(recipe, classifier.encoder.backbone, model)
    result = build_classifier(encoder, ["a", "b"])
    result.svm.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in result.svm.get_weights()])
    return result


@each
def test_singular_values(format, spectral_classifier, tmp_path):
    """Keras computes eigenvalues, the file products of matrices."""
    path = tmp_path / FORMATS[format].file
    WRITERS[format](spectral_classifier, Views((8, 8)), "image", path)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype("uint8")
    pixels[-1] = 0
    outputs = run_fresh(format, path, {"a": {"pixels": pixels}})
    vectors = spectral_classifier.encoder(pixels.astype("float32"))
    np.testing.assert_allclose(outputs["a/vector"], vectors, atol=2e-4)
    scores = np.asarray(spectral_classifier.svm(vectors))
    np.testing.assert_allclose(outputs["a/scores"], scores, atol=1e-4 * np.abs(scores).max())


@each
def test_what_cannot_be_converted(format, spectral_classifier, tmp_path, monkeypatch):
    """Eigenvalues stay in the graph where nothing takes their place: LiteRT and ONNX have no such operation."""
    monkeypatch.setattr("keras_fvvae.export.portable.without_eigenvalues", contextlib.nullcontext)
    title = FORMATS[format].title
    with pytest.raises(RunError, match=f"to {title}: it has no operation SelfAdjointEigV2. .*--format savedmodel"):
        WRITERS[format](spectral_classifier, Views((8, 8)), "image", tmp_path / FORMATS[format].file)


def test_optical_flow_is_refused(tmp_path):
    with pytest.raises(RunError, match="moving_digits_flow is of optical flow, which only a SavedModel takes"):
        export_formats("moving_digits_flow", tmp_path, ["keras"])
    assert not list(tmp_path.iterdir())


def test_a_missing_package(monkeypatch):
    monkeypatch.setattr(export_formats_table.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"ONNX needs the package tf2onnx: pip install 'keras_fvvae\[onnx\]'"):
        require_formats(["savedmodel", "onnx"])
    with pytest.raises(ValueError, match="onnx"):
        require_formats(["onx"])


def test_pixels_of_a_saved_model(exported):
    """The signature answers as that of encoded images, of pixels of another size too."""
    signatures = tf.saved_model.load(str(exported[0] / "1")).signatures
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 13, 3)).astype("uint8")
    encoded = tf.constant([tf.io.encode_png(one).numpy() for one in pixels])
    wanted = signatures["serving_default"](image=encoded)
    given = signatures["classify_pixels"](pixels=tf.constant(pixels))
    assert given.keys() == wanted.keys()
    np.testing.assert_allclose(given["scores"], wanted["scores"], atol=1e-5)
    assert (given["labels"].numpy() == wanted["labels"].numpy()).all()


def test_the_command(tmp_path):
    def call(*arguments):
        result = CliRunner().invoke(export_command.command, list(map(str, arguments)), catch_exceptions=False)
        return result.exit_code, result.stdout, result.stderr

    code, output, errors = call("digits_conv", "--format", "keras", "--out", tmp_path)
    assert (code, output.strip()) == (0, str(tmp_path / "keras" / "1"))
    assert " MB; " in errors
    code, _, errors = call("digits_conv", "--format", "keras", "--half-svm", "--out", tmp_path)
    assert code == 2
    assert "--half-svm is of SavedModels: add --format savedmodel." in errors
    code, _, errors = call("digits_conv", "digits_conv", "--format", "keras", "--out", tmp_path)
    assert code == 2
    assert "Two fused runs are exported as a SavedModel only" in errors
    assert agreements.TOLERANCE <= 1e-4
    assert zoo.load_classifier(tmp_path / "keras" / "1" / "model.keras").class_names[3] == "3"
