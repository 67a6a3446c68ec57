"""REST: whatever is sent, the right status and one sentence; the application without sockets, and with them (slow)."""

import asyncio
import base64
import json
import re
import socket
import threading
import time

import pytest

pytest.importorskip("starlette")

from keras_fvvae.serving import ModelConfig, ServerSettings
from keras_fvvae.serving.engine.engine import Engine
from keras_fvvae.serving.protocols.rest import build_app
from tests.hostile.test_images import encoded, jpeg_of, noise, png_of, scans
from tests.serving.conftest import bomb
from tests.support.hostile import check_sentence

IMAGES, NUMBERS, VIDEOS = (f"/v1/models/{name}:predict" for name in ("images", "numbers", "videos"))
SEARCH, ITEMS = "/v1/models/colors:search", "/v1/models/colors/items"
RED = base64.b64encode(encoded("PNG", color=(255, 0, 0))).decode()


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


class App:
    """The application in a loop of its own."""

    def __init__(self, models, settings):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.engine = self.run(self._engine(models, settings))
        self.app = build_app(self.engine)

    async def _engine(self, models, settings):
        engine = Engine(models, settings)
        await engine.repository.start()
        return engine

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def close(self):
        self.run(asyncio.to_thread(lambda: None))
        self.loop.call_soon_threadsafe(self.engine.batcher.close)
        self.loop.call_soon_threadsafe(self.loop.stop)

    def ask(self, method, path, body=b"", headers=()):
        """Status and content of the answer."""
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "scheme": "http",
            "server": ("127.0.0.1", 8501),
            "client": ("127.0.0.1", 1),
            "headers": [(k.encode(), v.encode()) for k, v in {"host": "127.0.0.1:8501", **dict(headers)}.items()],
        }
        sent, status = [], []

        async def call():
            pending = [{"type": "http.request", "body": body, "more_body": False}]

            async def receive():
                if pending:
                    return pending.pop()
                await asyncio.sleep(60)

            async def send(message):
                if message["type"] == "http.response.start":
                    status.append(message["status"])
                sent.append(message.get("body", b""))

            await self.app(scope, receive, send)

        self.run(call())
        return status[0], b"".join(sent)


@pytest.fixture(scope="module")
def app(saved_models, search_model, index):
    models = [
        ModelConfig(name, str(saved_models / name), labels={"stable": 1}) for name in ("images", "videos", "numbers")
    ]
    models.append(ModelConfig("colors", str(search_model), index=index))
    settings = ServerSettings(
        max_request_bytes=1 << 20,
        max_pixels=10_000,
        max_queued=40,
        max_images=8,
        max_response_bytes=100_000,
        max_neighbours=100,
        workers=1,
    )
    app = App(models, settings)
    yield app
    app.close()


def posted(body, path=IMAGES):
    return "POST", path, body if isinstance(body, bytes) else json.dumps(body).encode()


DECODES = {
    "an image": (posted({"instances": [{"b64": RED}]}), "red"),
    "in columns": (posted({"inputs": {"image": [{"b64": RED}]}}), "red"),
    "by its input": (posted({"instances": [{"image": {"b64": RED}}]}), "red"),
    "without padding": (posted({"instances": [{"b64": RED.rstrip("=")}]}), "red"),
    "with white space": (posted({"instances": [{"b64": "\n ".join(RED)}]}), "red"),
    "of a label": (posted({"instances": [{"b64": RED}]}, "/v1/models/images/labels/stable:predict"), "red"),
    "of a version": (posted({"instances": [{"b64": RED}]}, "/v1/models/images/versions/1:predict"), "red"),
    "a JPEG": (posted({"instances": [b64(encoded("JPEG", color=(0, 0, 255)))]}), "blue"),
    "an animated WebP": (posted({"instances": [b64(encoded("WEBP", color=(0, 255, 0)))]}), "green"),
}
REFUSED = {
    "nothing": (posted(b""), 400, "JSON Parse error"),
    "a byte": (posted(b"\xff"), 400, "JSON Parse error"),
    "a list": (posted([]), 400, "must be a JSON object"),
    "a number": (posted(7), 400, "must be a JSON object"),
    "an empty object": (posted({}), 400, "either `instances`"),
    "both forms": (posted({"instances": ["a"], "inputs": ["a"]}), 400, "either `instances`"),
    "no example": (posted({"instances": []}), 400, "at least one example"),
    "instances that are text": (posted({"instances": "a"}), 400, "`instances` must be a list"),
    "100,000 brackets": (posted(b'{"instances": ' + b"[" * 100_000), 400, "JSON Parse error: nested too deeply"),
    "5,000 digits": (posted(b'{"instances": [' + b"7" * 5000 + b"]}"), 400, "an integer of too many digits"),
    "half": (posted(b'{"instances": ["'), 400, "JSON Parse error"),
    "a signature that is a number": (posted({"instances": ["a"], "signature_name": 7}), 400, "must be a string"),
    "an unknown signature": (posted({"instances": ["a"], "signature_name": "train"}), 400, '"train" not found'),
    "a private signature": (posted({"instances": ["a"], "signature_name": "__saved_model_init_op"}), 400, "not found"),
    "100 kB of a signature": (
        posted({"instances": ["a"], "signature_name": "x" * 100_000}),
        400,
        "not found|\\.\\.\\.$",
    ),
    "other inputs": (
        posted({"instances": [{"picture": "a"}]}),
        400,
        "Sent extra: {picture}. Missing but required: {image}",
    ),
    "objects and values": (posted({"instances": [{"image": "a"}, "b"]}), 400, "all objects or all plain values"),
    "objects of other keys": (
        posted({"instances": [{"image": "a"}, {"x": "b"}]}),
        400,
        "instance 1 differs from the first",
    ),
    "numbers for images": (posted({"instances": [1.5]}), 400, "needs strings"),
    "nested images": (posted({"instances": [["a"]]}), 400, "needs|given a tensor of shape"),
    "a deep list": (posted({"instances": [eval("[" * 20 + "'a'" + "]" * 20)]}), 400, "nested too deeply|shape"),
    "Base64 that is none": (posted({"instances": [{"b64": "!"}]}), 400, "base64 that cannot be decoded"),
    "Base64 of 5 letters": (posted({"instances": [{"b64": "AAAAA"}]}), 400, "base64 that cannot be decoded"),
    "Base64 with padding inside": (posted({"instances": [{"b64": "AA==AA=="}]}), 400, "base64 that cannot be decoded"),
    "Base64 that is a number": (posted({"instances": [{"b64": 7}]}), 400, "needs strings"),
    "no image": (posted({"instances": [b64(b"no image")]}), 400, "Unknown image file format"),
    "half an image": (posted({"instances": [b64(noise("PNG")[:600])]}), 400, "."),
    "an empty image": (posted({"instances": [b64(b"")]}), 400, "."),
    "a damaged header": (posted({"instances": [b64(b"\x89PNG")]}), 400, "Image 0 of the request is damaged"),
    "a bomb": (posted({"instances": [b64(bomb())]}), 400, "claims 400,000,000 pixels; the limit is 10,000"),
    "a bomb behind an image": (
        posted({"instances": [{"b64": RED}, b64(png_of(500, 500))]}),
        400,
        "Image 1 .* 250,000 pixels",
    ),
    "a JPEG bomb": (posted({"instances": [b64(jpeg_of(65_500, 65_500))]}), 400, "claims 4,290,250,000 pixels"),
    "a JPEG of 300 scans": (posted({"instances": [b64(scans(300))]}), 400, "has 3[0-9]{2} scans; the limit is 100"),
    "41 images": (posted({"instances": ["a"] * 41}), 400, "41 images, more than the limit of 40"),
    "a video of 9 frames": (
        posted({"inputs": {"frames": [["a"] * 9], "num_frames": [9]}}, VIDEOS),
        400,
        "holds 9 frames, more than the limit of 8",
    ),
    "frames without their number": (posted({"inputs": {"frames": [["a"]]}}, VIDEOS), 400, "required: {num_frames}"),
    "videos of two lengths": (
        posted({"inputs": {"frames": [["a"], ["a", "b"]], "num_frames": [1, 2]}}, VIDEOS),
        400,
        "lengths",
    ),
    "other numbers of rows": (
        posted({"inputs": {"frames": [["a"]], "num_frames": [1, 1]}}, VIDEOS),
        400,
        "number of examples",
    ),
    "a number of frames that is none": (
        posted({"inputs": {"frames": [["a"]], "num_frames": [1.5]}}, VIDEOS),
        400,
        "its dtype",
    ),
    "a number out of range": (
        posted({"inputs": {"frames": [["a"]], "num_frames": [2**31]}}, VIDEOS),
        400,
        "out of its range",
    ),
    "text for numbers": (posted({"inputs": {"x": [["a", "b"]]}}, NUMBERS), 400, "needs numbers of its dtype"),
    "rows of two lengths": (posted({"inputs": {"x": [[1, 2], [1]]}}, NUMBERS), 400, "different lengths"),
    "another shape": (posted({"inputs": {"x": [[1, 2, 3]]}}, NUMBERS), 400, r"given a tensor of shape \[1, 3\]"),
    "an answer too large": (posted({"signature_name": "encode", "instances": ["a"] * 40}, IMAGES), 400, "."),
    "a body too large": (posted(b" " * (1 << 20) + b" "), 413, "larger than the limit of 1,048,576 bytes"),
    "an unknown model": (posted({}, "/v1/models/nobody:predict"), 404, "Servable not found for request: Latest.nobody"),
    "100 kB of a model": (posted({}, f"/v1/models/{'x' * 100_000}:predict"), 404, r"\.\.\.$"),
    "an unknown version": (posted({}, "/v1/models/images/versions/7:predict"), 404, "Specific.images, 7"),
    "a version of 5,000 digits": (
        posted({}, f"/v1/models/images/versions/{'7' * 5000}:predict"),
        400,
        r"\.\.\.$|numeric",
    ),
    "a version beyond int64": (
        posted({}, f"/v1/models/images/versions/{2**63}:predict"),
        400,
        "Failed to convert version",
    ),
    "a version of other digits": (posted({}, "/v1/models/images/versions/\u0663:predict"), 400, "Malformed request"),
    "an unknown label": (
        posted({}, "/v1/models/images/labels/x:predict"),
        400,
        "Unrecognized servable version label: x",
    ),
    "another method": (posted({}, "/v1/models/images:classify"), 501, "classify takes tf.Example; use predict"),
    "a method that is none": (posted({}, "/v1/models/images:train"), 400, "Malformed request: POST"),
    "a path that leads out": (posted({}, "/v1/models/../../etc/passwd"), 400, "Malformed request"),
    "a page that is not there": (("GET", "/admin", b""), 404, "Malformed request: GET /admin"),
    "a file of the page's folder": (("GET", "/../server.py", b""), 404, "Malformed request"),
    "a prediction by GET": (("GET", IMAGES, b""), 400, "Malformed request: GET"),
    "a status by POST": (posted({}, "/v1/models/images"), 400, "Malformed request: POST"),
    "a deletion": (("DELETE", "/v1/models/images", b""), 400, "Malformed request: DELETE"),
    "metadata of nobody": (("GET", "/v1/models/nobody/metadata", b""), 404, "not found"),
    "a status of nobody": (("GET", "/v1/models/nobody", b""), 404, "Could not find any versions of model nobody"),
}


def searched(**wanted):
    return posted({"instances": [{"b64": RED}], **wanted}, SEARCH)


REFUSED |= {
    "a search for nothing": (posted(b"", SEARCH), 400, "JSON Parse error"),
    "a search for a list": (posted([], SEARCH), 400, "must be a JSON object"),
    "a search without queries": (posted({"k": 3}, SEARCH), 400, "either `instances`"),
    "a search for no query": (posted({"instances": []}, SEARCH), 400, "at least one example"),
    "an unknown key of a search": (searched(top_k=3), 400, "Unknown key of a search 'top_k'"),
    "100 kB of a key": (searched(**{"x" * 100_000: 1}), 400, "Unknown key of a search 'xxx"),
    "a search by another signature": (searched(signature_name="explain_match"), 400, "Unknown key of a search"),
    "no neighbours": (searched(k=0), 400, "`k` must be an integer of at least 1"),
    "fewer than none": (searched(k=-(10**15)), 400, "`k` must be an integer of at least 1"),
    "half a neighbour": (searched(k=1.5), 400, "`k` must be an integer"),
    "true neighbours": (searched(k=True), 400, "`k` must be an integer"),
    "a text of neighbours": (searched(k="3"), 400, "`k` must be an integer"),
    "null neighbours": (searched(k=None), 400, "`k` must be an integer"),
    "too many neighbours": (
        posted({"instances": [{"b64": RED}] * 20, "k": 8}, SEARCH),
        400,
        "8 neighbours of 20 queries are more than the limit of 100",
    ),
    "an explanation that is a number": (searched(explain=1), 400, "`explain` must be true or false"),
    "explanations of 17 queries": (
        posted({"instances": [{"b64": RED}] * 17, "k": 1, "explain": True}, SEARCH),
        400,
        "At most 16 queries of a request are explained; it holds 17",
    ),
    "an item without an explanation": (searched(item=1), 400, "it needs `explain`"),
    "an item beyond the index": (searched(item=8, explain=True), 400, "`item` must be less than 8"),
    "a negative item": (searched(item=-1, explain=True), 400, "`item` must be an integer of at least 0"),
    "an item that is a path": (searched(item="/etc/passwd", explain=True), 400, "`item` must be an integer"),
    "a digest too few": (searched(sha256=[]), 400, "one entry a query"),
    "digests that are one text": (searched(sha256="0" * 64), 400, "must be a list"),
    "a digest of other letters": (searched(sha256=["x" * 64]), 400, "64 hexadecimal digits"),
    "a digest that is a list": (searched(sha256=[[]]), 400, "64 hexadecimal digits"),
    "a search for a text": (posted({"instances": ["a"]}, SEARCH), 400, "Unknown image file format"),
    "a search for a bomb": (posted({"instances": [b64(bomb())]}, SEARCH), 400, "claims 400,000,000 pixels"),
    "a search for 41 images": (posted({"instances": ["a"] * 41, "k": 1}, SEARCH), 400, "more than the limit of 40"),
    "a search in nothing": (posted({"instances": ["a"]}, "/v1/models/images:search"), 404, "images has no index"),
    "a search in nobody": (posted({}, "/v1/models/nobody:search"), 404, "Servable not found"),
    "a search in an unknown version": (posted({}, "/v1/models/colors/versions/9:search"), 404, "Specific.colors, 9"),
    "a search by GET": (("GET", SEARCH, b""), 400, "Malformed request: GET"),
    "an item that is not there": (("GET", f"{ITEMS}/8", b""), 404, "The index of colors has no item 8"),
    "an item of 5,000 digits": (("GET", f"{ITEMS}/{'7' * 5000}", b""), 400, "Malformed request|[.]{3}$"),
    "an item that leads out": (("GET", f"{ITEMS}/../../../etc/passwd", b""), 400, "Malformed request"),
    "an item by a path": (("GET", f"{ITEMS}//etc/passwd", b""), 400, "Malformed request"),
    "an item of other digits": (("GET", f"{ITEMS}/\u0663", b""), 400, "Malformed request"),
    "an item by its name": (("GET", f"{ITEMS}/red/0.png", b""), 400, "Malformed request"),
    "an item of no index": (("GET", "/v1/models/images/items/0", b""), 404, "images has no index"),
    "an item of nobody": (("GET", "/v1/models/nobody/items/0", b""), 404, "Servable not found"),
    "an item that is posted": (posted({}, f"{ITEMS}/0"), 400, "Malformed request: POST"),
}
SENDERS = {
    "another name": ([("host", "evil.example")], "The server is not called 'evil.example'"),
    "a name that is none": ([("host", "[::1")], "The server is not called"),
    "a name that looks like ours": ([("host", "localhost.evil.example")], "The server is not called"),
    "another page": ([("origin", "http://evil.example")], "pages of 'http://evil.example' are not answered"),
    "a page in a sandbox": ([("origin", "null")], "pages of 'null' are not answered"),
    "a file": ([("origin", "file://")], "are not answered"),
    "another port of ours": ([("origin", "http://127.0.0.1:9999")], "are not answered"),
    "a form of another site": ([("sec-fetch-site", "cross-site")], "pages of other sites are not answered"),
}


@pytest.mark.parametrize("name", DECODES)
def test_answers(app, name):
    (method, path, body), label = DECODES[name]
    status, content = app.ask(method, path, body)
    answer = json.loads(content)
    assert status == 200
    labels = answer["outputs"]["labels"] if "outputs" in answer else [one["labels"] for one in answer["predictions"]]
    assert labels[0][0] == label


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(app, name):
    (method, path, body), status, pattern = REFUSED[name]
    found, content = app.ask(method, path, body)
    assert found == status, content
    check_sentence(json.loads(content)["error"], pattern)
    assert b"/tmp" not in content.replace(path.encode(), b"")  # how the server's disk looks is nobody's business
    # And the server goes on.
    assert app.ask("POST", IMAGES, json.dumps({"instances": [{"b64": RED}]}).encode())[0] == 200
    assert app.engine._pending_bytes == 0


@pytest.mark.parametrize("name", SENDERS)
def test_senders(app, name):
    headers, pattern = SENDERS[name]
    status, content = app.ask(*posted({"instances": [{"b64": RED}]}), headers=headers)
    assert status == 403
    check_sentence(json.loads(content)["error"], pattern)


HEAD = b"POST /v1/models/images:predict HTTP/1.1\r\nHost: localhost\r\n"
SOCKETS = {
    "no HTTP": (b"\0\0\0\0\r\n\r\n", b"HTTP/1.1 400 "),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"HTTP/1.1 400 "),
    "a line of HTTP 0.9": (b"GET /\r\n\r\n", b"HTTP/1.1 400 "),
    "a length that is text": (HEAD + b"Content-Length: abc\r\n\r\n", b"HTTP/1.1 400 "),
    "a negative length": (HEAD + b"Content-Length: -1\r\n\r\n", b"HTTP/1.1 400 "),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", b"HTTP/1.1 400 "),
    "an unknown coding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", b"HTTP/1.1 (400|501) "),
    "a chunk that is none": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", b"HTTP/1.1 400 |^$"),
    "a null in a header": (HEAD + b"X: a\0b\r\n\r\n", b"HTTP/1.1 400 "),
    "no host": (b"GET /v1/models/images HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 "),
    "an endless header": (HEAD + b"X: " + b"a" * 200_000, b"HTTP/1.1 400 |^$"),
    "half a header": (HEAD, b"^$"),
    "half a body": (HEAD + b"Content-Length: 1000\r\n\r\n{", b"HTTP/1.1 408 "),
    "a promise of 100 MB": (HEAD + b"Content-Length: 100000000\r\nExpect: 100-continue\r\n\r\n", b"HTTP/1.1 413 "),
    "another name of the server": (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"HTTP/1.1 403 "),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SOCKETS)
def test_sockets(server, name):
    """What no client sends; the server answers or closes, within its deadlines, and goes on."""
    text, pattern = SOCKETS[name]
    answer, start = b"", time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        try:
            connection.sendall(text)
            connection.settimeout(5)
            while part := connection.recv(65536):
                answer += part
                if b"\r\n\r\n" in answer and not pattern.startswith(b"^"):
                    break
        except OSError:
            pass  # closed while it was sent
    assert time.monotonic() - start < 5
    assert re.search(pattern, answer), answer[:200]
