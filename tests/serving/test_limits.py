"""What one client can take from the others: memory, connections, and the server's own names."""

import asyncio
import base64
import contextlib
import json
import socket
import threading
import time

import grpc
import numpy as np
import pytest
import requests
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_fvvae.serving import Client, ModelConfig, Server, ServerSettings, ServingError
from keras_fvvae.serving.protocols.json_tensors import parsed_bytes
from tests.serving.conftest import png

PENDING = 1 << 20
ROWS = 100_000


@pytest.fixture(scope="module")
def tight(saved_models):
    """A server with room for answers of 10,000 bytes and for 1 MiB of bodies, over 12 connections."""
    models = [ModelConfig(name, str(saved_models / name)) for name in ("images", "numbers")]
    settings = ServerSettings(
        port=0,
        grpc_port=0,
        max_response_bytes=10_000,
        max_pending_bytes=PENDING,
        max_connections=12,
        receive_timeout=5.0,
        stop_timeout=2.0,
        workers=1,
    )
    with Server(models, settings).running() as running:
        yield running


@pytest.fixture
def url(tight):
    return f"{tight.url}/v1/models/images:predict"


def encode_request(count):
    content = base64.b64encode(png((255, 0, 0))).decode()
    return {"signature_name": "encode", "instances": [{"b64": content}] * count}


def pending(server):
    text = requests.get(f"{server.url}/monitoring/prometheus/metrics", timeout=5).text
    return float(text.split("\nserving_pending_bytes ")[1].split("\n")[0])


def test_answers_are_bounded_before_they_are_computed(tight, url, monkeypatch):
    assert len(requests.post(url, json=encode_request(8)).json()["predictions"]) == 8  # 48 numbers of 24 bytes each
    monkeypatch.setattr(type(tight.engine.batcher), "run", None)
    answer = requests.post(url, json=encode_request(9))
    assert answer.status_code == 400
    assert answer.json()["error"] == (
        "The answer would take 10,368 bytes, more than the limit of 10,000: send fewer examples a request."
    )


def test_answers_are_bounded_over_grpc(tight):
    """There a number takes 4 bytes, so that more rows have room."""
    contents = np.array([png((255, 0, 0))] * 60, object)
    with Client(tight.grpc_url, model="images") as client:
        assert client.predict({"image": contents[:52]}, "encode")["fisher_vector"].shape == (52, 48)
        with pytest.raises(ServingError, match="would take 10,176 bytes, more than the limit of 10,000") as raised:
            client.predict({"image": contents[:53]}, "encode")
    assert raised.value.code == "INVALID_ARGUMENT"


def test_answers_count_as_memory(tight, url, monkeypatch):
    held = []
    run = tight.engine.batcher.run

    async def seen(*arguments):
        held.append(tight.engine._pending_bytes)
        return await run(*arguments)

    monkeypatch.setattr(tight.engine.batcher, "run", seen)
    body = json.dumps(encode_request(8)).encode()
    assert requests.post(url, data=body).ok
    assert held == [len(body) + parsed_bytes(body) + 8 * 48 * 24]
    assert pending(tight) == 0


def test_json_costs_more_than_its_text(url):
    """A number of two bytes is an object of 32."""
    answer = requests.post(url, data=b'{"instances": [' + b"1," * 20_000 + b"1]}")
    assert answer.status_code == 413
    assert "The JSON would take some 1,640,178 bytes" in answer.json()["error"]


def test_promises_of_large_bodies_take_nothing(tight, url):
    """Clients that announce more than there is, and send nothing, deny nobody anything."""
    head = b"POST /v1/models/images:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n{" % PENDING
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", tight.port), timeout=10))
            connection.sendall(head)
        deadline = time.monotonic() + 5
        while pending(tight) < 8:
            assert time.monotonic() < deadline
        assert pending(tight) == 8
        assert requests.post(url, json=encode_request(1), timeout=5).ok


def test_bodies_that_have_arrived_do(tight, url):
    """The first one holds nearly all; the next is read, thrown away and refused, and told to come again."""
    size = PENDING - 1000
    head = b"POST /v1/models/images:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (size + 1)
    with socket.create_connection(("127.0.0.1", tight.port), timeout=10) as connection:
        connection.sendall(head + b" " * size)
        deadline = time.monotonic() + 5
        while pending(tight) < size:
            assert time.monotonic() < deadline
        answer = requests.post(url, data=b" " * 300_000, timeout=5)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert "fill the memory" in answer.json()["error"]
        assert pending(tight) == size
    deadline = time.monotonic() + 5
    while pending(tight):
        assert time.monotonic() < deadline
    assert requests.post(url, json=encode_request(1)).ok


def _posting(tight, body, sent):
    connection = socket.create_connection(("127.0.0.1", tight.port), timeout=10)
    head = b"POST /v1/models/images:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    connection.sendall((head + body)[:sent])
    return connection


@pytest.mark.parametrize("sent", [0, 20, 100])
def test_connections_that_send_nothing_make_room(tight, sent):
    """Nothing, half a header, half a body: the oldest is closed."""
    body = json.dumps(encode_request(1)).encode()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(_posting(tight, body, sent)) for _ in range(12)]
        time.sleep(0.2)
        assert requests.post(f"{tight.url}/v1/models/images:predict", data=body, timeout=5).ok
        with contextlib.suppress(ConnectionResetError):
            assert connections[0].recv(1) == b""
        connections[1].setblocking(False)
        with pytest.raises(BlockingIOError):
            connections[1].recv(1)


def test_connections_that_are_kept_make_room(tight):
    """Of clients who were answered, and may ask again."""
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(requests.Session()) for _ in range(14)]
        for session in [*sessions, *sessions]:
            assert session.get(f"{tight.url}/v1/models/images", timeout=5).ok


def test_too_many_connections_are_told_why(tight, monkeypatch):
    """Where every one waits for its answer."""
    run, release = tight.engine.batcher.run, threading.Event()

    async def held(*arguments):
        while not release.is_set():
            await asyncio.sleep(0.01)
        return await run(*arguments)

    monkeypatch.setattr(tight.engine.batcher, "run", held)
    body = json.dumps(encode_request(1)).encode()
    with contextlib.ExitStack() as stack:
        stack.callback(release.set)
        connections = [stack.enter_context(_posting(tight, body, None)) for _ in range(12)]
        time.sleep(0.5)
        answer = requests.get(f"{tight.url}/v1/models/images", timeout=5)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json() == {"error": "More than 12 connections are open. Try again later."}
        release.set()
        assert all(connection.recv(12) == b"HTTP/1.1 200" for connection in connections)
    deadline = time.monotonic() + 5
    while requests.get(f"{tight.url}/v1/models/images", timeout=5).status_code != 200:
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "LOCALHOST:9000", "models.localhost", "[::1]:80", "10.1.2.3"]
)
def test_names_of_a_local_server(tight, host):
    assert requests.get(f"{tight.url}/v1/models/images", headers={"host": host}).ok


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8501", "[::1", "x"])
@pytest.mark.parametrize("path", ["/", "/models.json", "/v1/models/images", "/monitoring/prometheus/metrics"])
def test_names_that_somebody_else_points_here(tight, host, path):
    answer = requests.get(tight.url + path, headers={"host": host})
    assert answer.status_code == 403
    assert answer.json()["error"] == f"The server is not called {host!r}; `--allowed-host` adds a name."


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"origin": "file://localhost"},
        {"origin": "http://[::1"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    ],
)
def test_pages_of_other_sites(url, headers):
    answer = requests.post(url, json=encode_request(1), headers={**headers, "content-type": "text/plain"})
    assert answer.status_code == 403
    assert "are not answered" in answer.json()["error"]


def test_the_servers_own_page(tight, url):
    headers = {"origin": tight.url, "sec-fetch-site": "same-origin"}
    assert requests.post(url, json=encode_request(1), headers=headers).ok
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}  # a link to it
    assert requests.get(f"{tight.url}/", headers=headers).ok


def test_long_names_do_not_come_back(tight, url):
    name = "n" * 100_000
    answer = requests.post(url, json={"instances": ["a"], "signature_name": name})
    assert answer.status_code == 400
    assert len(answer.text) < 1100
    with Client(tight.grpc_url, model=name) as client, pytest.raises(ServingError) as raised:
        client.predict({"image": np.array([b""], object)})
    assert raised.value.code == "NOT_FOUND"
    assert len(str(raised.value)) < 1100


def test_bytes_that_are_no_message(tight, caplog):
    """The client is told; nothing is logged, least of all a traceback for each."""
    with grpc.insecure_channel(tight.grpc_url.removeprefix("grpc://")) as channel:
        services = {"Predict": "Prediction", "GetModelMetadata": "Prediction", "GetModelStatus": "Model"}
        for method, service in services.items():
            call = channel.unary_unary(f"/tensorflow.serving.{service}Service/{method}")
            for content in (b"\xff" * 20, b"\x0a\xff"):
                with pytest.raises(grpc.RpcError) as raised:
                    call(content, timeout=5)
                assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert raised.value.details() == "The request is not a message of this call."
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "nothing"
        with pytest.raises(grpc.RpcError) as raised:
            prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=5)
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert not caplog.records


@pytest.fixture(scope="module")
def impatient(saved_models):
    """A server that waits half a second, and answers at length."""
    models = [ModelConfig(name, str(saved_models / name)) for name in ("images", "numbers")]
    settings = ServerSettings(
        port=0, grpc_port=None, receive_timeout=0.5, stop_timeout=2.0, max_batch_size=ROWS, max_queued=ROWS
    )
    with Server(models, settings).running() as running:
        yield running


def long_request():
    """An answer of 4 MB, more than the system takes for a client that does not read."""
    return b'{"instances": [' + b"[0.1, 0.1], " * (ROWS - 1) + b"[0.1, 0.1]]}"


def closed_after(connection):
    """Seconds until the server closes; it may answer before."""
    start = time.monotonic()
    connection.settimeout(10)
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return time.monotonic() - start


@pytest.mark.parametrize("path", ["/", "/models.json", "/v1/models/images", "/nothing"])
def test_bodies_that_nobody_reads_and_that_do_not_come(impatient, path):
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{{".encode())
        assert closed_after(connection) < 5


def test_bodies_that_trickle(impatient):
    """A byte now and then does not keep the connection."""
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        start = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - start < 8:
                connection.sendall(b"x")
                time.sleep(0.1)
        assert time.monotonic() - start < 5


def test_answers_that_nobody_reads(impatient):
    """They count as memory as long as they wait, and not for ever."""
    body = long_request()
    head = b"POST /v1/models/numbers:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", impatient.port))
        connection.sendall(head + body)
        assert connection.recv(15, socket.MSG_WAITALL) == b"HTTP/1.1 200 OK"
        held = pending(impatient)
        assert held > 3_000_000
        deadline = time.monotonic() + 5
        while pending(impatient):
            assert time.monotonic() < deadline


def test_slow_readers_get_their_answer(impatient):
    """As long as they go on reading, however long it takes."""
    body = long_request()
    head = b"POST /v1/models/numbers:predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", impatient.port))
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        parts = []
        while part := connection.recv(1_000_000, socket.MSG_WAITALL):
            parts.append(part)
            time.sleep(0.15)
    content = b"".join(parts).partition(b"\r\n\r\n")[2]
    assert len(json.loads(content)["predictions"]) == ROWS
