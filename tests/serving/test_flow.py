"""Models that take optical flow, alone and fused with frames: whoever asks has the video, and the flow is computed."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.data import Collection, FlowSettings, Views
from keras_fvvae.data.views import read_resized
from keras_fvvae.errors import DataError
from keras_fvvae.export import export_fused, export_saved_model
from keras_fvvae.serving import Client, ModelConfig, Server, ServerSettings, ServingError, predict_on_server
from keras_fvvae.serving.media import read_flow, read_video_inputs
from keras_fvvae.serving.sampling import Sampling
from tests.support.served import random_classifier
from tests.support.video_files import write_video

RGB = Views((8, 8), resize_to=(24, 32), frames=4)
FLOW = Views((8, 8), resize_to=(24, 32), resize="crop", modality="flow", frames=3, flow=FlowSettings(bound=8.0))


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A bright square that goes to the right, 12 frames."""
    rows, columns = np.mgrid[:48, :64]
    frames = [128 + 90 * np.sin((columns - 2 * t) / 4) * np.sin(rows / 5) for t in range(12)]
    pixels = np.repeat(np.array(frames)[..., np.newaxis], 3, axis=-1).astype("uint8")
    return write_video(tmp_path_factory.mktemp("videos") / "moving.avi", pixels)


@pytest.fixture(scope="module")
def local(video):
    """Views of the video as a training reads them: of frames and of flow."""
    collection = Collection([video], ["moving"], [-1], ["train"], [], kind="video")
    return read_resized(collection, 0, [RGB, FLOW])


@pytest.fixture(scope="module")
def classifiers():
    return random_classifier(), random_classifier(seed=1)


@pytest.fixture(scope="module")
def server(classifiers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    rgb, flow = classifiers
    export_saved_model(flow, folder / "flow", FLOW, "video", valid_output=True)
    export_fused([rgb, flow], folder / "fused", [RGB, FLOW], top_k=10, valid_output=True)
    export_saved_model(rgb, folder / "frames", RGB, "video", top_k=10)
    models = [ModelConfig(name, str(folder / name)) for name in ("flow", "fused", "frames")]
    settings = ServerSettings(port=0, grpc_port=0, max_pixels=10_000, max_images=32, request_timeout=30.0)
    with Server(models, settings).running() as running:
        yield running


def test_flow_is_that_of_the_training(server, classifiers, local, video):
    """Also over gRPC: the export tells size, resizing, method and bound, and what is sent loses nothing."""
    crops = tf.cast(FLOW.crop(local[1]), tf.float32)[tf.newaxis]
    expected = np.sort(np.asarray(classifiers[1](crops))[0])[::-1]
    for url in (server.url, server.grpc_url):
        with Client(url, "flow") as client:
            (found,) = client.classify([video])
            (vector,) = client.encode([video])
            sampling = client.samplings()["flow_frames"]
        np.testing.assert_allclose(found["scores"], expected[:5], rtol=1e-4, atol=1e-4)
        assert vector["fisher_vector"].ndim == 1
        assert (sampling.resize_to, sampling.resize, sampling.flow_bound) == ((24, 32), "crop", 8.0)


def test_fused(server, classifiers, local, video):
    crops = [tf.cast(one.crop(images), tf.float32)[tf.newaxis] for one, images in zip((RGB, FLOW), local, strict=True)]
    scores = sum(np.asarray(model(views))[0] for model, views in zip(classifiers, crops, strict=True)) / 2
    with Client(server.url, "fused") as client:
        (found,) = client.classify([video], top_k=10)
        (fewer,) = client.classify([video], num_frames=2)
    by_label = dict(zip(found["labels"], found["scores"], strict=True))
    served = [by_label[name] for name in classifiers[0].class_names]
    assert np.abs(served - scores).max() < 0.05 * np.abs(scores).max()  # frames go as JPEG
    assert len(fewer["labels"]) == 5


def test_predict_on_server(server, video, tmp_path):
    (tmp_path / "text.avi").write_text("none")
    good, bad = predict_on_server(server.url, [video, tmp_path / "text.avi"], model="fused")
    assert len(good["labels"]) == 5
    assert "not a video" in bad["error"]


def test_what_has_no_flow(video, tmp_path):
    sampling = Sampling(3, modality="flow", resize_to=(24, 32))
    single = write_video(tmp_path / "single.avi", np.zeros((1, 32, 32, 3), "uint8"))
    with pytest.raises(DataError, match=r"single\.avi: it has a single frame; optical flow needs two"):
        read_flow(single, sampling)
    for told in (Sampling(3), Sampling(3, modality="flow_stack", resize_to=(24, 32))):
        with pytest.raises(ServingError, match="The export does not tell how its optical flow is computed"):
            read_flow(video, told)
    with pytest.raises(ServingError, match="another kind of optical flow: `method` must be one of"):
        read_flow(video, Sampling(3, modality="flow", resize_to=(24, 32), flow_method="raft"))


def test_what_passes_is_watched(video):
    seen = []
    read_video_inputs(video, ["frames"], {}, watch=lambda width, height: seen.append((width, height)))
    assert seen == [(64, 48)] * 12
