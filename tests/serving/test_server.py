"""Starting, stopping, and the command."""

import concurrent.futures
import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import requests

from keras_fvvae.errors import KerasFVVAEError, RunError
from keras_fvvae.serving import Client, ModelConfig, Server, ServerSettings, read_models_config
from keras_fvvae.utils.extras import require

COMMAND = "import sys; sys.argv[0] = 'keras-fvvae'; from keras_fvvae.tools.serve import command; command()"


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(ServerSettings) if f.name not in ("host",)])
def test_settings_are_checked(name):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        ServerSettings(**{name: -1})


@pytest.mark.parametrize("name", ["port", "grpc_port"])
def test_ports_end(name):
    assert getattr(ServerSettings(**{name: 65535}), name) == 65535
    with pytest.raises(ValueError, match=f"`{name}` must be at most 65535. Received: {name}=65536"):
        ServerSettings(**{name: 65536})


def test_an_address_of_ipv6(saved_models):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    settings = ServerSettings(host="::1", port=0, grpc_port=0)
    with Server([ModelConfig("numbers", str(saved_models / "numbers"))], settings).running() as server:
        assert server.url == f"http://[::1]:{server.port}"
        for url in (server.url, server.grpc_url):
            with Client(url, "numbers") as client:
                assert client.status()[0]["state"] == "AVAILABLE"


@pytest.mark.parametrize(("taken", "message"), [("port", "REST cannot listen"), ("grpc_port", "gRPC cannot listen")])
def test_port_is_taken(saved_models, taken, message):
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = ServerSettings(**({"port": 0, "grpc_port": 0} | {taken: other.getsockname()[1]}))
        with (
            pytest.raises(RunError, match=message),
            Server([ModelConfig("images", str(saved_models / "images"))], settings).running(),
        ):
            pass


def test_answers_are_not_held_back(server, monkeypatch):
    """Nagle's algorithm is off on the server's connections: with it every answer takes 40 ms more."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    found, original = [], H11Protocol.connection_made

    def noted(self, transport):
        found.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        original(self, transport)

    monkeypatch.setattr(H11Protocol, "connection_made", noted)
    assert requests.get(f"{server.url}/models.json").ok
    assert found == [1]


def test_two_models_of_one_name(saved_models):
    with pytest.raises(ValueError, match="`models` must have different names"):
        Server([ModelConfig("m", str(saved_models / "images"))] * 2)


def test_what_is_not_installed_is_named():
    with pytest.raises(KerasFVVAEError, match=r'Serving needs no_such_module: pip install "keras_fvvae\[serving\]"'):
        require("json", "no_such_module", extra="serving", what="Serving")


def test_without_the_extra_grpc(saved_models, monkeypatch, tmp_path):
    """REST answers the same; what needs gRPC says how to install it."""
    models = [ModelConfig("n", str(saved_models / "numbers"))]
    with Server(models, ServerSettings(port=0, grpc_port=0)).running() as server:
        with_grpc = _told(server.url)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorflow_serving"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    with Server(models, ServerSettings(port=0)).running() as server:
        assert server.grpc_url is None
        assert _told(server.url) == with_grpc
    (tmp_path / "models.config").write_text("")
    for call in (
        lambda: Server(models, ServerSettings(grpc_port=0)),
        lambda: Client("grpc://localhost:1", "n"),
        lambda: read_models_config(tmp_path / "models.config"),
    ):
        with pytest.raises(KerasFVVAEError, match=r'needs tensorflow_serving.*: pip install "keras_fvvae\[grpc\]"'):
            call()


def _told(url):
    status, metadata = (requests.get(f"{url}/v1/models/n{what}").json() for what in ("", "/metadata"))
    answer = requests.post(f"{url}/v1/models/n:predict", json={"instances": [[1.0, 2.0]]}).json()
    return status, metadata, answer


def test_the_client_does_not_import_tensorflow():
    code = (
        "import sys; from keras_fvvae.serving import Client; Client('http://localhost', 'm');"
        "print({'tensorflow', 'keras', 'uvicorn', 'grpc'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


@pytest.fixture
def process(saved_models):
    """`keras-fvvae serve` as a process of its own, and its address."""
    command = [sys.executable, "-c", COMMAND, str(saved_models / "numbers"), "--port", "0", "--grpc-port", "0"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = running.stdout.readline()
        yield running, re.search(r"Page (http\S+)/ ", line)[1]
    finally:
        running.kill()
        running.communicate()


def test_sigterm_lets_requests_finish(process):
    running, url = process
    answers = []

    def ask():
        body = {"signature_name": "slow", "instances": [500]}
        answers.append(requests.post(f"{url}/v1/models/numbers:predict", json=body, timeout=60))

    thread = threading.Thread(target=ask)
    thread.start()
    while "serving_pending_bytes 0.0" in requests.get(f"{url}/monitoring/prometheus/metrics").text:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGTERM)
    thread.join()
    assert running.wait(30) == 0
    assert answers[0].json() == {"predictions": [1000.0]}
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "Give either DIRECTORY or --config"), (["a", "--config", "b"], "Give either DIRECTORY or --config")],
)
def test_usage(arguments, message):
    result = subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert message in result.stderr


def test_stopping_under_load_ends_when_it_was_promised(saved_models):
    """What has not been computed by then is refused with a reason, and does not keep the server."""
    settings = ServerSettings(port=0, grpc_port=0, workers=2, stop_timeout=1.0)
    context = Server([ModelConfig("numbers", str(saved_models / "numbers"))], settings).running()
    server = context.__enter__()
    url, body = f"{server.url}/v1/models/numbers:predict", {"signature_name": "slow", "instances": [10**6]}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(requests.post, url, json=body, timeout=30) for _ in range(8)]
        time.sleep(0.5)
        start = time.monotonic()
        context.__exit__(None, None, None)
        seconds = time.monotonic() - start
        answers = [answer.result() for answer in answers]
    assert 0.9 < seconds < 4  # by itself it would take minutes
    assert [answer.status_code for answer in answers] == [503] * 8
    assert {answer.json()["error"] for answer in answers} == {"The server is stopping. Try again later."}
