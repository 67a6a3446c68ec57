"""The SavedModel: what TF Serving and a bare TensorFlow see."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae import zoo
from keras_fvvae.builders.encoders import build_classifier, build_encoder
from keras_fvvae.data import Views, resize_image, ten_crops
from keras_fvvae.errors import RunError
from keras_fvvae.explanations import descriptor_contributions
from keras_fvvae.export import export_saved_model
from keras_fvvae.recipes import load_recipe
from keras_fvvae.tasks.verify import scores_in_fresh_process
from keras_fvvae.utils.prediction_logs import WARMUP_FILE
from tests.export.test_warmup import read_log
from tests.support.c_api import run_signatures
from tests.support.served import SIGNATURES, assert_outputs, call_signature, outputs_by_keras


def test_signatures(loaded):
    assert sorted(loaded.signatures) == SIGNATURES
    for name, signature in loaded.signatures.items():
        inputs = signature.structured_input_signature[1]
        given = {key: (spec.shape.as_list(), spec.dtype) for key, spec in inputs.items()}
        if name == "classify_raw":
            assert given == {"raw_sum": ([None, 64, 32], tf.float32), "count": ([None], tf.float32)}
        elif name == "classify_pixels":
            assert given == {"pixels": ([None, None, None, 3], tf.uint8)}
        elif name == "explain_match":
            assert given == {"image": ([None], tf.string), "match": ([None, 2048], tf.float32)}
        else:
            assert given == {"image": ([None], tf.string)}
        for output in signature.structured_outputs.values():
            assert output.shape[0] is None
            assert output.dtype in (tf.float32, tf.string)


def test_every_signature_equals_keras(loaded, images, expected):
    for name in ("serving_default", "encode", "encode_raw", "explain"):
        assert_outputs(call_signature(loaded, name, image=images[0]), expected[name])
    assert_outputs(call_signature(loaded, "classify_raw", **expected["encode_raw"]), expected["classify_raw"])


def test_parts_add_up_to_the_served_score(loaded, images):
    outputs = call_signature(loaded, "explain", image=images[0])
    total = outputs["contributions"].sum(axis=(1, 2)) + outputs["bias"]
    np.testing.assert_allclose(total, outputs["score"], rtol=1e-5, atol=1e-5)
    assert outputs["contributions"].std() > 1e-3


def test_a_similarity_is_split_over_both(loaded, images):
    """The other's vector is fixed; the sums of both are the product of their vectors, in the same graph."""
    others = images[0][::-1]
    vectors, matches = (call_signature(loaded, "encode", image=one)["fisher_vector"] for one in (images[0], others))
    for image, match in ((images[0], matches), (others, vectors)):
        outputs = call_signature(loaded, "explain_match", image=image, match=3 * match)  # of any length
        np.testing.assert_allclose(outputs["similarity"], np.sum(vectors * matches, axis=1), atol=1e-5)
        total = outputs["contributions"].sum(axis=(1, 2)) + outputs["constant"]
        np.testing.assert_allclose(total, outputs["similarity"], atol=1e-5)


def test_every_signature_through_the_c_api(saved_model, images, expected, tmp_path):
    """Without Python's TensorFlow: the loader that TensorFlow Serving uses."""
    requests = [(name, {"image": images[0]}) for name in ("serving_default", "encode", "encode_raw", "explain")]
    requests.append(("classify_raw", expected["encode_raw"]))
    for (name, _), outputs in zip(requests, run_signatures(saved_model, requests, tmp_path), strict=True):
        assert_outputs(outputs, expected[name])


def test_saved_model_cli_runs_it(saved_model, images, tmp_path):
    np.save(tmp_path / "images.npy", np.array(images[0], "S"))
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run", "--dir", saved_model]
    command += ["--tag_set", "serve", "--signature_def", "encode", "--inputs", f"image={tmp_path / 'images.npy'}"]
    command += ["--outdir", tmp_path / "out"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    vectors = np.load(tmp_path / "out" / "fisher_vector.npy")
    assert vectors.shape == (7, 2048)


def test_what_lies_beside_the_graph(saved_model, classifier):
    assert (saved_model / "assets" / "labels.txt").read_text().splitlines() == classifier.class_names
    card = (saved_model / "assets.extra" / "card.md").read_text()
    assert "`classify_raw` | `raw_sum: float32[N, 64, 32]`" in card
    assert "Handwritten digits" in card
    assert load_recipe(saved_model / "assets.extra" / "recipe.yaml").latent_dim == 31


def test_warmup_replays(saved_model, loaded):
    """Every record is answered; the messages are read by hand as test_warmup.py checks them with the protos."""
    records = list(tf.data.TFRecordDataset(str(saved_model / WARMUP_FILE)).as_numpy_iterator())
    seen = []
    for record in records:
        signature, inputs = read_log(record)
        outputs = call_signature(loaded, signature, **inputs)
        assert all(len(value) == 1 for value in outputs.values())
        seen.append(signature)
    assert sorted(seen) == SIGNATURES


@pytest.mark.parametrize("count", [1, 64])
def test_batch_sizes(saved_model, classifier, images, expected, count, tmp_path):
    """Those of Keras through the C API; an example's answer does not depend on the others in its batch."""
    which = np.arange(count) % 7
    by_keras = outputs_by_keras(classifier, images[1][which])
    contents = [images[0][i] for i in which]
    requests = [(name, {"image": contents}) for name in ("serving_default", "encode", "encode_raw", "explain")]
    requests.append(("classify_raw", by_keras["encode_raw"]))
    for (name, _), outputs in zip(requests, run_signatures(saved_model, requests, tmp_path), strict=True):
        assert_outputs(outputs, by_keras[name])
        if name != "explain":
            assert_outputs(outputs, {key: value[which] for key, value in expected[name].items()})


def test_the_same_call_gives_the_same_answers(loaded, images):
    """Sampling and dropout are off."""
    for name in ("serving_default", "explain"):
        first, second = (call_signature(loaded, name, image=images[0]) for _ in range(2))
        assert all(np.array_equal(first[key], second[key]) for key in first)


def test_graphs_have_no_python_and_no_random_ops(saved_model, videos):
    for path in (saved_model, videos[0]):
        for signature in tf.saved_model.load(str(path)).signatures.values():
            graph = signature.graph.as_graph_def()
            ops = {node.op for node in graph.node} | {node.op for f in graph.library.function for node in f.node_def}
            assert ops
            assert not [op for op in ops if "PyFunc" in op or "Random" in op]
            assert not any("_XlaMustCompile" in f.attr and f.attr["_XlaMustCompile"].b for f in graph.library.function)


def test_undecodable_bytes_fail_in_a_fresh_process(saved_model):
    """That others give there what Keras gives is checked by the demo."""
    with pytest.raises(RunError, match="does not run"):
        scores_in_fresh_process(saved_model, [b"not an image"])


def test_versions(classifier, tmp_path):
    assert export_saved_model(classifier, tmp_path, version=7).name == "7"
    assert export_saved_model(classifier, tmp_path).name == "8"
    with pytest.raises(RunError, match="7 exists; served versions are never replaced"):
        export_saved_model(classifier, tmp_path, version=7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["7", "8"]


def test_unwritable_folder(classifier, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        export_saved_model(classifier, tmp_path / "file" / "export")


def test_full_disk(classifier, tmp_path, small_disk):
    """TensorFlow's own message names a hidden folder and its operation."""
    disk = small_disk(300)
    with pytest.raises(
        RunError, match=r"The export to .*disk/out/1 failed: .*\. Free space or rights there\."
    ) as caught:
        export_saved_model(classifier, disk / "out")
    assert "No space left on device" in str(caught.value)
    assert "partial" not in str(caught.value)
    assert [path.name for path in (disk / "out").iterdir()] == []


@pytest.mark.parametrize("name", ["a [1]", "gs://bucket/a"])
def test_folders_that_cannot_be_loaded_are_refused(classifier, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="cannot be used: .*Choose another"):
        export_saved_model(classifier, name)
    assert not list(tmp_path.iterdir())


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
    parts = tf.saved_model.load(str(saved_model)).signatures["explain"](image=contents)
    assert parts["contributions"].shape == (1, 10, 12)
    total = np.sum(parts["contributions"]) + parts["bias"][0]
    np.testing.assert_allclose(total, classifier.svm(expected).numpy().max(), rtol=1e-5)
    plain = classifier.encoder.predict_on_batch(resize_image(tf.constant(image), (8, 8))[tf.newaxis])
    assert not np.allclose(plain, expected, atol=1e-3)


def test_corrupt_images_of_every_kind_are_flagged(classifier, images, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype("uint8")
    png, jpeg = tf.io.encode_png(pixels).numpy(), tf.io.encode_jpeg(pixels).numpy()
    bad = [
        b"",
        b"not an image",
        png[:30],
        png[:-40],
        png[:60] + b"xyz" + png[63:],
        jpeg[:50],
        jpeg[: len(jpeg) // 2],
        b"\xff\xd8\xff" + b"x" * 50,
        b"GIF89a" + b"1" * 30,
        b"BM" + b"2" * 60,
        b"RIFF" + b"3" * 70,
    ]
    model = tf.saved_model.load(str(export_saved_model(classifier, tmp_path, valid_output=True)))
    outputs = call_signature(model, "serving_default", image=[png, *bad, jpeg, *images[0]])
    assert outputs["valid"].tolist() == [True, *[False] * len(bad), True, *[True] * 7]
    assert np.isnan(outputs["scores"]).all(axis=1).tolist() == (~outputs["valid"]).tolist()
    expected = classifier.predict_on_batch(images[1])
    np.testing.assert_allclose(outputs["scores"][-7:], expected, rtol=1e-5, atol=1e-4)


def test_svm_in_half_precision(classifier, images, tmp_path):
    """The scores are those of rounded weights in single precision, and the file is smaller by half of them."""
    sizes = {}
    for half in (False, True):
        path = export_saved_model(classifier, tmp_path, half_svm=half)
        sizes[half] = sum(file.stat().st_size for file in (path / "variables").iterdir())
    assert 0.95 < (sizes[False] - sizes[True]) / (2 * classifier.svm.kernel.numpy().size) < 1.05
    scores = call_signature(tf.saved_model.load(str(path)), "serving_default", image=images[0])["scores"]
    rounded = classifier.svm.kernel.numpy().astype("float16").astype("float32")
    expected = classifier.encoder.predict_on_batch(images[1]) @ rounded + classifier.svm.bias.numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=2e-5)
    assert np.abs(scores - classifier.predict_on_batch(images[1])).max() > 2e-5
    assert "float16" in (path / "assets.extra" / "card.md").read_text()


def test_parts_that_do_not_cancel_equal_keras(images, tmp_path):
    """Products of activations after a ReLU are not negative, so every single part is well conditioned."""
    recipe = load_recipe("digits_conv").replace(representation="bilinear")
    model = zoo.load("digits_conv", weights=None)
    classifier = build_classifier(build_encoder(recipe, model.backbone), ["a", "b"])
    kernel = np.random.default_rng(0).normal(size=classifier.svm.kernel.shape)
    classifier.svm.set_weights([kernel, np.array([0.5, -0.5])])
    served = tf.saved_model.load(str(export_saved_model(classifier, tmp_path)))
    parts = call_signature(served, "explain", image=images[0])["contributions"]
    expected = descriptor_contributions(classifier, images[1]).numpy().reshape(-1, 8, 8)
    np.testing.assert_allclose(parts, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_a_representation_without_explanation(tmp_path):
    recipe = load_recipe("digits_conv").replace(representation="net_vlad", representation_options={"num_centroids": 2})
    model = zoo.load("digits_conv", weights=None)
    encoder = build_encoder(recipe, model.backbone)
    path = export_saved_model(build_classifier(encoder, ["a", "b"]), tmp_path)
    assert sorted(tf.saved_model.load(str(path)).signatures) == sorted(set(SIGNATURES) - {"explain", "explain_match"})
