"""Downloads of weights, resumed and checked before they are used, and uploads: by HTTP, or to and from a store."""

from __future__ import annotations

import contextlib
import http.client
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from keras_fvvae import __version__
from keras_fvvae.errors import WeightsError
from keras_fvvae.utils.file_locks import lock_file
from keras_fvvae.utils.files import reason, sha256
from keras_fvvae.utils.progress import progress_bar
from keras_fvvae.zoo.remote import filesystems
from keras_fvvae.zoo.remote.addresses import HTTP, STORES, require_scheme, scheme
from keras_fvvae.zoo.remote.errors import MissingError, NetworkError

# Seconds without a single byte after which a connection counts as broken.
TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 20
# A server that sends a byte now and then is never silent, and never done: so much has to come in so many seconds.
SLOWEST_BYTES = 1 << 10  # a second
SLOW_SECONDS = 60
# An index or a manifest has a few kilobytes; a server's error page that is sent instead may be anything.
MAX_TEXT_BYTES = 1 << 20
# Smaller files are there before a progress bar could be read.
PROGRESS_BYTES = 10_000_000
REQUESTED_RANGE_NOT_SATISFIABLE = 416


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only; urllib would go on to ftp as well."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        require_scheme(newurl, HTTP, f"{req.full_url} redirects to")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_Redirects)


class _BrokenError(Exception):
    """A transfer ended early; what came is kept."""


def read_url(url: str) -> bytes:
    """The content of a small file, such as an index.

    Raises:
        MissingError: if the server has no such file.
        NetworkError: if the server cannot be reached.
        WeightsError: for another answer, or a scheme that is not known.
    """
    content, start = b"", time.monotonic()
    with _named_errors(url), _open(url) as response:
        while len(content) <= MAX_TEXT_BYTES and (chunk := response.read1(CHUNK_BYTES)):
            content += chunk
            if time.monotonic() - start > SLOW_SECONDS:
                raise NetworkError(f"{url} did not arrive within {SLOW_SECONDS:g} seconds. Try later.")
    if len(content) > MAX_TEXT_BYTES:
        raise WeightsError(f"{url} is larger than {MAX_TEXT_BYTES} bytes: it is not a file of a zoo.")
    return content


def upload(url: str, content: bytes | str | Path) -> None:
    """Writes a file on a server by HTTP PUT, or into a store.

    Args:
        url: where the file will be.
        content: bytes, or the path of a file, which is streamed.

    Raises:
        WeightsError: if the server refuses or cannot be reached, or the scheme is not known.
    """
    if scheme(url) in STORES:
        filesystems.write(url, content)
        return
    with contextlib.ExitStack() as stack:
        body = content if isinstance(content, bytes) else stack.enter_context(open(content, "rb"))
        size = len(content) if isinstance(content, bytes) else Path(content).stat().st_size
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        stack.enter_context(_named_errors(url, "written"))
        stack.enter_context(_open(url, data=body, headers=headers, method="PUT"))


def download(url: str, destination: str | Path, digest: str, size: int | None = None) -> Path:
    """Downloads a file, unless it is there already.

    What arrives is written to `<destination>.partial`, so that a broken or killed download is resumed where it ended
    (with HTTP Range; from the start if the server ignores it), and renamed after size and SHA-256 were found right. A
    second process waits for the first one and takes its file.

    Args:
        url: of a server or a store.
        destination: path of the file; its folders are made.
        digest: SHA-256 in hexadecimal that the file must have.
        size: bytes that it must have, where known.

    Returns:
        `destination`.

    Raises:
        MissingError, NetworkError: if the server lacks it or cannot be reached.
        WeightsError: if it cannot be stored, or what the server has is something else.
    """
    destination = Path(destination)
    if _fits(destination, digest, size):
        return destination
    require_scheme(url)
    # Not `utils.files.replacing`: what came stays after a failure, under a name that the next call finds.
    partial = destination.with_name(f"{destination.name}.partial")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _claimed(partial) as file:
            if _fits(destination, digest, size):  # another process was faster
                partial.unlink()
                return destination
            try:
                _fill(file, url, size)
                if not _fits(partial, digest, size):
                    # The start may be of an older file, or damaged.
                    file.truncate(0)
                    _fill(file, url, size)
            finally:
                if not os.fstat(file.fileno()).st_size:
                    partial.unlink(missing_ok=True)
            if not _fits(partial, digest, size):
                partial.unlink()
                raise WeightsError(
                    f"{url} is not the file that was published (its SHA-256 or size differs): it is damaged on the "
                    f"server or was replaced; ask its publisher, or use another mirror."
                )
            os.replace(partial, destination)
    except OSError as error:
        raise WeightsError(
            f"{url} cannot be stored in {destination.parent}: {reason(error)}. Free space or rights there, or choose "
            f"another folder with the environment variable XDG_CACHE_HOME."
        ) from error
    return destination


def _fits(path, digest, size):
    if not path.is_file() or (size is not None and path.stat().st_size != size):
        return False
    return sha256(path) == digest


@contextlib.contextmanager
def _claimed(partial):
    """The partial file, open for appending, and locked against other processes (the lock dies with its process)."""
    while True:
        with open(partial, "ab", buffering=0) as file:
            lock_file(file.fileno(), wait=True)
            # Whoever held the lock before may have renamed or removed the file: then this is not it any more.
            if partial.exists() and os.path.samestat(os.fstat(file.fileno()), partial.stat()):
                yield file
                return


def _fill(file, url, size):
    """Appends what is missing; goes on after breaks as long as each attempt brings the file further than before."""
    while True:
        before = os.fstat(file.fileno()).st_size
        if before and before == size:
            return
        try:
            return _transfer(file, url, size, before)
        except _BrokenError as broken:
            if os.fstat(file.fileno()).st_size <= before:
                raise NetworkError(
                    f"The download of {url} broke off ({broken}). What came is kept: try again to go on from there."
                ) from broken


def _transfer(file, url, size, start):
    with _named_errors(url):
        try:
            response = _open(url, start)
        except urllib.error.HTTPError as error:
            if error.code != REQUESTED_RANGE_NOT_SATISFIABLE or not start:
                raise
            error.close()
            start = 0
            response = _open(url)
    with response:
        if not (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-"):
            start = 0  # the whole file comes
        file.truncate(start)
        length = response.headers.get("Content-Length")
        total = size if length is None else start + int(length)
        if size is not None and total != size:
            raise WeightsError(f"{url} has {total} bytes on the server, {size} were published: it was replaced there.")
        name = urllib.parse.unquote(url.rsplit("/", 1)[-1])
        enabled = (total or 0) >= PROGRESS_BYTES
        with progress_bar(f"Downloading {name} (MB)", (total or 0) // 10**6, start // 10**6, enabled) as update:
            done, before, since = start, start, time.monotonic()
            while chunk := _received(response):
                while chunk:
                    written = file.write(chunk)  # less than all where the disk is nearly full
                    done, chunk = done + written, chunk[written:]
                update(done // 10**6)
                if time.monotonic() - since >= SLOW_SECONDS:
                    if done - before < SLOWEST_BYTES * SLOW_SECONDS:
                        raise NetworkError(
                            f"The download of {url} is too slow (less than {SLOWEST_BYTES:,} bytes a second). What "
                            f"came is kept: try again later to go on from there."
                        )
                    before, since = done, time.monotonic()
                if total is not None and done > total:
                    raise WeightsError(f"{url} sends more than the {total} bytes that were announced.")
    if total is not None and done < total:
        raise _BrokenError(f"{done} of {total} bytes")


def _received(response):
    """The next bytes; errors of the network, unlike those of the disk, become `_BrokenError`."""
    try:
        return response.read1(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(_why(error)) from error


def _open(url, start=0, data=None, headers=(), method=None):
    """The answer of a server, or a store's file; from byte `start` on, if the server goes along."""
    require_scheme(url)
    if scheme(url) in STORES:
        return filesystems.StoredFile(url, start)
    headers = {"User-Agent": f"keras_fvvae/{__version__}", **dict(headers)}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        return _OPENER.open(request, timeout=TIMEOUT_SECONDS)
    except (ValueError, http.client.InvalidURL) as error:
        raise WeightsError(f"{url} is not a URL that can be used: {error}.") from error


@contextlib.contextmanager
def _named_errors(url, done="read"):
    """Turns what urllib raises into one sentence with the URL."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (404, 410):
            raise MissingError(f"{url} does not exist (HTTP {error.code}). Check the address.") from error
        advice = "Try later." if error.code >= 500 else "Check the address and your rights there."
        raise WeightsError(f"{url} cannot be {done}: HTTP {error.code} {error.reason}. {advice}") from error
    except (OSError, http.client.HTTPException) as error:
        raise NetworkError(
            f"{url} cannot be {done}: {_why(error)}. Check the network, or use weights in a folder on this machine."
        ) from error


def _why(error):
    inner = getattr(error, "reason", None)
    if isinstance(inner, OSError):
        error = inner
    if isinstance(error, TimeoutError):
        return f"no answer for {TIMEOUT_SECONDS} seconds"
    return str(getattr(error, "strerror", None) or error or type(error).__name__).rstrip(".")
