"""TensorFlow Serving's REST protocol, the metrics and the web page, as an ASGI application."""

from __future__ import annotations

import asyncio
import json
import re
from importlib import resources
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from keras_fvvae.serving.errors import ServingError, invalid
from keras_fvvae.serving.protocols.json_tensors import error_body, format_response, parse_request
from keras_fvvae.serving.protocols.metadata import metadata_json, status_json

if TYPE_CHECKING:
    from keras_fvvae.serving.engine.engine import Engine

METRICS_PATH = "/monitoring/prometheus/metrics"
_WHICH = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICT = re.compile(_WHICH + r":(?P<method>predict|classify|regress)")
_METADATA = re.compile(_WHICH + r"/metadata")
_STATUS = re.compile(_WHICH)
# int64 of TensorFlow Serving's protocol.
_MAX_VERSION = 2**63 - 1
_PAGE = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
_PAGE_HEADERS = {
    # The page needs nothing from elsewhere, and shows users' files as blobs.
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


def build_app(engine: Engine) -> Starlette:
    """The application.

    Args:
        engine: an `Engine`.
    """

    async def page(request):
        name, kind = _PAGE[request.url.path]
        content = (resources.files("keras_fvvae.serving") / "static" / name).read_bytes()
        return Response(content, media_type=kind, headers=_PAGE_HEADERS)

    async def models(request):
        return _json(list(engine.repository.models))

    async def metrics(request):
        return Response(engine.metrics.page(), media_type=engine.metrics.content_type)

    async def api(request):
        match = _PREDICT.fullmatch(request.url.path) or _METADATA.fullmatch(request.url.path)
        name = match["name"] if match else request.url.path.removeprefix("/v1/models/")
        try:
            with engine.measured(name, "REST"):
                return await _answer(engine, request)
        except ServingError as error:
            # A body that was not read to its end cannot be followed by another request.
            headers = {"connection": "close"} if error.http_status in (408, 413) else {}
            headers |= {"retry-after": "1"} if error.http_status == 503 else {}
            return Response(error_body(str(error)), error.http_status, headers, "application/json")

    async def crashed(request, error):
        return Response(error_body(f"Internal error: {type(error).__name__}"), 500, media_type="application/json")

    async def not_found(request, error):
        message = f"Malformed request: {request.method} {request.url.path}"
        return Response(error_body(message), error.status_code, error.headers, "application/json")

    routes = [
        *(Route(path, page) for path in _PAGE),
        Route("/models.json", models),
        Route(METRICS_PATH, metrics),
        Route("/v1/{path:path}", api, methods=["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    ]
    return Starlette(routes=routes, exception_handlers={404: not_found, 405: not_found, Exception: crashed})


async def _answer(engine, request):
    path, method = request.url.path, request.method
    if method == "POST" and (match := _PREDICT.fullmatch(path)):
        if match["method"] != "predict":
            raise ServingError("UNIMPLEMENTED", f"{match['method']} takes tf.Example; use predict.")
        return await _predict(engine, request, match["name"], _version(match), match["label"])
    if method == "GET" and (match := _METADATA.fullmatch(path)):
        servable = engine.repository.model(match["name"]).find(_version(match), match["label"])
        return _json(metadata_json(servable))
    if method == "GET" and (match := _STATUS.fullmatch(path)):
        return _json(status_json(engine.repository.statuses(match["name"], _version(match), match["label"])))
    raise invalid(f"Malformed request: {method} {path}")


async def _predict(engine, request, name, version, label):
    with engine.pending(_announced_size(request, engine.settings)):
        body = await _read_body(request, engine.settings)
        work = asyncio.ensure_future(_predicted(engine, name, version, label, body))
        gone = asyncio.ensure_future(request.receive())  # nothing but a disconnect can follow the body
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ServingError("CANCELLED", "The client has gone.")
            return Response(work.result(), media_type="application/json")
        finally:
            work.cancel()
            gone.cancel()


async def _predicted(engine, name, version, label, body):
    _, outputs, (is_row,) = await engine.predict(
        name, version, label, lambda servable: parse_request(body, servable.signatures)
    )
    return await asyncio.to_thread(format_response, outputs, is_row)


def _announced_size(request, settings):
    """The body's size, as its header says; the limit where it does not say."""
    text = request.headers.get("content-length", "")
    return min(int(text), settings.max_request_bytes) if text.isdigit() else settings.max_request_bytes


async def _read_body(request, settings):
    limit = settings.max_request_bytes
    text = request.headers.get("content-length", "")
    too_large = text.isdigit() and int(text) > limit
    chunks, size = [], 0
    try:
        async with asyncio.timeout(settings.receive_timeout):
            # Who waits for "100 Continue" has not sent anything yet, and need not. Others go on sending: what is too
            # much is read and thrown away, as they would see a closed connection instead of the answer otherwise.
            if not (too_large and request.headers.get("expect", "").lower() == "100-continue"):
                async for chunk in request.stream():
                    size += len(chunk)
                    too_large = too_large or size > limit
                    if too_large:
                        chunks.clear()
                    else:
                        chunks.append(chunk)
    except TimeoutError as error:
        if not too_large:
            message = f"The body did not arrive within {settings.receive_timeout:g} seconds."
            raise ServingError("DEADLINE_EXCEEDED", message, http_status=408) from error
    except ClientDisconnect as error:
        raise ServingError("CANCELLED", "The client has gone.") from error
    if too_large:
        message = f"The body is larger than the limit of {limit:,} bytes."
        raise ServingError("RESOURCE_EXHAUSTED", message, http_status=413)
    return b"".join(chunks)


def _version(match):
    version = match["version"] and int(match["version"])
    if version is not None and version > _MAX_VERSION:
        raise invalid(f"Failed to convert version: {match['version']} to numeric.")
    return version


def _json(value):
    return Response(json.dumps(value, indent=1), media_type="application/json")
