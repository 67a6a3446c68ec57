"""Downloads and uploads against a real HTTP server, whole and broken."""

import contextlib
import hashlib
import http.server
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from keras_fvvae.errors import WeightsError
from keras_fvvae.zoo.remote import downloads
from keras_fvvae.zoo.remote.addresses import is_url
from keras_fvvae.zoo.remote.downloads import download, read_url, upload
from keras_fvvae.zoo.remote.errors import MissingError, NetworkError

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class FileServer(http.server.ThreadingHTTPServer):
    """Serves a folder with Range and PUT on the local machine, and fails as it is told.

    Attributes:
        requests: methods, paths and Range headers in the order in which they came.
        breaks: numbers of bytes after which the next answers break off.
        ranges: whether Range is obeyed.
        status: answered to every request instead, if set.
        delay: seconds before an answer.
        pause: seconds between two bytes of an answer.
        moved: where every request is sent on to, if set.
    """

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.requests, self.breaks = Path(folder), [], []
        self.ranges, self.status, self.delay, self.moved = True, None, 0.0, None
        self.pause = 0.0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Clients that go away are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def _answers(self):
        self.server.requests.append((self.command, self.path, self.headers.get("Range")))
        time.sleep(self.server.delay)
        if self.server.status:
            self.send_error(self.server.status)
        elif self.server.moved:
            self.send_response(302)
            self.send_header("Location", self.server.moved)
            self.send_header("Content-Length", "0")
            self.end_headers()
        return not (self.server.status or self.server.moved)

    def do_GET(self):
        if not self._answers():
            return
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            return self.send_error(404)
        content, start = path.read_bytes(), 0
        wanted = self.headers.get("Range")
        if wanted and self.server.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.server.pause:
            for byte in content[start:]:
                self.wfile.write(bytes([byte]))
                time.sleep(self.server.pause)
        end = start + self.server.breaks.pop(0) if self.server.breaks else None
        self.wfile.write(content[start:end])

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._answers():
            return
        path = self.server.folder / self.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextlib.contextmanager
def serving(folder):
    """Runs a `FileServer` of a folder while the block lasts."""
    server = FileServer(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "weights.bin").write_bytes(CONTENT)
    with serving(tmp_path / "served") as server:
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "sub" / "weights.bin"


def _partial(target, content):
    path = target.with_name("weights.bin.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _ranges(server):
    return [wanted for _, _, wanted in server.requests]


def _is_all_there(target):
    return target.read_bytes() == CONTENT and [path.name for path in target.parent.iterdir()] == ["weights.bin"]


def test_what_is_a_url():
    assert [is_url(text) for text in ("http://a/b", "ftp://a", "a/b", "C:/a", Path("a"))] == [True, True] + [False] * 3


def test_download(server, target):
    assert download(f"{server.url}/weights.bin", target, DIGEST, len(CONTENT)) == target
    assert _is_all_there(target)


def test_what_is_there_is_not_downloaded_again(server, target):
    for _ in range(2):
        download(f"{server.url}/weights.bin", target, DIGEST)
    assert len(server.requests) == 1


def test_what_was_altered_is_downloaded_again(server, target):
    download(f"{server.url}/weights.bin", target, DIGEST)
    target.write_bytes(b"x" + CONTENT[1:])
    download(f"{server.url}/weights.bin", target, DIGEST)
    assert _is_all_there(target)


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_goes_on_after_breaks(server, target, size):
    server.breaks = [300_000, 200_000]
    download(f"{server.url}/weights.bin", target, DIGEST, size)
    assert _is_all_there(target)
    assert _ranges(server) == [None, "bytes=300000-", "bytes=500000-"]


def test_next_call_goes_on(server, target):
    server.breaks = [300_000, 0]
    with pytest.raises(NetworkError, match="weights.bin broke off .*300000 of 1024000 bytes.*try again to go on"):
        download(f"{server.url}/weights.bin", target, DIGEST)
    assert not target.exists()
    download(f"{server.url}/weights.bin", target, DIGEST)
    assert _is_all_there(target)
    assert _ranges(server)[-1] == "bytes=300000-"


def test_killed_download_goes_on(server, target):
    """SIGKILL leaves no time for tidying up, and must not leave a lock behind."""
    code = (
        "import os, sys; from keras_fvvae.zoo.remote import downloads\n"
        "downloads._BrokenError = type('Killed', (BaseException,), {'__init__': lambda *a: os.kill(os.getpid(), 9)})\n"
        "downloads.download(sys.argv[1], sys.argv[2], sys.argv[3])\n"
    )
    server.breaks = [300_000]
    url = f"{server.url}/weights.bin"
    assert subprocess.run([sys.executable, "-c", code, url, str(target), DIGEST], check=False).returncode == -9
    download(url, target, DIGEST)
    assert _is_all_there(target)
    assert _ranges(server) == [None, "bytes=300000-"]


def test_server_without_ranges(server, target):
    server.ranges = False
    _partial(target, CONTENT[:300_000])
    download(f"{server.url}/weights.bin", target, DIGEST, len(CONTENT))
    assert _is_all_there(target)
    assert _ranges(server) == ["bytes=300000-"]


@pytest.mark.parametrize("size", [None, len(CONTENT)])
@pytest.mark.parametrize(
    "content", [b"old" * 1000, CONTENT, CONTENT + b"more", b"x" * len(CONTENT)], ids=["old", "whole", "long", "other"]
)
def test_whatever_was_left_behind(server, target, content, size):
    _partial(target, content)
    download(f"{server.url}/weights.bin", target, DIGEST, size)
    assert _is_all_there(target)
    if content == CONTENT and size:
        assert server.requests == []


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_other_content_is_refused(server, target, size):
    (server.folder / "weights.bin").write_bytes(b"x" + CONTENT[1:])
    with pytest.raises(WeightsError, match="weights.bin is not the file that was published"):
        download(f"{server.url}/weights.bin", target, DIGEST, size)
    assert list(target.parent.iterdir()) == []


def test_another_size_is_refused_at_once(server, target):
    (server.folder / "weights.bin").write_bytes(CONTENT * 2)
    with pytest.raises(WeightsError, match="has 2048000 bytes on the server, 1024000 were published"):
        download(f"{server.url}/weights.bin", target, DIGEST, len(CONTENT))
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (404, MissingError, "weights.bin does not exist .HTTP 404"),
        (403, WeightsError, "weights.bin cannot be read: HTTP 403 Forbidden. Check the address and your rights"),
        (503, WeightsError, "weights.bin cannot be read: HTTP 503 Service Unavailable. Try later"),
    ],
)
def test_refusals(server, target, status, kind, message):
    server.status = status
    with pytest.raises(kind, match=message):
        download(f"{server.url}/weights.bin", target, DIGEST)
    with pytest.raises(kind, match=message):
        read_url(f"{server.url}/weights.bin")
    assert list(target.parent.iterdir()) == []


def test_no_server(target):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
        for call in (lambda: download(url, target, DIGEST), lambda: read_url(url), lambda: upload(url, b"")):
            with pytest.raises(NetworkError, match=f"{url} cannot be (read|written): Connection refused. Check the"):
                call()


def test_no_network(target):
    """The name cannot be resolved."""
    with pytest.raises(NetworkError, match="http://nowhere.invalid/x cannot be read: .*. Check the network"):
        download("http://nowhere.invalid/x", target, DIGEST)


def test_server_that_does_not_answer(server, target, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.2)
    server.delay = 1.0
    with pytest.raises(NetworkError, match="weights.bin cannot be read: no answer for 0.2 seconds"):
        download(f"{server.url}/weights.bin", target, DIGEST)


def test_redirects_are_followed_to_http_alone(server, target, tmp_path):
    with serving(server.folder) as first:
        first.moved = f"{server.url}/weights.bin"
        download(f"{first.url}/old.bin", target, DIGEST)
        assert _is_all_there(target)
        for moved, message in (("ftp://a/b", "only http and https are, not ftp"), ("file:///etc/passwd", "302")):
            first.moved = moved
            with pytest.raises(WeightsError, match=f"{first.url}.*{message}"):
                download(f"{first.url}/other.bin", tmp_path / "other.bin", DIGEST)
    assert not (tmp_path / "other.bin").exists()


@pytest.mark.parametrize("url", ["ftp://a/b", "file:///etc/passwd", "hf://someone/birds"])
def test_other_schemes(target, url):
    message = f"{url} cannot be used: only http, https, s3, gs, gcs, az, abfs and memory are, not {url.split(':')[0]}"
    for call in (lambda: download(url, target, DIGEST), lambda: read_url(url), lambda: upload(url, b"")):
        with pytest.raises(WeightsError, match=message):
            call()


@pytest.mark.parametrize("url", ["http://", "http:/a", "http://[::1", "http://a:b/c", "http://a b/c"])
def test_urls_that_are_none(url):
    with pytest.raises(WeightsError, match=r"is not a URL that can be used: .*\.$"):
        read_url(url)


def test_small_files_are_small(server):
    (server.folder / "index.json").write_bytes(b" " * (downloads.MAX_TEXT_BYTES + 1))
    with pytest.raises(WeightsError, match="index.json is larger than"):
        read_url(f"{server.url}/index.json")


def test_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match=r"cannot be stored in .*file/sub: Not a directory.*XDG_CACHE_HOME"):
        download(f"{server.url}/weights.bin", tmp_path / "file" / "sub" / "weights.bin", DIGEST)


@pytest.mark.parametrize("kilobytes", [400, 996])
def test_full_disk(server, small_disk, kilobytes):
    """What was written is kept, and the next call goes on when there is room; 996 lack only the end of the file."""
    target = small_disk(kilobytes) / "weights.bin"
    with pytest.raises(WeightsError, match=r"cannot be stored in .*disk: No space left on device. Free space"):
        download(f"{server.url}/weights.bin", target, DIGEST)
    small_disk(4000)
    download(f"{server.url}/weights.bin", target, DIGEST)
    assert _is_all_there(target)
    assert _ranges(server)[-1].startswith("bytes=")


def test_processes_at_the_same_time(server, target):
    """One downloads, through a break; the others wait and take its file."""
    server.delay, server.breaks = 0.5, [300_000]
    code = "import sys; from keras_fvvae.zoo.remote.downloads import download; download(*sys.argv[1:])"
    arguments = [sys.executable, "-c", code, f"{server.url}/weights.bin", str(target), DIGEST]
    processes = [subprocess.Popen(arguments) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert _is_all_there(target)
    assert _ranges(server) == [None, "bytes=300000-"]


def test_upload(server, tmp_path):
    upload(f"{server.url}/a/b.txt", b"hello")
    (tmp_path / "file").write_bytes(CONTENT)
    upload(f"{server.url}/a/c.bin", tmp_path / "file")
    assert (server.folder / "a" / "b.txt").read_bytes() == b"hello"
    assert (server.folder / "a" / "c.bin").read_bytes() == CONTENT


def test_upload_that_is_refused(server):
    server.status = 405
    with pytest.raises(WeightsError, match="b.txt cannot be written: HTTP 405 Method Not Allowed"):
        upload(f"{server.url}/b.txt", b"hello")


def test_a_byte_now_and_then(server, tmp_path, monkeypatch):
    """It is never silent for long: the deadline is for what came, and what came is kept."""
    (server.folder / "a.bin").write_bytes(CONTENT)
    server.pause = 0.02
    monkeypatch.setattr(downloads, "SLOW_SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(NetworkError, match=r"a.bin is too slow \(less than 1,024 bytes a second\). What came is kept"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", DIGEST)
    with pytest.raises(NetworkError, match="a.bin did not arrive within 0.5 seconds. Try later."):
        read_url(f"{server.url}/a.bin")
    assert time.monotonic() - start < 10
    server.pause = 0.0
    assert download(f"{server.url}/a.bin", tmp_path / "a.bin", DIGEST).read_bytes() == CONTENT
    assert server.requests[-1][2].startswith("bytes=")
