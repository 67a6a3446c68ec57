"""The SavedModel of videos: frames, their number, flags, two streams in one."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_fvvae.data import Views, resize_image
from keras_fvvae.errors import RunError
from keras_fvvae.export import export_fused, export_saved_model
from keras_fvvae.serving.sampling import SAMPLING, Sampling, read_sampling
from tests.support.c_api import run_signatures
from tests.support.served import assert_outputs, call_signature, outputs_by_keras, random_classifier


def test_videos_equal_keras(classifier, videos):
    """Padding of any content does not count, and a video is the mean over its frames."""
    path, frames, count, pixels, mask = videos
    model = tf.saved_model.load(str(path))
    expected = outputs_by_keras(classifier, pixels, mask)
    for name in ("serving_default", "encode", "encode_raw", "explain"):
        outputs = call_signature(model, name, frames=frames, num_frames=count)
        assert outputs.pop("valid").all()
        assert_outputs(outputs, expected[name])
    assert_outputs(call_signature(model, "classify_raw", **expected["encode_raw"]), expected["classify_raw"])
    matches = expected["encode"]["fisher_vector"][::-1]
    outputs = call_signature(model, "explain_match", frames=frames, num_frames=count, match=matches)
    similarities = np.sum(expected["encode"]["fisher_vector"] * matches, axis=1)
    np.testing.assert_allclose(outputs["contributions"].sum(axis=(1, 2, 3)), similarities, atol=1e-5)
    assert not outputs["contributions"][~mask].any()


def test_videos_through_the_c_api(classifier, videos, tmp_path):
    """The signature that tells the sampling, which nobody can call, does not disturb TensorFlow Serving's loader."""
    path, frames, count, pixels, mask = videos
    content = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    told = read_sampling(content.meta_graphs[0].signature_def[SAMPLING].method_name)
    assert told == {"frames": Sampling(25, size=(8, 8), resize_to=(8, 8))}
    (outputs,) = run_signatures(path, [("encode", {"frames": frames, "num_frames": count})], tmp_path)
    assert outputs.pop("valid").all()
    assert_outputs(outputs, outputs_by_keras(classifier, pixels, mask)["encode"])


def test_a_long_video_in_pieces(videos):
    path, frames, _, _, _ = videos
    model = tf.saved_model.load(str(path))
    whole = call_signature(model, "serving_default", frames=frames[:1], num_frames=[4])["scores"]
    parts = [
        call_signature(model, "encode_raw", frames=frames[:1, cut], num_frames=[n])
        for cut, n in ((slice(3), 3), ([3], 1))
    ]
    total = {key: parts[0][key] + parts[1][key] for key in ("raw_sum", "count")}
    np.testing.assert_allclose(call_signature(model, "classify_raw", **total)["scores"], whole, rtol=1e-5, atol=1e-4)


def test_what_cannot_be_decoded_is_flagged(videos):
    path, frames, count, _, _ = videos
    model = tf.saved_model.load(str(path))
    good = call_signature(model, "serving_default", frames=frames, num_frames=count)
    bad = frames.copy()
    bad[0, 3] = frames[0, 3][: len(frames[0, 3]) // 2]
    outputs = call_signature(model, "serving_default", frames=bad, num_frames=np.array([4, 2, 0], np.int32))
    assert outputs["valid"].tolist() == [False, True, False]
    assert np.isnan(outputs["scores"][[0, 2]]).all()
    assert np.isnan(outputs["label_scores"][0]).all()
    assert outputs["labels"][0].tolist() == [b""] * 3
    np.testing.assert_allclose(outputs["scores"][1], good["scores"][1], rtol=1e-5, atol=1e-4)
    assert np.isnan(call_signature(model, "explain", frames=bad, num_frames=count)["contributions"][0]).all()


def test_wrong_numbers_of_frames_fail_without_the_flag(classifier, videos, tmp_path):
    path = export_saved_model(classifier, tmp_path, Views((8, 8)), "video")
    model = tf.saved_model.load(str(path))
    for count in (0, 5):
        with pytest.raises(tf.errors.InvalidArgumentError, match="num_frames must be from 1"):
            call_signature(model, "serving_default", frames=videos[1][:1], num_frames=[count])


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
    outputs = call_signature(model, "serving_default", **inputs)
    np.testing.assert_allclose(outputs["scores"], expected, rtol=1e-5, atol=1e-4)
    assert outputs["labels"][0, 0].decode() == classifier.class_names[expected[0].argmax()]
    parts = call_signature(model, "explain", **inputs)
    assert parts["contributions"].shape == (3, 4, 8, 8)
    assert parts["flow_contributions"].shape == (3, 2, 8, 8)
    total = parts["contributions"].sum(axis=(1, 2, 3)) + parts["flow_contributions"].sum(axis=(1, 2, 3))
    np.testing.assert_allclose(total + parts["bias"], expected.max(axis=1), rtol=1e-5, atol=1e-4)
    raw = call_signature(model, "encode_raw", **inputs)
    assert sorted(raw) == ["count", "flow_count", "flow_raw_sum", "raw_sum"]
    np.testing.assert_allclose(call_signature(model, "classify_raw", **raw)["scores"], expected, rtol=1e-5, atol=1e-4)
    assert sorted(call_signature(model, "encode", **inputs)) == ["fisher_vector", "flow_fisher_vector"]


def test_what_cannot_be_fused(classifier, flow_classifier, tmp_path):
    rgb, flow = Views((8, 8)), Views((8, 8), modality="flow")
    with pytest.raises(RunError, match="one run on frames and one on optical flow"):
        export_fused([classifier, flow_classifier], tmp_path, [rgb, rgb])
    other = random_classifier(class_names=["a", "b"])
    with pytest.raises(RunError, match="different classes"):
        export_fused([classifier, other], tmp_path, [rgb, flow])
    with pytest.raises(ValueError, match="2 numbers, none negative"):
        export_fused([classifier, flow_classifier], tmp_path, [rgb, flow], weights=[1, -1])


def test_optical_flow_that_is_refused(classifier, tmp_path):
    with pytest.raises(RunError, match="no image format has its 20 channels"):
        export_saved_model(classifier, tmp_path, Views((8, 8), modality="flow_stack"), kind="video")
    with pytest.raises(RunError, match="Optical flow is of videos"):
        export_saved_model(classifier, tmp_path, Views((8, 8), modality="flow"))
