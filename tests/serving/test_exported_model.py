"""The real export of digits_conv through the server."""

import base64

import numpy as np
import pytest
import requests
import tensorflow as tf

from keras_fvvae import zoo
from keras_fvvae.builders.encoders import build_classifier, build_encoder
from keras_fvvae.data import load_digits
from keras_fvvae.export import export_saved_model
from keras_fvvae.recipes import load_recipe
from keras_fvvae.serving import Client, ModelConfig, Server, ServerSettings
from keras_fvvae.tasks.export_runs import export_runs
from keras_fvvae.tasks.predict import predict
from keras_fvvae.tasks.verify import encoded_images
from keras_fvvae.training.train import train
from tests.support.video_files import write_video


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    recipe = load_recipe("digits_conv", information="none")
    model = zoo.load("digits_conv", weights=None)
    encoder = build_encoder(recipe, fvvae=model, backbone=model.backbone)
    classifier = build_classifier(encoder, [f"digit {i}" for i in range(10)])
    generator = np.random.default_rng(0)
    classifier.svm.set_weights([generator.normal(size=w.shape) for w in classifier.svm.get_weights()])
    return export_saved_model(classifier, tmp_path_factory.mktemp("digits"), top_k=3)


@pytest.fixture(scope="module")
def server(exported):
    with Server(
        [ModelConfig("digits", str(exported.parent))], ServerSettings(port=0, grpc_port=0)
    ).running() as running:
        yield running


def test_all_protocols_give_the_results_of_tensorflow(server, exported):
    digits = load_digits()
    contents = encoded_images(digits, range(40))  # more than a batch
    model = tf.saved_model.load(str(exported))
    expected = model.signatures["serving_default"](image=tf.constant(contents))
    vectors = model.signatures["encode"](image=tf.constant(contents))["fisher_vector"]
    for url in (server.url, server.grpc_url):
        with Client(url, "digits") as client:
            outputs = client.predict({"image": contents})
            np.testing.assert_allclose(outputs["scores"], expected["scores"], atol=1e-4)
            assert (outputs["labels"] == expected["labels"].numpy()).all()
            alone = client.predict({"image": contents[3:4]}, "encode")["fisher_vector"]
            np.testing.assert_allclose(alone, vectors[3:4], atol=1e-5)


def test_files(server, tmp_path):
    digits = load_digits()
    (good,) = encoded_images(digits, [0])
    (tmp_path / "good.png").write_bytes(good)
    (tmp_path / "half.png").write_bytes(good[: len(good) // 2])
    with Client(server.url) as client:  # the only model needs no name
        first, second = client.classify([tmp_path / "good.png", tmp_path / "half.png"])
    assert len(first["labels"]) == 3
    assert "error" in second


def test_curl(server):
    """The README's request."""
    (content,) = encoded_images(load_digits(), [0])
    body = {"instances": [{"b64": base64.b64encode(content).decode()}]}
    (answer,) = requests.post(f"{server.url}/v1/models/digits:predict", json=body).json()["predictions"]
    assert len(answer["scores"]) == 10
    assert answer["label_scores"] == sorted(answer["scores"], reverse=True)[:3]


@pytest.mark.system
@pytest.mark.parametrize("sampling", [{"frames": 5}, {"frames": 25, "frame_step": 13}], ids=["frames", "frame_step"])
def test_served_videos_equal_local_ones(sampling, video_recipe, videos, tmp_path):
    """The client sends the frames that the recipe samples: with others the scores are others."""
    recipe = video_recipe.replace(**sampling)
    run = train(recipe, videos, tmp_path / "run", backbone_weights=None, cache=tmp_path / "cache", verbose=0)
    # Each frame a colour of its own, so that it shows which are taken (descriptors of unit length do not tell grays
    # apart), and smooth, so that JPEG changes little.
    colours = np.random.default_rng(0).integers(0, 256, (40, 3)).astype("uint8")
    frames = np.broadcast_to(colours[:, None, None], (40, 32, 32, 3))
    path = write_video(tmp_path / "video.avi", frames)
    (local,) = predict(run.path, [path], top_k=8)
    exported = export_runs([run.path], tmp_path / "export", top_k=8)
    assert tf.saved_model.load(str(exported)).signatures.keys() >= {"serving_default", "encode"}
    assert "Trained on" in (exported / "assets.extra" / "card.md").read_text()
    settings = ServerSettings(port=0, grpc_port=0)
    with Server([ModelConfig("videos", str(exported.parent))], settings).running() as server:
        for url in (server.url, server.grpc_url):
            with Client(url, "videos") as client:
                (served,) = client.classify([path], top_k=8)
                (others,) = client.classify([path], top_k=8, num_frames=25)
                assert "__sampling__" not in client.signatures()
                assert client.samplings()["frames"].size == (32, 32)
                expected = _by_label(local)
                assert np.abs(_by_label(served) - expected).max() < 0.1 * np.abs(_by_label(others) - expected).max()
                assert served["labels"] == local["labels"]


def _by_label(result):
    return np.array([score for _, score in sorted(zip(result["labels"], result["scores"], strict=True))])
