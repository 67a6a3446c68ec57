"""Whatever is sent, the answer is the right status with a reason, and the server goes on."""

import base64
import concurrent.futures
import json
import re
import socket
import threading
import time

import pytest
import requests

from tests.serving.conftest import bomb, png


@pytest.fixture(autouse=True)
def _still_alive(server):
    """After each attack the server answers, and nothing is left in its queue or its memory."""
    yield
    content = base64.b64encode(png((255, 0, 0))).decode()
    answer = requests.post(f"{server.url}/v1/models/images:predict", json={"instances": [{"b64": content}]}, timeout=20)
    assert answer.json()["predictions"][0]["labels"][0] == "red"
    deadline = time.monotonic() + 15
    while True:
        text = requests.get(f"{server.url}/monitoring/prometheus/metrics").text
        if "serving_pending_bytes 0.0" in text and "serving_queued_images 0.0" in text:
            return
        assert time.monotonic() < deadline, text
        time.sleep(0.05)


@pytest.fixture
def url(server):
    return f"{server.url}/v1/models/images:predict"


def error(response, status):
    assert response.status_code == status, response.text
    return response.json()["error"]


def instances(*contents):
    return {"instances": [{"b64": base64.b64encode(one).decode()} for one in contents]}


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def received(connection):
    """Everything until the server closes; b"" if it closed without a word."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("byte", [bytes([b]) for b in (0, 34, 48, 91, 123, 128, 255)])
def test_one_byte(url, byte):
    assert error(requests.post(url, data=byte), 400)


@pytest.mark.parametrize("content", [b"x", b"", b"\x89PNG", b"\xff\xd8\xff", b"GIF89a", b"BM", b"RIFF", b"\xff\x0a"])
def test_images_of_few_bytes(url, content):
    assert error(requests.post(url, json=instances(content)), 400)


def test_100_megabytes(url):
    message = error(requests.post(url, data=b"\0" * 100_000_000), 413)
    assert message == "The body is larger than the limit of 2,097,152 bytes."


def test_100_megabytes_that_are_announced_first(server):
    """`curl` asks before it sends so much; the answer comes without the body."""
    with connect(server) as connection:
        connection.sendall(
            b"POST /v1/models/images:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"larger than the limit" in answer


def test_body_without_length(url):
    """Chunked, so that only counting shows its size."""

    def chunks():
        for _ in range(100):
            yield b"\0" * 65536

    assert "larger than the limit" in error(requests.post(url, data=chunks()), 413)


def test_pixels_are_counted_before_decoding(url):
    content = bomb(20_000)
    assert len(content) < 200
    message = error(requests.post(url, json=instances(content)), 400)
    assert message == "Image 0 of the request claims 400,000,000 pixels; the limit is 10,000."


def test_a_bomb_among_good_images(url):
    assert "Image 1" in error(requests.post(url, json=instances(png((1, 1, 1)), bomb())), 400)


def test_a_bomb_in_a_frame(server):
    frames = [{"b64": base64.b64encode(one).decode()} for one in (png((1, 1, 1)), bomb())]
    request = {"inputs": {"frames": [frames], "num_frames": [1]}}
    assert "Image 1" in error(requests.post(f"{server.url}/v1/models/videos:predict", json=request), 400)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"instances": [[[1.0, 2.0]]]}, "needs strings"),
        ({"instances": [{"b64": "AA=="}], "signature_name": "train"}, 'name: "train" not found'),
        ({"instances": [{"picture": "AA=="}]}, "Sent extra: {picture}. Missing but required: {image}"),
        ({"instance": ["a"]}, "either `instances`"),
        ({"instances": ["a"] * 41}, "41 images, more than the limit of 40"),
    ],
    ids=["dtype", "signature", "input", "key", "too many"],
)
def test_wrong_requests(url, body, message):
    assert message in error(requests.post(url, json=body), 400)


def test_undecodable_image_fails_only_its_own_request(server, url):
    """Good and bad requests at the same time, so that they share batches."""
    slow = f"{server.url}/v1/models/numbers:predict"
    good, bad = instances(png((0, 255, 0))), instances(png((0, 255, 0))[:-20])
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for _ in range(2):  # both workers are busy while the requests come
            pool.submit(requests.post, slow, json={"signature_name": "slow", "instances": [50]})
        answers = list(pool.map(lambda body: requests.post(url, json=body), [good, good, bad, good] * 5))
    assert [answer.status_code for answer in answers] == [200, 200, 400, 200] * 5
    assert {answer.json()["predictions"][0]["labels"][0] for answer in answers if answer.ok} == {"green"}


def test_queue_is_full(server):
    """40 images may wait; more requests than that are refused and told when to come again."""
    url = f"{server.url}/v1/models/numbers:predict"
    body = {"signature_name": "slow", "instances": [60] * 8}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: requests.post(url, json=body), range(16)))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    assert all("The queue is full" in answer.json()["error"] for answer in refused)
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    done = [answer for answer in answers if answer.status_code == 200]
    assert len(done) >= 7  # two run, five wait
    assert len(done) + len(refused) == 16


@pytest.mark.parametrize(
    "beginning",
    [b"", b"P", b"POST /v1/models/images:predict HTTP/1.1\r\nHost: localhost\r\nX-Slow: "],
    ids=["no", "one", "many"],
)
def test_clients_that_do_not_finish_their_header(server, beginning):
    with connect(server) as connection:
        connection.sendall(beginning)
        start = time.monotonic()
        assert received(connection) == b""  # closed by the server
        assert time.monotonic() - start < 5


def test_clients_that_trickle_their_header(server):
    """A byte now and then does not keep the connection: the deadline is for the whole header."""
    with connect(server) as connection, pytest.raises(OSError):  # noqa: PT011, PT012  (which one depends on the timing)
        for _ in range(100):
            connection.sendall(b"X")
            time.sleep(0.05)


def test_clients_that_do_not_finish_their_body(server):
    with connect(server) as connection:
        connection.sendall(
            b"POST /v1/models/images:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"
        )
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"The body did not arrive within 0.6 seconds." in answer


def test_endless_header(server):
    with connect(server) as connection:
        answer = b""
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 3_000_000)
            answer = received(connection)
        except OSError:
            pass  # closed while it was sent
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "text", [b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"]
)
def test_what_is_no_http(server, text):
    with connect(server) as connection:
        connection.sendall(text)
        assert received(connection).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("length", [b"-1", b"ten", b"1" * 40])
def test_wrong_lengths(server, length):
    with connect(server) as connection:
        connection.sendall(
            b"POST /v1/models/images:predict HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            b"Content-Length: %s\r\n\r\n" % length
        )
        assert received(connection)[9:12] in (b"400", b"413")


def test_disconnects(server):
    """Clients that leave while their request waits; their work is given up."""

    def given_up():
        text = requests.get(f"{server.url}/monitoring/prometheus/metrics").text
        return sum(float(value) for value in re.findall(r'requests_total\{.*status="CANCELLED"\} (\S+)', text))

    before = given_up()
    body = json.dumps({"signature_name": "slow", "instances": [300]}).encode()
    head = b"POST /v1/models/numbers:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    for _ in range(20):
        with connect(server) as connection:
            connection.sendall(head + body)
    for _ in range(20):
        with connect(server) as connection:
            connection.sendall(head + body[:-3])
    deadline = time.monotonic() + 10
    while given_up() < before + 40:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_clients_that_do_not_read_their_answer(server):
    """They hold their own connection and nothing else."""
    body = json.dumps({"signature_name": "encode", **instances(*[png((1, 2, 3))] * 40)}).encode()
    head = b"POST /v1/models/images:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    connections = [connect(server) for _ in range(4)]
    try:
        for connection in connections:
            connection.sendall(head + body)
        time.sleep(0.2)
        assert requests.get(f"{server.url}/v1/models/images", timeout=5).ok
    finally:
        for connection in connections:
            connection.close()


def test_many_threads_of_nonsense(url):
    """All of it at once, for a while."""
    bodies = [b"\0", b"{}", json.dumps(instances(bomb())).encode(), json.dumps(instances(b"no image")).encode()]
    codes = []

    def attack(index):
        for i in range(20):
            codes.append(requests.post(url, data=bodies[(i + index) % len(bodies)]).status_code)

    threads = [threading.Thread(target=attack, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) == {400}
    assert len(codes) == 160
