"""The client over both protocols, against this library's server."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

import keras_fvvae
from keras_fvvae.serving import Client, ServingError, predict_on_server
from tests.serving.conftest import bomb, png
from tests.support.video_files import write_video


@pytest.fixture(params=["REST", "gRPC"])
def url(server, request):
    return server.url if request.param == "REST" else server.grpc_url


@pytest.fixture
def files(tmp_path):
    contents = {
        "red.png": png((255, 0, 51)),
        "text.png": b"no image",
        "empty.png": b"",
        "bomb.png": bomb(),
        "green.png": png((0, 255, 51)),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return [str(tmp_path / name) for name in [*contents, "missing.png"]]


def test_predict(url):
    with Client(url, "images") as client:
        outputs = client.predict({"image": [png((255, 0, 51)), png((0, 255, 51))]})
        np.testing.assert_allclose(outputs["scores"], [[1, 0, 0.2], [0, 1, 0.2]], atol=1e-6)
        assert outputs["scores"].dtype == np.float32
        assert outputs["labels"].tolist() == [[b"red", b"blue"], [b"green", b"blue"]]


def test_single_output_and_numbers(url):
    with Client(url, "numbers") as client:
        outputs = client.predict({"x": np.float32([[1, 2.5]])})
        assert list(outputs) == ["y"]
        np.testing.assert_array_equal(outputs["y"], [[2, 5]])


def test_classify(url, files):
    with Client(url, "images") as client:
        red, text, empty, pixels, green, missing = client.classify(files, top_k=1)
    assert red == {"file": files[0], "labels": ["red"], "scores": [1.0]}
    assert green["labels"] == ["green"]
    assert "Unknown image file format" in text["error"]
    assert empty["error"] == "the file is empty"
    assert "claims 400,000,000 pixels" in pixels["error"]
    assert missing["error"] == "No such file or directory"


def test_encode(url, files):
    with Client(url, "images") as client:
        red, text, *_ = client.encode(files)
    np.testing.assert_array_equal(red["fisher_vector"], np.tile([255, 0, 51], 16))
    assert "error" in text


def test_videos_by_path(url, tmp_path):
    """Frames are taken in the middles of equal parts, and a video shorter than that gives all of its own."""
    colors = np.zeros((8, 32, 48, 3), np.uint8)
    colors[:4, ..., 0] = 250
    colors[4:, ..., 2] = 250
    path = write_video(tmp_path / "video.mp4", colors)
    with Client(url, "videos") as client:
        for num_frames in (4, 25):
            (result,) = client.classify([path], num_frames=num_frames)
            assert set(result["labels"]) == {"red", "blue"}
            np.testing.assert_allclose(result["scores"], [0.5, 0.5], atol=0.05)
        (broken,) = client.classify([__file__])
    assert "error" in broken


def test_status_and_signatures(url):
    with Client(url, "images", label="stable") as client:
        client.wait_until_ready(5)
        assert client.status() == [{"version": 1, "state": "AVAILABLE", "error_code": "OK", "error_message": ""}]
        assert client.signatures()["explain"] == {"inputs": ["image"], "outputs": ["contributions", "label"]}
        assert set(client.signatures()) == {"serving_default", "encode", "explain"}


@pytest.mark.parametrize(
    ("options", "call", "code", "message"),
    [
        ({"model": "nothing"}, lambda c: c.predict({}), "NOT_FOUND", r"Latest\(nothing\)"),
        ({"model": "images", "version": 9}, lambda c: c.predict({}), "NOT_FOUND", r"Specific\(images, 9\)"),
        ({"model": "images"}, lambda c: c.predict({}), "INVALID_ARGUMENT", "required: {image}"),
        ({"model": "images"}, lambda c: c.predict({}, "train"), "INVALID_ARGUMENT", '"train" not found'),
        ({"model": "videos"}, lambda c: list(c.encode(["a"])), "INVALID_ARGUMENT", "has no signature 'encode'"),
        ({}, lambda c: c.predict({}), "INVALID_ARGUMENT", "Name the model"),
    ],
)
def test_errors(url, options, call, code, message):
    with Client(url, **options) as client, pytest.raises(ServingError, match=message) as caught:
        call(client)
    assert caught.value.code == code


def test_arguments():
    with pytest.raises(ValueError, match="`url` must begin with"):
        Client("localhost:8501")
    with pytest.raises(ValueError, match="Give `version` or `label`"):
        Client("http://localhost", "m", version=1, label="stable")


@pytest.mark.parametrize(("scheme", "model"), [("http", "m"), ("grpc", "m"), ("http", None)])
def test_nobody_there(scheme, model):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"{scheme}://127.0.0.1:{free.getsockname()[1]}"
    with (
        Client(url, model, retries=1) as client,
        pytest.raises(ServingError, match="is the server running there") as caught,
    ):
        client.status()
    assert caught.value.code == "UNAVAILABLE"


class Flaky(BaseHTTPRequestHandler):
    """Refuses what it is told to refuse, then answers."""

    answers = ()
    seen = 0

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        status, body = self.answers[min(Flaky.seen, len(self.answers) - 1)]
        Flaky.seen += 1
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def flaky():
    Flaky.seen = 0
    http = HTTPServer(("127.0.0.1", 0), Flaky)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


GOOD = (200, json.dumps({"outputs": {"a": [1.5], "b": ["x"]}}).encode())
FULL = (503, b'{"error": "The queue is full."}')


def test_retries_while_the_queue_is_full(flaky):
    Flaky.answers = (FULL, FULL, GOOD)
    with Client(flaky, "m") as client:
        outputs = client.predict({"x": [1]})
    assert outputs["a"].tolist() == [1.5]
    assert outputs["b"].tolist() == [b"x"]
    assert Flaky.seen == 3


@pytest.mark.parametrize(
    ("answers", "retries", "seen", "code", "message"),
    [
        ((FULL,), 1, 2, "UNAVAILABLE", "The queue is full."),
        (((400, b'{"error": "wrong"}'),), 4, 1, "INVALID_ARGUMENT", "wrong"),
        (((200, b"<html>"),), 4, 1, "UNKNOWN", "answered 200, no JSON: '<html>'"),
    ],
)
def test_when_retries_end(flaky, answers, retries, seen, code, message):
    Flaky.answers = answers
    with Client(flaky, "m", retries=retries) as client, pytest.raises(ServingError, match=message) as caught:
        client.predict({"x": [1]})
    assert (caught.value.code, Flaky.seen) == (code, seen)


def test_timeout(server):
    with (
        Client(server.url, "numbers", timeout=0.05, retries=0) as client,
        pytest.raises(ServingError, match="no answer in 0.05 seconds") as caught,
    ):
        client.predict({"rounds": np.int32([400])}, "slow")
    assert caught.value.code == "DEADLINE_EXCEEDED"


def test_predict_on_server(server, files):
    red, text, *_ = predict_on_server(server.url, files, top_k=2, model="images")
    assert red["labels"] == ["red", "blue"]
    assert "error" in text


def test_public_name():
    assert keras_fvvae.serving.Client is Client
