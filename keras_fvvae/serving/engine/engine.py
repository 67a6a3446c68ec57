"""What REST and gRPC have in common: from a parsed request to its outputs, limited, batched and counted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from keras_fvvae.serving.engine.answer_size import actual_bytes, check_size, expected_bytes
from keras_fvvae.serving.engine.batching import Batcher
from keras_fvvae.serving.engine.image_limits import check_images
from keras_fvvae.serving.engine.lanes import Lanes, decoding_cost, is_heavy
from keras_fvvae.serving.engine.metrics import Metrics
from keras_fvvae.serving.engine.repository import ModelRepository
from keras_fvvae.serving.errors import ServingError
from keras_fvvae.serving.searching.searches import Searches

if TYPE_CHECKING:
    import numpy as np

    from keras_fvvae.serving.engine.repository import Model
    from keras_fvvae.serving.engine.servable import Servable
    from keras_fvvae.serving.settings import ModelConfig, ServerSettings

# The optional output with which a signature flags images that it could not decode.
VALID_OUTPUT = "valid"
# Of the memory for requests, kept for light ones.
_LIGHT_SHARE = 0.25


class Held:
    """The bytes that one request holds of a server's memory: what has arrived of its body, and its answer.

    Args:
        engine: an `Engine`, which bounds the sum over all requests.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self.size = 0

    def add(self, size: int) -> None:
        """Counts so many bytes more.

        Raises:
            ServingError: UNAVAILABLE if there is no room for them.
        """
        self._engine.change_pending(size, self.size + size)
        self.size += size

    def release(self) -> None:
        """Gives everything back."""
        self._engine.change_pending(-self.size)
        self.size = 0


class Engine:
    """The models, their batches and the limits of one server.

    Args:
        models: list of `ModelConfig`.
        settings: a `ServerSettings`.
    """

    def __init__(self, models: Sequence[ModelConfig], settings: ServerSettings):
        self.settings = settings
        self.metrics = Metrics()
        self.repository = ModelRepository(models, self.metrics, settings.verify_operations)
        self.batcher = Batcher(settings, self.metrics)
        self.lanes = Lanes(settings.workers)
        self.searches = Searches(self)
        self._pending_bytes = 0

    async def predict(
        self,
        name: str,
        version: int | None,
        label: str | None,
        parse: Callable[[Servable], tuple],
        held: Held,
        number_bytes: int | None = None,
    ) -> tuple[Servable, dict[str, np.ndarray], list]:
        """Answers one request.

        Args:
            name: of the model.
            version: number, or `None`.
            label: of a version, or `None`.
            parse: function from the servable to `(signature, inputs, *rest)`; runs in a thread.
            held: what the request holds of the memory; the answer is added.
            number_bytes: that a number takes in the answer. Default: those of its dtype.

        Returns:
            `(servable, outputs, rest)`.

        Raises:
            ServingError: why there is no answer.
        """
        async with self.answering(name, version, label) as (_, servable):
            outputs, rest = await self.compute(servable, parse, held, number_bytes)
            return servable, outputs, rest

    @contextlib.asynccontextmanager
    async def answering(
        self, name: str, version: int | None, label: str | None
    ) -> AsyncIterator[tuple[Model, Servable]]:
        """A model and the servable that answers: in use until the block ends, which may take no longer than an answer.

        Raises:
            ServingError: NOT_FOUND; DEADLINE_EXCEEDED for a block that takes longer.
        """
        model = self.repository.model(name)
        servable = model.find(version, label)
        limit = self.settings.request_timeout
        with model.lease(servable):
            try:
                async with asyncio.timeout(limit):
                    yield model, servable
            except TimeoutError as error:
                raise ServingError("DEADLINE_EXCEEDED", f"The request took longer than {limit:g} seconds.") from error

    async def compute(
        self,
        servable: Servable,
        parse: Callable[[Servable], tuple],
        held: Held,
        number_bytes: int | None = None,
    ) -> tuple[dict[str, np.ndarray], list]:
        """What `predict` does with the servable that it has found; `(outputs, rest)`."""
        most = self.settings.max_response_bytes
        cost, signature, inputs, *rest = await self.lanes.run(held.size, self._read, parse, servable)
        if is_heavy(cost):
            await self.lanes.run(cost, self._check, signature, inputs)
        expected = expected_bytes(signature, inputs, number_bytes)
        check_size(expected, most)
        held.add(expected)
        outputs = await self.batcher.run(servable, signature, inputs, cost + held.size)
        actual = actual_bytes(outputs, number_bytes)
        check_size(actual, most)
        held.add(max(0, actual - expected))
        return outputs, rest

    def _read(self, parse, servable):
        signature, inputs, *rest = parse(servable)
        cost = decoding_cost(inputs.values())
        if not is_heavy(cost):
            self._check(signature, inputs)
        return cost, signature, inputs, *rest

    def _check(self, signature, inputs):
        for value in inputs.values():
            if value.dtype == object:
                check_images(value, self.settings.max_pixels, VALID_OUTPUT in signature.outputs)

    @contextlib.contextmanager
    def pending(self) -> Iterator[Held]:
        """What a request holds of the memory until the block ends: `Held`, to which its parts are added."""
        held = Held(self)
        try:
            yield held
        finally:
            held.release()

    @contextlib.contextmanager
    def measured(self, name: str, entry: str) -> Iterator[None]:
        """Counts and times a request; what it raises is counted by its code."""
        start = time.perf_counter()
        # Names that do not exist must not grow the metrics.
        label = name if name in self.repository.models else ""
        status = "OK"
        try:
            yield
        except ServingError as error:
            status = error.code
            raise
        except asyncio.CancelledError:
            status = "CANCELLED"
            raise
        except Exception:
            status = "INTERNAL"
            raise
        finally:
            self.metrics.requests.labels(label, entry, status).inc()
            self.metrics.seconds.labels(label, entry).observe(time.perf_counter() - start)

    def room(self, total: int) -> int:
        """Bytes that all requests together may hold, for one that holds so many of them to be given any."""
        limit = self.settings.max_pending_bytes
        return limit - int(_LIGHT_SHARE * limit) if is_heavy(total) else limit

    def change_pending(self, size: int, total: int = 0) -> None:
        """Counts bytes that a request holds further, or gives back where `size` is negative.

        Args:
            size: number of bytes.
            total: what the request holds with them.

        Raises:
            ServingError: UNAVAILABLE if there is no room for them; they are not counted then.
        """
        if size > 0 and self._pending_bytes + size > self.room(total):
            raise ServingError("UNAVAILABLE", "The requests that are being answered fill the memory. Try again later.")
        self._pending_bytes += size
        self.metrics.pending_bytes.set(self._pending_bytes)

    def close(self) -> None:
        """Ends what is running, and the threads when it has ended."""
        self.lanes.close()
        self.searches.close()
        self.batcher.close()
