"""The server: REST by Uvicorn and Starlette, gRPC by grpc.aio, one event loop, one engine behind both."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keras_fvvae.errors import RunError
from keras_fvvae.serving.settings import ServerSettings
from keras_fvvae.utils.extras import require
from keras_fvvae.utils.files import reason

if TYPE_CHECKING:
    from keras_fvvae.serving.settings import ModelConfig

logger = logging.getLogger(__name__)

# Seconds that Uvicorn keeps an idle connection open, so that clients need no new one for each request.
_KEEP_ALIVE = 75
# Seconds after `stop_timeout` to send what is refused then.
_LAST_WORDS = 0.5
# Seconds after that, in which threads end that are in the middle of an operation.
_LAST_OPERATION = 2.0
# Seconds that a thread may compute in Python while others wait: the event loop's turn comes some ten times in every
# request, and Python's own 5 ms would make that 50 where a large answer is written.
_SWITCH_INTERVAL = 0.001
# Connections that wait to be accepted.
_BACKLOG = 1024
# Windows has no SIGHUP.
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
_EXTRA = ("uvicorn", "starlette", "h11", "prometheus_client", "orjson")
_EXTRA_OF_GRPC = ("grpc", "tensorflow_serving.apis.predict_pb2")


class Server:
    """Serves SavedModels by TensorFlow Serving's protocols, without TensorFlow Serving.

    Any SavedModel with signatures can be served. The folders are watched: a new version replaces the old one when it
    has been loaded and warmed up, and a broken one leaves it.

    Args:
        models: list of `keras_fvvae.serving.ModelConfig`.
        settings: `keras_fvvae.serving.ServerSettings`. Default: its defaults.

    Raises:
        KerasFVVAEError: if the extra `serving` is not installed, or `grpc` where a port of gRPC is given.

    Example:
        ```python
        with Server([ModelConfig("birds", "models/birds")], ServerSettings(port=0, grpc_port=0)).running() as server:
            print(Client(server.url).classify(["bird.jpg"]))
        ```
    """

    def __init__(self, models: Sequence[ModelConfig], settings: ServerSettings | None = None):
        require(*_EXTRA, extra="serving", what="Serving")
        from keras_fvvae.serving.engine.engine import Engine

        self.settings = settings or ServerSettings()
        if self.settings.grpc_port is not None:
            require(*_EXTRA_OF_GRPC, extra="grpc", what="A port of gRPC")
        self.engine = Engine(models, self.settings)
        self.port = self.grpc_port = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """Address of REST and of the web page."""
        return f"http://{_reachable(self.settings.host)}:{self.port}"

    @property
    def grpc_url(self) -> str | None:
        """Address of gRPC, as `Client` takes it; `None` without gRPC."""
        return None if self.grpc_port is None else f"grpc://{_reachable(self.settings.host)}:{self.grpc_port}"

    def run(self, on_start: Callable[[Server], Any] = lambda server: None) -> None:
        """Serves until SIGTERM, SIGINT or SIGHUP, then lets running requests finish.

        Args:
            on_start: called with the server when it answers.

        Raises:
            RunError: if a port is taken, or a model has no version that can be served.
        """
        sys.setswitchinterval(_SWITCH_INTERVAL)
        # Ends the process where a thread keeps it beyond what is promised: nothing in it is of any further use then.
        seconds = self.settings.stop_timeout + _LAST_WORDS + _LAST_OPERATION
        last = threading.Timer(seconds, os._exit, (0,))
        last.daemon = True
        try:
            asyncio.run(self._serve(on_start, _SIGNALS, last.start))
        finally:
            last.cancel()

    @contextlib.contextmanager
    def running(self) -> Iterator[Server]:
        """Serves in a thread while the context is open, for tests and notebooks.

        Raises:
            RunError: as `run`.
        """
        started, failure = threading.Event(), []

        def target():
            try:
                asyncio.run(self._serve(lambda server: started.set(), ()))
            except BaseException as error:
                failure.append(error)
            finally:
                started.set()

        thread = threading.Thread(target=target, name="keras-fvvae-serve")
        thread.start()
        started.wait()
        try:
            if failure:
                raise failure[0]
            yield self
        finally:
            self.stop()
            thread.join()

    def stop(self) -> None:
        """Asks a running server to stop; may be called from any thread."""
        with contextlib.suppress(AttributeError, RuntimeError):  # not started, or stopped already
            self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self, on_start, signals, on_stop=lambda: None):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        for number in signals:
            # `nohup` starts a process that ignores SIGHUP, and expects that it stays so.
            if number in (signal.SIGTERM, signal.SIGINT) or signal.getsignal(number) is not signal.SIG_IGN:
                self._stop_at(number)
        engine, settings = self.engine, self.settings
        listening = _listen(settings.host, settings.port)
        rpc = None
        try:
            self.port = listening.getsockname()[1]
            rpc = self._rpc_server()
            await engine.repository.start()
            if rpc:
                await rpc.start()
            http = _http_server(engine)
            tasks = [
                asyncio.create_task(http.serve(sockets=[listening])),
                asyncio.create_task(engine.repository.watch(settings.poll_interval)),
            ]
            while not http.started:
                await asyncio.sleep(0.01)
            on_start(self)
            await self._stop.wait()
            logger.info("Stopping: running requests have %g seconds.", settings.stop_timeout)
            on_stop()
            tasks[1].cancel()
            http.should_exit = True
            # What has not been computed by then is refused with a reason, and its clients have a moment to read it.
            abort = self._loop.call_later(settings.stop_timeout, engine.batcher.abort)
            grace = settings.stop_timeout + _LAST_WORDS
            await asyncio.gather(tasks[0], rpc.stop(grace) if rpc else asyncio.sleep(0))
            abort.cancel()
        finally:
            listening.close()
            if rpc:
                await rpc.stop(0)
            engine.close()

    def _stop_at(self, number):
        try:
            self._loop.add_signal_handler(number, self._stop.set)
        except NotImplementedError:  # Windows' event loop has none
            signal.signal(number, lambda *_: self.stop())

    def _rpc_server(self):
        if self.settings.grpc_port is None:
            return None
        import grpc

        from keras_fvvae.serving.protocols.grpc_service import ReadableRequests, add_services

        options = [
            ("grpc.max_receive_message_length", self.settings.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # a taken port must be an error, not shared
        ]
        server = grpc.aio.server(
            interceptors=[ReadableRequests()],
            options=options,
            maximum_concurrent_rpcs=self.settings.max_connections,
        )
        add_services(server, self.engine)
        try:
            self.grpc_port = server.add_insecure_port(f"{_bracketed(self.settings.host)}:{self.settings.grpc_port}")
        except RuntimeError as error:
            raise RunError(
                f"gRPC cannot listen on port {self.settings.grpc_port}: is it taken? Choose another."
            ) from error
        return server


def _http_server(engine):
    import uvicorn

    from keras_fvvae.serving.protocols.http_protocol import deadline_protocol
    from keras_fvvae.serving.protocols.rest import build_app

    class _Uvicorn(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self):
            yield  # the signals stop gRPC too, so they are handled in one place

    settings = engine.settings

    def overloaded():
        return len(server.server_state.connections) > settings.max_connections

    config = uvicorn.Config(
        build_app(engine, overloaded),
        http=deadline_protocol(settings.receive_timeout, settings.max_connections),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=settings.stop_timeout + _LAST_WORDS,
    )
    server = _Uvicorn(config)
    return server


def _listen(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the protocol's number asyncio does not turn Nagle's algorithm off, and answers take 40 ms more.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        why = reason(error) if isinstance(error, OSError) else error
        raise RunError(f"REST cannot listen on {host}:{port}: {why}. Choose another --host or --port.") from error
    return listening


def _reachable(host):
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, _bracketed(host))


def _bracketed(host):
    """A host as it stands before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
