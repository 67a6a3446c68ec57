"""TensorFlow Serving's REST protocol, the metrics and the web page, as an ASGI application."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from importlib import resources
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from keras_fvvae.serving.engine.answer_size import JSON_NUMBER_BYTES
from keras_fvvae.serving.engine.engine import Held
from keras_fvvae.serving.errors import ServingError, invalid
from keras_fvvae.serving.protocols.json_tensors import error_body, format_response, parse_request, parsed_bytes
from keras_fvvae.serving.protocols.metadata import metadata_json, status_json
from keras_fvvae.serving.protocols.origin import check_sender
from keras_fvvae.serving.protocols.search_json import format_results, parse_search
from keras_fvvae.serving.protocols.video_frames import video_frames
from keras_fvvae.serving.version_folders import version_number

if TYPE_CHECKING:
    from keras_fvvae.serving.engine.engine import Engine

METRICS_PATH = "/monitoring/prometheus/metrics"
_WHICH = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_PREDICT = re.compile(_WHICH + r":(?P<method>predict|classify|regress)")
_SEARCH = re.compile(_WHICH + r":search")
_FRAMES = re.compile(_WHICH + r":frames")
_METADATA = re.compile(_WHICH + r"/metadata")
_STATUS = re.compile(_WHICH)
# An item of a model's index; its number has fewer digits than could be a path.
_ITEM = re.compile(r"/v1/models/(?P<name>[^/:]+)/items/(?P<item>[0-9]{1,15})")
# Uvicorn waits before it takes the next piece of an answer while more than 64 KiB are on their way.
_PIECE_BYTES = 1 << 16
_PAGE = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/search.js": ("search.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
_PAGE_HEADERS = {
    # The page needs nothing from elsewhere, and shows users' files as blobs.
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


def build_app(engine: Engine, overloaded: Callable[[], bool] = lambda: False) -> Callable:
    """The application.

    Args:
        engine: an `Engine`.
        overloaded: whether a request comes over more connections than there may be.

    Returns:
        An ASGI application.
    """

    async def page(request):
        name, kind = _PAGE[request.url.path]
        content = (resources.files("keras_fvvae.serving") / "static" / name).read_bytes()
        return Response(content, media_type=kind, headers=_PAGE_HEADERS)

    async def models(request):
        return _json(list(engine.repository.models))

    async def indexes(request):
        return _json(engine.searches.described())

    async def metrics(request):
        return Response(engine.metrics.page(), media_type=engine.metrics.content_type)

    async def api(request):
        path = request.url.path
        found = (pattern.fullmatch(path) for pattern in (_PREDICT, _SEARCH, _FRAMES, _ITEM, _METADATA))
        match = next(filter(None, found), None)
        name = match["name"] if match else path.removeprefix("/v1/models/")
        try:
            kind = {_SEARCH: " search", _FRAMES: " frames"}.get(match.re, "") if match else ""
            with engine.measured(name, f"REST{kind}"):
                return await _answer(engine, request)
        except ServingError as error:
            # A body that was not read to its end cannot be followed by another request.
            return _refusal(error, close=error.http_status in (408, 413))

    async def crashed(request, error):
        return Response(error_body(f"Internal error: {type(error).__name__}"), 500, media_type="application/json")

    async def not_found(request, error):
        message = str(invalid(f"Malformed request: {request.method} {request.url.path}"))  # cut where it is long
        return Response(error_body(message), error.status_code, error.headers, "application/json")

    routes = [
        *(Route(path, page) for path in _PAGE),
        Route("/models.json", models),
        Route("/indexes.json", indexes),
        Route(METRICS_PATH, metrics),
        Route("/v1/{path:path}", api, methods=["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    ]
    app = Starlette(routes=routes, exception_handlers={404: not_found, 405: not_found, Exception: crashed})

    async def guarded(scope, receive, send):
        try:
            if overloaded():
                limit = engine.settings.max_connections
                raise ServingError("UNAVAILABLE", f"More than {limit:,} connections are open. Try again later.")
            check_sender(Headers(scope=scope), engine.settings)
        except ServingError as error:
            return await _refusal(error, close=error.http_status == 503)(scope, receive, send)
        return await app(scope, receive, send)

    return guarded


def _refusal(error, close):
    headers = {"connection": "close"} if close else {}
    headers |= {"retry-after": "1"} if error.http_status == 503 else {}
    return Response(error_body(str(error)), error.http_status, headers, "application/json")


async def _answer(engine, request):
    path, method = request.url.path, request.method
    if method == "POST" and (match := _PREDICT.fullmatch(path)):
        if match["method"] != "predict":
            raise ServingError("UNIMPLEMENTED", f"{match['method']} takes tf.Example; use predict.")
        return await _worked(engine, request, _predicted, match["name"], _version(match), match["label"])
    if method == "POST" and (match := _SEARCH.fullmatch(path)):
        return await _worked(engine, request, _searched, match["name"], _version(match), match["label"])
    if method == "POST" and (match := _FRAMES.fullmatch(path)):
        return await _worked(engine, request, video_frames, match["name"], _version(match), match["label"], False)
    if method == "GET" and (match := _ITEM.fullmatch(path)):
        content = await engine.searches.thumbnail(match["name"], int(match["item"]))
        return Response(content, media_type="image/jpeg", headers=_PAGE_HEADERS)
    if method == "GET" and (match := _METADATA.fullmatch(path)):
        servable = engine.repository.model(match["name"]).find(_version(match), match["label"])
        return _json(metadata_json(servable))
    if method == "GET" and (match := _STATUS.fullmatch(path)):
        return _json(status_json(engine.repository.statuses(match["name"], _version(match), match["label"])))
    raise invalid(f"Malformed request: {method} {path}")


async def _worked(engine, request, answer, name, version, label, is_json=True):
    """Reads a body, and sends what `answer` makes of it while the client is there."""
    held = Held(engine)
    try:
        body = await _read_body(request, engine.settings, held)
        if is_json:
            held.add(_parsed_bytes(body, engine))
        work = asyncio.ensure_future(answer(engine, name, version, label, body, held))
        gone = asyncio.ensure_future(request.receive())  # nothing but a disconnect can follow the body
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ServingError("CANCELLED", "The client has gone.")
            return _Answer(work.result(), held)
        finally:
            work.cancel()
            gone.cancel()
    except BaseException:
        held.release()
        raise


class _Answer(Response):
    """An answer, sent in pieces so that it counts as held in memory until the client has read it."""

    media_type = "application/json"

    def __init__(self, content, held):
        super().__init__(content)
        self._held = held

    async def __call__(self, scope, receive, send):
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, len(self.body), _PIECE_BYTES):
                piece = self.body[start : start + _PIECE_BYTES]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(0)  # `send` alone lets others go on only where the client reads too slowly
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._held.release()


async def _predicted(engine, name, version, label, body, held):
    _, outputs, (is_row,) = await engine.predict(
        name,
        version,
        label,
        lambda servable: parse_request(body, servable.signatures),
        held,
        JSON_NUMBER_BYTES,
    )
    return await engine.lanes.run(held.size, format_response, outputs, is_row)


async def _searched(engine, name, version, label, body, held):
    most = engine.settings.max_neighbours
    results = await engine.searches.search(
        name, version, label, lambda servable, index: parse_search(body, servable.signatures, len(index), most), held
    )
    return await engine.lanes.run(held.size, format_results, results)


async def _read_body(request, settings, held):
    limit = settings.max_request_bytes
    text = request.headers.get("content-length", "")
    too_large = text.isdigit() and int(text) > limit
    chunks, size, refused = [], 0, None
    try:
        async with asyncio.timeout(settings.receive_timeout):
            # Who waits for "100 Continue" has not sent anything yet, and need not. Others go on sending: what is too
            # much is read and thrown away, as they would see a closed connection instead of the answer otherwise.
            if not (too_large and request.headers.get("expect", "").lower() == "100-continue"):
                async for chunk in request.stream():
                    size += len(chunk)
                    too_large = too_large or size > limit
                    if not (too_large or refused):
                        try:
                            held.add(len(chunk))  # what has arrived, not what is promised: promises cost nothing
                            chunks.append(chunk)
                            continue
                        except ServingError as error:
                            refused = error
                    chunks.clear()
                    held.release()
    except TimeoutError as error:
        if not too_large:
            message = f"The body did not arrive within {settings.receive_timeout:g} seconds."
            raise ServingError("DEADLINE_EXCEEDED", message, http_status=408) from error
    except ClientDisconnect as error:
        raise ServingError("CANCELLED", "The client has gone.") from error
    if too_large:
        message = f"The body is larger than the limit of {limit:,} bytes."
        raise ServingError("RESOURCE_EXHAUSTED", message, http_status=413)
    if refused:
        raise refused
    return b"".join(chunks)


def _parsed_bytes(body, engine):
    size = parsed_bytes(body)
    limit = engine.room(len(body) + size)
    if size > limit:
        message = f"The JSON would take some {size:,} bytes of memory, more than the limit of {limit:,}: use gRPC."
        raise ServingError("RESOURCE_EXHAUSTED", message, http_status=413)
    return size


def _version(match):
    text = match["version"]
    version = version_number(text) if text else None
    if text and version is None:
        raise invalid(f"Failed to convert version: {text} to numeric.")
    return version


def _json(value):
    return Response(json.dumps(value, indent=1), media_type="application/json")
