"""The SavedModel: what TF Serving and a bare TensorFlow see."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae import zoo
from keras_fvvae.data import Views, load_digits, resize_image, ten_crops
from keras_fvvae.encoders import build_classifier, build_encoder
from keras_fvvae.errors import RunError
from keras_fvvae.export import export_saved_model
from keras_fvvae.recipes import load_recipe
from keras_fvvae.tasks.verify import encoded_images, scores_in_fresh_process


@pytest.fixture(scope="module")
def classifier():
    """An untrained classifier of digits with an SVM of random weights."""
    recipe = load_recipe("digits_conv", information="none")
    model = zoo.load("digits_conv", weights=None)
    result = build_classifier(build_encoder(recipe, model, model.backbone), [f"digit {i}" for i in range(10)])
    generator = np.random.default_rng(0)
    result.svm.set_weights([generator.normal(size=w.shape) for w in result.svm.get_weights()])
    return result


@pytest.fixture(scope="module")
def saved_model(classifier, tmp_path_factory):
    return export_saved_model(classifier, tmp_path_factory.mktemp("export"), top_k=3)


@pytest.fixture(scope="module")
def images():
    digits = load_digits()
    pixels = np.stack([digits.read(i) for i in range(7)]).astype("float32")
    return encoded_images(digits, range(7)), pixels


def test_signatures(saved_model):
    loaded = tf.saved_model.load(str(saved_model))
    assert sorted(loaded.signatures) == ["encode", "serving_default"]
    for signature in loaded.signatures.values():
        inputs = signature.structured_input_signature[1]
        assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in inputs.items()} == {
            "image": ([None], tf.string)
        }
        for output in signature.structured_outputs.values():
            assert output.shape[0] is None
            assert output.dtype in (tf.float32, tf.string)


def test_serving_default_equals_keras(saved_model, classifier, images):
    contents, pixels = images
    outputs = tf.saved_model.load(str(saved_model)).signatures["serving_default"](image=tf.constant(contents))
    expected = classifier.predict_on_batch(pixels)
    assert np.allclose(outputs["scores"], expected, atol=1e-4)
    order = np.argsort(-expected, axis=1)[:, :3]
    assert outputs["labels"].numpy().tolist() == [[f"digit {i}".encode() for i in row] for row in order]
    assert np.allclose(outputs["label_scores"], np.take_along_axis(expected, order, axis=1), atol=1e-4)


def test_encode_equals_keras(saved_model, classifier, images):
    contents, pixels = images
    vectors = tf.saved_model.load(str(saved_model)).signatures["encode"](image=tf.constant(contents))["fisher_vector"]
    assert np.allclose(vectors, classifier.encoder.predict_on_batch(pixels), atol=1e-5)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("count", [1, 7, 64])
def test_batch_sizes(saved_model, images, count):
    serve = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
    outputs = serve(image=tf.constant((images[0] * 10)[:count]))
    assert outputs["scores"].shape == (count, 10)


def test_the_same_call_gives_the_same_scores(saved_model, images):
    """Sampling and dropout are off."""
    serve = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
    first, second = (serve(image=tf.constant(images[0]))["scores"].numpy() for _ in range(2))
    assert np.array_equal(first, second)


def test_graph_has_no_python_and_no_random_ops(saved_model):
    graph = tf.saved_model.load(str(saved_model)).signatures["serving_default"].graph.as_graph_def()
    ops = {node.op for node in graph.node} | {node.op for f in graph.library.function for node in f.node_def}
    assert not [op for op in ops if "PyFunc" in op or "Random" in op]
    assert not any("_XlaMustCompile" in f.attr and f.attr["_XlaMustCompile"].b for f in graph.library.function)


def test_fresh_process_without_the_library(saved_model, classifier, images):
    contents, pixels = images
    scores = scores_in_fresh_process(saved_model, contents)
    assert np.allclose(scores, classifier.predict_on_batch(pixels), atol=1e-4)


def test_undecodable_bytes_fail_in_a_fresh_process(saved_model):
    with pytest.raises(RunError, match="does not run"):
        scores_in_fresh_process(saved_model, [b"not an image"])


def test_versions(classifier, tmp_path):
    assert export_saved_model(classifier, tmp_path).name == "1"
    assert export_saved_model(classifier, tmp_path, version=7).name == "7"
    assert export_saved_model(classifier, tmp_path).name == "8"
    with pytest.raises(RunError, match="7 exists; served versions are never replaced"):
        export_saved_model(classifier, tmp_path, version=7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "7", "8"]


def test_unwritable_folder(classifier, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        export_saved_model(classifier, tmp_path / "file" / "export")


def test_ten_crops(classifier, tmp_path):
    """The served representation is that of the mean of ten views' raw vectors."""
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype("uint8")
    views = Views((8, 8), resize_to=(10, 12), crops="ten")
    saved_model = export_saved_model(classifier, tmp_path, views)
    contents = tf.constant([tf.io.encode_png(image).numpy()])
    vector = tf.saved_model.load(str(saved_model)).signatures["encode"](image=contents)["fisher_vector"]
    resized = resize_image(tf.constant(image), (10, 12))
    crops = ten_crops(resized[tf.newaxis], (8, 8))
    raw = classifier.encoder.predict_raw_on_batch(crops).mean(axis=0, keepdims=True)
    expected = np.reshape(classifier.encoder.normalization(raw), (1, -1))
    assert np.allclose(vector, expected, atol=1e-5)
    plain = export_saved_model(classifier, tmp_path, Views((8, 8)))
    other = tf.saved_model.load(str(plain)).signatures["encode"](image=contents)["fisher_vector"]
    assert not np.allclose(other, expected, atol=1e-3)


def test_videos(classifier, tmp_path):
    """Padding of any content does not count, and a video is the mean over its frames."""
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (5, 8, 8, 3)).astype("uint8")
    encoded = [tf.io.encode_png(frame).numpy() for frame in frames]
    saved_model = export_saved_model(classifier, tmp_path, Views((8, 8)), kind="video")
    served = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
    scores = served(
        frames=tf.constant([encoded[:3], [*encoded[3:], b""], [encoded[0], b"not an image", b""]]),
        num_frames=tf.constant([3, 2, 1], tf.int32),
    )["scores"]
    parts = (frames[:3], frames[3:], frames[:1])
    expected = [classifier(part[np.newaxis].astype("float32"))[0] for part in parts]
    assert np.allclose(scores, expected, atol=1e-4)


def test_optical_flow_is_refused(classifier, tmp_path):
    with pytest.raises(RunError, match="no op that computes the flow"):
        export_saved_model(classifier, tmp_path, Views((8, 8), modality="flow"), kind="video")
