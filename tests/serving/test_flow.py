"""Models that take optical flow, alone and fused with frames: whoever asks has the video, and the flow is computed."""

import base64
import sys
import threading

import numpy as np
import pytest
import requests
import tensorflow as tf

from keras_fvvae.data import Collection, FlowSettings, Views
from keras_fvvae.data.views import read_resized
from keras_fvvae.errors import DataError
from keras_fvvae.export import export_fused, export_saved_model
from keras_fvvae.serving import Client, ModelConfig, Server, ServerSettings, ServingError, predict_on_server
from keras_fvvae.serving.media import frames_batch, read_flow, read_video_inputs
from keras_fvvae.serving.sampling import Sampling
from tests.support import chromium
from tests.support.served import random_classifier
from tests.support.video_files import write_video

pytestmark = pytest.mark.system

RGB = Views((8, 8), resize_to=(24, 32), frames=4)
FLOW = Views((8, 8), resize_to=(24, 32), resize="crop", modality="flow", frames=4, flow=FlowSettings(bound=8.0))


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


def frames_of(server, model, content):
    answer = requests.post(f"{server.url}/v1/models/{model}:frames", data=content)
    return answer.status_code, answer.json()


def test_the_server_decodes_a_file(server, video):
    """What comes back is what `:predict` takes: the frames and the flow that the client would have sent."""
    status, answer = frames_of(server, "fused", video.read_bytes())
    assert status == 200
    assert answer["seconds"] == pytest.approx(12 / 25, abs=0.1)
    with Client(server.url, "fused") as client:
        expected = read_video_inputs(video, ["frames", "flow_frames"], client.samplings())
        (known,) = client.classify([video])
    for name, images in expected.items():
        assert [base64.b64decode(one["b64"]) for one in answer["inputs"][name][0]] == images
        assert answer["inputs"][f"num_{name}"] == [len(images)]
    url = f"{server.url}/v1/models/fused:predict"
    outputs = requests.post(url, json={"inputs": answer["inputs"]}).json()["outputs"]
    assert outputs["labels"][0][:5] == known["labels"]


@pytest.mark.parametrize(
    ("model", "content", "status", "message"),
    [
        ("fused", b"none", 400, "The video cannot be used: not a video that FFmpeg reads"),
        ("fused", b"", 400, "The video cannot be used: the file is empty"),
        ("fused", b"ffconcat version 1.0\nfile ../../etc/passwd\n", 400, "not a video that FFmpeg reads"),
        ("nobody", b"none", 404, "Servable not found"),
        ("fused", "large", 400, "Its frames have 19,200 pixels; the limit is 10,000."),
    ],
    ids=["text", "empty", "script", "no model", "large"],
)
def test_what_the_server_does_not_decode(server, tmp_path, model, content, status, message):
    if content == "large":
        content = write_video(tmp_path / "large.avi", np.zeros((4, 120, 160, 3), "uint8")).read_bytes()
    found, answer = frames_of(server, model, content)
    assert found == status
    assert message in answer["error"]
    assert "/tmp" not in answer["error"]


def test_a_long_video_ends_with_its_time(classifiers, server, tmp_path):
    path = write_video(tmp_path / "long.avi", np.zeros((400, 64, 64, 3), "uint8"))
    settings = ServerSettings(port=0, grpc_port=None, request_timeout=0.001)
    models = [ModelConfig("frames", server.engine.repository.models["frames"].config.base_path)]
    with Server(models, settings).running() as hasty:
        status, answer = frames_of(hasty, "frames", path.read_bytes())
    assert status == 504
    assert "longer" in answer["error"]


def test_long_videos_are_in_the_way_of_nothing_else(server, video, tmp_path, monkeypatch):
    """While one is decoded, and others wait for their turn, images and numbers of any size are answered."""
    from keras_fvvae.serving.protocols import video_frames as module

    begun, go_on = threading.Event(), threading.Event()

    def slow(*arguments):
        begun.set()
        go_on.wait(30)
        return read_video_inputs(*arguments)

    monkeypatch.setattr(module, "read_video_inputs", slow)
    uploads = [threading.Thread(target=frames_of, args=(server, "frames", video.read_bytes())) for _ in range(8)]
    for upload in uploads:
        upload.start()
    try:
        assert begun.wait(30)
        with Client(server.url, "fused", timeout=20.0) as client:
            large = client.predict(_inputs(client, video), "encode")
        assert "fisher_vector" in large
    finally:
        go_on.set()
        for upload in uploads:
            upload.join()


def _inputs(client, video):
    """Of 30 frames: heavy."""
    inputs = {}
    for name, images in read_video_inputs(video, ["frames", "flow_frames"], client.samplings()).items():
        inputs |= frames_batch([(images * 8)[:30]], name)
    return inputs


def test_a_server_that_decodes_no_videos(server, video):
    models = [ModelConfig("frames", server.engine.repository.models["frames"].config.base_path)]
    with Server(models, ServerSettings(port=0, grpc_port=None, videos=False)).running() as strict:
        assert frames_of(strict, "frames", video.read_bytes()) == (
            403,
            {"error": "This server decodes no videos: send their frames."},
        )


def test_a_server_without_the_packages_for_videos(server, video, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert frames_of(server, "frames", video.read_bytes()) == (
        501,
        {"error": 'This server cannot decode videos (pip install "keras_fvvae[video]"): send their frames.'},
    )


@pytest.mark.once
@pytest.mark.skipif(chromium.find() is None, reason="needs Chromium")
@pytest.mark.parametrize(("model", "pictures"), [("fused", 4), ("flow", 4), ("frames", 4)])
def test_the_page(server, video, tmp_path, model, pictures):
    """An AVI, which no browser plays, is shown as the server decodes it."""
    with chromium.open_page(tmp_path / "profile") as page:
        page.open(f"{server.url}/")
        page.wait_for("document.getElementById('model').options.length === 3")
        page.problems.clear()
        page.evaluate(f"document.getElementById('model').value = '{model}'")
        page.choose_file("#file", video)
        page.wait_for("!document.getElementById('result').hidden")
        assert page.evaluate("document.querySelectorAll('#labels li').length") > 2
        assert page.evaluate("[frame.max, heatMaps.length, pictures.every((one) => one.width > 7)]") == [
            str(pictures - 1),
            pictures,
            True,
        ]
        if model == "flow":
            assert "optical flow" in page.evaluate("document.getElementById('message').textContent")
        assert page.evaluate("document.querySelectorAll('#curve .zero').length") == 1
        assert page.evaluate("document.querySelectorAll('#curve polyline').length") == 3
        assert page.evaluate("document.querySelector('#curve').textContent").endswith("seconds")
        assert not page.problems
