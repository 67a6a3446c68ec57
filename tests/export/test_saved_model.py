"""The SavedModel: what TF Serving and a bare TensorFlow see."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_fvvae import zoo
from keras_fvvae.builders.encoders import build_classifier, build_encoder
from keras_fvvae.data import Views, load_digits, resize_image, ten_crops
from keras_fvvae.errors import RunError
from keras_fvvae.explanations import descriptor_contributions
from keras_fvvae.export import export_fused, export_saved_model
from keras_fvvae.export.warmup import WARMUP_FILE
from keras_fvvae.recipes import load_recipe
from keras_fvvae.serving.sampling import SAMPLING, Sampling, read_sampling
from keras_fvvae.tasks.verify import encoded_images, scores_in_fresh_process
from tests.export.test_warmup import read_log
from tests.support.c_api import run_signatures


def _random_classifier(seed=0, class_names=None):
    """An untrained classifier of digits with an SVM of random weights."""
    recipe = load_recipe("digits_conv", information="none")
    model = zoo.load("digits_conv", weights=None)
    encoder = build_encoder(recipe, model.backbone, model)
    result = build_classifier(encoder, class_names or [f"digit {i}" for i in range(10)])
    generator = np.random.default_rng(seed)
    result.svm.set_weights([generator.normal(size=w.shape) for w in result.svm.get_weights()])
    return result


@pytest.fixture(scope="module")
def classifier():
    return _random_classifier()


@pytest.fixture(scope="module")
def saved_model(classifier, tmp_path_factory):
    recipe = load_recipe("digits_conv", information="none")
    return export_saved_model(classifier, tmp_path_factory.mktemp("export"), top_k=3, recipe=recipe)


@pytest.fixture(scope="module")
def images():
    digits = load_digits()
    pixels = np.stack([digits.read(i) for i in range(7)]).astype("float32")
    return encoded_images(digits, range(7)), pixels


SIGNATURES = ["classify_raw", "encode", "encode_raw", "explain", "serving_default"]


@pytest.fixture(scope="module")
def loaded(saved_model):
    return tf.saved_model.load(str(saved_model))


@pytest.fixture(scope="module")
def expected(classifier, images):
    """What every signature must give for the images, by Keras."""
    return _by_keras(classifier, images[1])


def _by_keras(classifier, pixels, mask=None):
    vectors = classifier.encoder(pixels, mask=mask)
    scores = classifier.svm(vectors).numpy()
    order = np.argsort(-scores, axis=1)[:, :3]
    raw = classifier.encoder.encode_raw(pixels, mask=mask).numpy()
    count = np.ones(len(pixels), "float32") if mask is None else mask.sum(axis=1).astype("float32")
    contributions = tf.function(descriptor_contributions)(classifier, pixels, mask=mask).numpy()
    names = np.array(classifier.class_names, object)
    classified = {"scores": scores, "labels": names[order], "label_scores": np.take_along_axis(scores, order, axis=1)}
    return {
        "serving_default": classified,
        "encode": {"fisher_vector": vectors.numpy()},
        "encode_raw": {"raw_sum": raw * count[:, None, None], "count": count},
        "classify_raw": classified,
        "explain": {
            "contributions": contributions.reshape(*contributions.shape[:-1], 8, 8),
            "label": names[order[:, 0]],
            "score": scores.max(axis=1),
            "bias": classifier.svm.bias.numpy()[order[:, 0]],
        },
    }


def _assert_close(outputs, expected):
    """Numbers agree to 1e-5 of the largest, strings exactly.

    For contributions that takes Keras's own graph (`tf.function`, as in `predict`) and the same batch, whose kernels
    round alike: a part is no better conditioned than the smallest entry of the raw vector, in which large parts of both
    signs cancel. Activations that differ by rounding (1e-6) give single parts that differ by 2e-3 of the largest here,
    while their sum stays exact; where nothing cancels, so does every part, see below.
    """
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        if value.dtype == object:
            assert np.array_equal(np.vectorize(bytes.decode)(outputs[name]), value), name
        else:
            scale = np.abs(value).max()
            np.testing.assert_allclose(outputs[name], value, rtol=1e-5, atol=1e-5 * scale, err_msg=name)
    if "contributions" in expected:
        served = outputs["contributions"].reshape(len(expected["score"]), -1).sum(axis=1) + expected["bias"]
        np.testing.assert_allclose(served, expected["score"], rtol=1e-5, atol=1e-5)


def _call(model, name, **inputs):
    outputs = model.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
    return {key: value.numpy() for key, value in outputs.items()}


def test_signatures(loaded):
    assert sorted(loaded.signatures) == SIGNATURES
    for name, signature in loaded.signatures.items():
        inputs = signature.structured_input_signature[1]
        given = {key: (spec.shape.as_list(), spec.dtype) for key, spec in inputs.items()}
        if name == "classify_raw":
            assert given == {"raw_sum": ([None, 64, 32], tf.float32), "count": ([None], tf.float32)}
        else:
            assert given == {"image": ([None], tf.string)}
        for output in signature.structured_outputs.values():
            assert output.shape[0] is None
            assert output.dtype in (tf.float32, tf.string)


def test_every_signature_equals_keras(loaded, images, expected):
    for name in ("serving_default", "encode", "encode_raw", "explain"):
        _assert_close(_call(loaded, name, image=images[0]), expected[name])
    _assert_close(_call(loaded, "classify_raw", **expected["encode_raw"]), expected["classify_raw"])


def test_parts_add_up_to_the_served_score(loaded, images):
    outputs = _call(loaded, "explain", image=images[0])
    total = outputs["contributions"].sum(axis=(1, 2)) + outputs["bias"]
    np.testing.assert_allclose(total, outputs["score"], rtol=1e-5, atol=1e-5)
    assert outputs["contributions"].std() > 1e-3


def test_every_signature_through_the_c_api(saved_model, images, expected, tmp_path):
    """Without Python's TensorFlow: the loader that TensorFlow Serving uses."""
    requests = [(name, {"image": images[0]}) for name in ("serving_default", "encode", "encode_raw", "explain")]
    requests.append(("classify_raw", expected["encode_raw"]))
    for (name, _), outputs in zip(requests, run_signatures(saved_model, requests, tmp_path), strict=True):
        _assert_close(outputs, expected[name])


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
        outputs = _call(loaded, signature, **inputs)
        assert all(len(value) == 1 for value in outputs.values())
        seen.append(signature)
    assert sorted(seen) == SIGNATURES


@pytest.mark.parametrize("count", [1, 64])
def test_batch_sizes(saved_model, classifier, images, expected, count, tmp_path):
    """Those of Keras through the C API; an example's answer does not depend on the others in its batch."""
    which = np.arange(count) % 7
    by_keras = _by_keras(classifier, images[1][which])
    contents = [images[0][i] for i in which]
    requests = [(name, {"image": contents}) for name in ("serving_default", "encode", "encode_raw", "explain")]
    requests.append(("classify_raw", by_keras["encode_raw"]))
    for (name, _), outputs in zip(requests, run_signatures(saved_model, requests, tmp_path), strict=True):
        _assert_close(outputs, by_keras[name])
        if name != "explain":
            _assert_close(outputs, {key: value[which] for key, value in expected[name].items()})


def test_the_same_call_gives_the_same_answers(loaded, images):
    """Sampling and dropout are off."""
    for name in ("serving_default", "explain"):
        first, second = (_call(loaded, name, image=images[0]) for _ in range(2))
        assert all(np.array_equal(first[key], second[key]) for key in first)


def test_graphs_have_no_python_and_no_random_ops(saved_model, videos):
    for path in (saved_model, videos[0]):
        for signature in tf.saved_model.load(str(path)).signatures.values():
            graph = signature.graph.as_graph_def()
            ops = {node.op for node in graph.node} | {node.op for f in graph.library.function for node in f.node_def}
            assert ops
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


@pytest.fixture(scope="module")
def videos(classifier, tmp_path_factory):
    """A model of videos that flags what it cannot decode; frames, their numbers, pixels and mask."""
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (3, 4, 8, 8, 3)).astype("uint8")
    mask = np.arange(4) < np.array([[4], [2], [1]])
    encoded = np.array([[tf.io.encode_png(one).numpy() for one in video] for video in frames], object)
    encoded[~mask] = b"not an image"
    directory = tmp_path_factory.mktemp("videos")
    path = export_saved_model(classifier, directory, Views((8, 8)), "video", top_k=3, valid_output=True)
    return path, encoded, np.array([4, 2, 1], np.int32), frames.astype("float32"), mask


def test_videos_equal_keras(classifier, videos):
    """Padding of any content does not count, and a video is the mean over its frames."""
    path, frames, count, pixels, mask = videos
    model = tf.saved_model.load(str(path))
    expected = _by_keras(classifier, pixels, mask)
    for name in ("serving_default", "encode", "encode_raw", "explain"):
        outputs = _call(model, name, frames=frames, num_frames=count)
        assert outputs.pop("valid").all()
        _assert_close(outputs, expected[name])
    _assert_close(_call(model, "classify_raw", **expected["encode_raw"]), expected["classify_raw"])


def test_videos_through_the_c_api(classifier, videos, tmp_path):
    """The signature that tells the sampling, which nobody can call, does not disturb TensorFlow Serving's loader."""
    path, frames, count, pixels, mask = videos
    content = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    told = read_sampling(content.meta_graphs[0].signature_def[SAMPLING].method_name)
    assert told == {"frames": Sampling(25, size=(8, 8))}
    (outputs,) = run_signatures(path, [("encode", {"frames": frames, "num_frames": count})], tmp_path)
    assert outputs.pop("valid").all()
    _assert_close(outputs, _by_keras(classifier, pixels, mask)["encode"])


def test_a_long_video_in_pieces(videos):
    path, frames, _, _, _ = videos
    model = tf.saved_model.load(str(path))
    whole = _call(model, "serving_default", frames=frames[:1], num_frames=[4])["scores"]
    parts = [_call(model, "encode_raw", frames=frames[:1, cut], num_frames=[n]) for cut, n in ((slice(3), 3), ([3], 1))]
    total = {key: parts[0][key] + parts[1][key] for key in ("raw_sum", "count")}
    np.testing.assert_allclose(_call(model, "classify_raw", **total)["scores"], whole, rtol=1e-5, atol=1e-4)


def test_what_cannot_be_decoded_is_flagged(videos):
    path, frames, count, _, _ = videos
    model = tf.saved_model.load(str(path))
    good = _call(model, "serving_default", frames=frames, num_frames=count)
    bad = frames.copy()
    bad[0, 3] = frames[0, 3][: len(frames[0, 3]) // 2]
    outputs = _call(model, "serving_default", frames=bad, num_frames=np.array([4, 2, 0], np.int32))
    assert outputs["valid"].tolist() == [False, True, False]
    assert np.isnan(outputs["scores"][[0, 2]]).all()
    assert np.isnan(outputs["label_scores"][0]).all()
    assert outputs["labels"][0].tolist() == [b""] * 3
    np.testing.assert_allclose(outputs["scores"][1], good["scores"][1], rtol=1e-5, atol=1e-4)
    assert np.isnan(_call(model, "explain", frames=bad, num_frames=count)["contributions"][0]).all()


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
    outputs = _call(model, "serving_default", image=[png, *bad, jpeg, *images[0]])
    assert outputs["valid"].tolist() == [True, *[False] * len(bad), True, *[True] * 7]
    assert np.isnan(outputs["scores"]).all(axis=1).tolist() == (~outputs["valid"]).tolist()
    expected = classifier.predict_on_batch(images[1])
    np.testing.assert_allclose(outputs["scores"][-7:], expected, rtol=1e-5, atol=1e-4)


def test_wrong_numbers_of_frames_fail_without_the_flag(classifier, videos, tmp_path):
    path = export_saved_model(classifier, tmp_path, Views((8, 8)), "video")
    model = tf.saved_model.load(str(path))
    for count in (0, 5):
        with pytest.raises(tf.errors.InvalidArgumentError, match="num_frames must be from 1"):
            _call(model, "serving_default", frames=videos[1][:1], num_frames=[count])


def test_svm_in_half_precision(classifier, images, tmp_path):
    """The scores are those of rounded weights in single precision, and the file is smaller by half of them."""
    sizes = {}
    for half in (False, True):
        path = export_saved_model(classifier, tmp_path, half_svm=half)
        sizes[half] = sum(file.stat().st_size for file in (path / "variables").iterdir())
    assert 0.95 < (sizes[False] - sizes[True]) / (2 * classifier.svm.kernel.numpy().size) < 1.05
    scores = _call(tf.saved_model.load(str(path)), "serving_default", image=images[0])["scores"]
    rounded = classifier.svm.kernel.numpy().astype("float16").astype("float32")
    expected = classifier.encoder.predict_on_batch(images[1]) @ rounded + classifier.svm.bias.numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=2e-5)
    assert np.abs(scores - classifier.predict_on_batch(images[1])).max() > 2e-5
    assert "float16" in (path / "assets.extra" / "card.md").read_text()


@pytest.fixture(scope="module")
def flow_classifier():
    return _random_classifier(seed=1, class_names=[f"digit {i}" for i in range(10)][::-1])


def test_two_streams_are_fused_inside(classifier, flow_classifier, videos, tmp_path):
    views = [Views((8, 8)), Views((8, 8), modality="flow")]
    path = export_fused([classifier, flow_classifier], tmp_path, views, weights=[1, 3], top_k=3)
    model = tf.saved_model.load(str(path))
    _, frames, count, pixels, mask = videos
    generator = np.random.default_rng(5)
    flow = generator.integers(0, 256, (3, 2, 12, 10, 3)).astype("uint8")  # resized around no motion
    encoded = [[tf.io.encode_png(one).numpy() for one in video] for video in flow]
    inputs = {"frames": frames, "num_frames": count, "flow_frames": encoded, "num_flow_frames": [2, 2, 2]}
    flow_pixels = np.round([[resize_image(one.astype("float32") - 128, (8, 8)) + 128 for one in v] for v in flow])
    scores = np.stack([classifier(pixels, mask=mask), flow_classifier(flow_pixels.astype("float32"))[:, ::-1]])
    expected = np.tensordot([0.25, 0.75], scores, axes=1)
    outputs = _call(model, "serving_default", **inputs)
    np.testing.assert_allclose(outputs["scores"], expected, rtol=1e-5, atol=1e-4)
    assert outputs["labels"][0, 0].decode() == classifier.class_names[expected[0].argmax()]
    parts = _call(model, "explain", **inputs)
    assert parts["contributions"].shape == (3, 4, 8, 8)
    assert parts["flow_contributions"].shape == (3, 2, 8, 8)
    total = parts["contributions"].sum(axis=(1, 2, 3)) + parts["flow_contributions"].sum(axis=(1, 2, 3))
    np.testing.assert_allclose(total + parts["bias"], expected.max(axis=1), rtol=1e-5, atol=1e-4)
    raw = _call(model, "encode_raw", **inputs)
    assert sorted(raw) == ["count", "flow_count", "flow_raw_sum", "raw_sum"]
    np.testing.assert_allclose(_call(model, "classify_raw", **raw)["scores"], expected, rtol=1e-5, atol=1e-4)
    assert sorted(_call(model, "encode", **inputs)) == ["fisher_vector", "flow_fisher_vector"]


def test_what_cannot_be_fused(classifier, flow_classifier, tmp_path):
    rgb, flow = Views((8, 8)), Views((8, 8), modality="flow")
    with pytest.raises(RunError, match="one run on frames and one on optical flow"):
        export_fused([classifier, flow_classifier], tmp_path, [rgb, rgb])
    other = _random_classifier(class_names=["a", "b"])
    with pytest.raises(RunError, match="different classes"):
        export_fused([classifier, other], tmp_path, [rgb, flow])
    with pytest.raises(ValueError, match="2 numbers, none negative"):
        export_fused([classifier, flow_classifier], tmp_path, [rgb, flow], weights=[1, -1])


def test_parts_that_do_not_cancel_equal_keras(images, tmp_path):
    """Products of activations after a ReLU are not negative, so every single part is well conditioned."""
    recipe = load_recipe("digits_conv").replace(representation="bilinear")
    model = zoo.load("digits_conv", weights=None)
    classifier = build_classifier(build_encoder(recipe, model.backbone), ["a", "b"])
    kernel = np.random.default_rng(0).normal(size=classifier.svm.kernel.shape)
    classifier.svm.set_weights([kernel, np.array([0.5, -0.5])])
    served = tf.saved_model.load(str(export_saved_model(classifier, tmp_path)))
    parts = _call(served, "explain", image=images[0])["contributions"]
    expected = descriptor_contributions(classifier, images[1]).numpy().reshape(-1, 8, 8)
    np.testing.assert_allclose(parts, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_a_representation_without_explanation(tmp_path):
    recipe = load_recipe("digits_conv").replace(representation="net_vlad", representation_options={"num_centroids": 2})
    model = zoo.load("digits_conv", weights=None)
    encoder = build_encoder(recipe, model.backbone)
    path = export_saved_model(build_classifier(encoder, ["a", "b"]), tmp_path)
    assert sorted(tf.saved_model.load(str(path)).signatures) == sorted(set(SIGNATURES) - {"explain"})


def test_optical_flow_that_is_refused(classifier, tmp_path):
    with pytest.raises(RunError, match="no image format has its 20 channels"):
        export_saved_model(classifier, tmp_path, Views((8, 8), modality="flow_stack"), kind="video")
    with pytest.raises(RunError, match="Optical flow is of videos"):
        export_saved_model(classifier, tmp_path, Views((8, 8), modality="flow"))
