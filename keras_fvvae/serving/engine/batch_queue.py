"""What waits to be computed, and which of it comes next."""

from __future__ import annotations

import asyncio
import bisect
import dataclasses
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from keras_fvvae.serving.engine.lanes import is_heavy

if TYPE_CHECKING:
    import numpy as np

    from keras_fvvae.serving.engine.servable import Servable
    from keras_fvvae.serving.engine.signatures import Signature

# What a server is taken to work off, to weigh what costs much against what has waited long.
_BYTES_PER_SECOND = 64 << 20


@dataclasses.dataclass(eq=False)
class BatchTask:
    """A request, or a part of one that is computed at once.

    Args:
        servable: a `Servable`.
        signature: its `Signature`.
        inputs: dictionary from name to array.
        rows: examples.
        images: encoded images.
        cost: of the whole request, in bytes.
        arrival: seconds, on the event loop's clock.
        future: gets the dictionary from output name to array.
    """

    servable: Servable
    signature: Signature
    inputs: dict[str, np.ndarray]
    rows: int
    images: int
    cost: int
    arrival: float
    future: asyncio.Future

    @property
    def heavy(self) -> bool:
        return is_heavy(self.cost)

    @property
    def due(self) -> float:
        """When it would be done if it were alone: what comes later and costs less may overtake it until then."""
        return self.arrival + self.cost / _BYTES_PER_SECOND

    @property
    def key(self) -> tuple:
        """Tasks of equal keys can share a batch: the light ones, which would take as long as the heavy ones, cannot
        share one with these."""
        if not self.signature.batchable:
            return (id(self),)
        shapes = tuple((name, value.shape[1:]) for name, value in sorted(self.inputs.items()))
        return id(self.servable), self.signature.name, self.heavy, shapes


class BatchQueue:
    """Tasks by what they can share a batch with.

    Args:
        max_batch_size: images of a batch at most; one task of more is a batch of its own.
        batch_timeout: seconds that a task waits for others.
    """

    def __init__(self, max_batch_size: int, batch_timeout: float):
        self._limit = max_batch_size
        self._timeout = batch_timeout
        self._queues: dict[tuple, list[BatchTask]] = {}

    def __iter__(self) -> Iterator[BatchTask]:
        for queue in self._queues.values():
            yield from queue

    def add(self, task: BatchTask) -> None:
        """Adds a task."""
        bisect.insort(self._queues.setdefault(task.key, []), task, key=lambda one: one.due)

    def remove(self, task: BatchTask) -> bool:
        """Takes a task out, and tells whether it was there."""
        queue = self._queues.get(task.key, [])
        if task not in queue:
            return False
        queue.remove(task)
        if not queue:
            del self._queues[task.key]
        return True

    def take(self, now: float, lanes: Collection[bool]) -> tuple[list[BatchTask], float | None]:
        """The batch that is due first among those that may start: full ones, and those that have waited.

        Args:
            now: seconds, on the clock of the tasks.
            lanes: which kinds may start: `True` stands for heavy ones, `False` for light ones.

        Returns:
            Tuple: the tasks, no longer in the queue; and, where there are none, the time from which there will be, or
            `None`.
        """
        soonest = None
        for queue in sorted(self._queues.values(), key=lambda queue: queue[0].due):
            first = queue[0]
            if first.heavy not in lanes:
                continue
            start = first.arrival + self._timeout
            if start <= now or not first.signature.batchable or sum(task.images for task in queue) >= self._limit:
                return self._taken(queue), None
            soonest = min(start, soonest or start)
        return [], soonest

    def _taken(self, queue):
        batch, images = queue[:1], queue[0].images
        for task in queue[1:]:
            images += task.images
            if images > self._limit:
                break
            batch.append(task)
        for task in batch:
            self.remove(task)
        return batch
