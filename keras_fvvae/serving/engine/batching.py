"""Requests that come at the same time are computed as one batch, and fail one by one."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from keras_fvvae.serving.engine.cancellation import Cancellation
from keras_fvvae.serving.errors import ServingError, invalid, without_paths

if TYPE_CHECKING:
    from keras_fvvae.serving.engine.metrics import Metrics
    from keras_fvvae.serving.engine.servable import Servable
    from keras_fvvae.serving.engine.signatures import Signature
    from keras_fvvae.serving.settings import ServerSettings

# Of a computation that fails, to be told why: one was not enough once in hundreds of them on a busy machine.
_ATTEMPTS = 3


@dataclasses.dataclass(eq=False)
class _Task:
    servable: object
    signature: object
    inputs: dict
    rows: int
    images: int
    future: asyncio.Future
    arrival: float


class Batcher:
    """Groups requests by signature and inner shape, and runs the groups on a few threads.

    A batch is started as soon as a worker is free and it is full or its oldest request has waited for
    `batch_timeout`. Videos of different numbers of frames are not put together: padding them would cost more than a
    batch saves. If a batch fails, its requests are run alone, so that undecodable bytes fail their own request only.

    Args:
        settings: a `ServerSettings`.
        metrics: a `keras_fvvae.serving.engine.metrics.Metrics`.

    All methods must be called from one event loop.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics):
        self._settings = settings
        self._metrics = metrics
        self._queues: collections.OrderedDict[tuple, collections.deque[_Task]] = collections.OrderedDict()
        self._queued_images = 0
        self._closed = False
        self._running: list[tuple[list[_Task], Cancellation]] = []
        self._timer = None
        self._jobs: set[asyncio.Task] = set()
        self._executor = ThreadPoolExecutor(settings.workers, thread_name_prefix="batch")

    async def run(
        self, servable: Servable, signature: Signature, inputs: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Computes a request.

        Args:
            servable: a `Servable`.
            signature: its `Signature`; the inputs fit it.
            inputs: dictionary from name to array.

        Returns:
            Dictionary from output name to array.

        Raises:
            ServingError: why it failed; UNAVAILABLE (503) if the queue is full.
        """
        if self._closed:
            raise _stopping()
        tasks = self._tasks(servable, signature, inputs)
        images = sum(task.images for task in tasks)
        limit = self._settings.max_queued
        if images > limit:
            raise invalid(
                f"The request holds {images:,} images, more than the limit of {limit:,}: send several requests."
            )
        if self._queued_images + images > limit:
            raise ServingError(
                "UNAVAILABLE", f"The queue is full ({self._queued_images:,} images wait). Try again later."
            )
        for task in tasks:
            self._enqueue(task)
        self._pump()
        try:
            results = await asyncio.gather(*(task.future for task in tasks))
        finally:
            for task in tasks:
                task.future.cancel()  # the client has gone, or another part has failed
        if len(results) == 1:
            return results[0]
        return {name: np.concatenate([result[name] for result in results]) for name in results[0]}

    def abort(self) -> None:
        """Answers what waits and what runs with UNAVAILABLE, ends what runs, and takes nothing more."""
        self._closed = True
        waiting = [task for queue in self._queues.values() for task in queue]
        for task in [*waiting, *(task for batch, _ in self._running for task in batch)]:
            if not task.future.done():
                task.future.set_exception(_stopping())
        for _, cancellation in self._running:
            cancellation.ask()

    def close(self) -> None:
        """Ends what is running, and the threads when it has ended."""
        self.abort()
        self._executor.shutdown(cancel_futures=True)

    def _tasks(self, servable, signature, inputs):
        loop = asyncio.get_running_loop()
        rows, images = 1, 1
        if signature.batchable:
            rows = len(next(iter(inputs.values())))
            images = _images_per_example(inputs)
        if images > self._settings.max_images:
            limit = self._settings.max_images
            raise invalid(f"An example holds {images:,} frames, more than the limit of {limit:,}.")
        step = max(1, self._settings.max_batch_size // images) if signature.batchable else rows
        tasks = []
        for start in range(0, rows, step):
            part = {k: v[start : start + step] for k, v in inputs.items()} if rows > step else inputs
            count = min(step, rows - start)
            tasks.append(_Task(servable, signature, part, count, count * images, loop.create_future(), loop.time()))
        return tasks

    def _enqueue(self, task):
        key = _key(task)
        self._queues.setdefault(key, collections.deque()).append(task)
        self._change_queued(task.images)
        task.future.add_done_callback(lambda _: self._forget(key, task))

    def _forget(self, key, task):
        """Takes a task that was given up before it was started out of its queue."""
        queue = self._queues.get(key, ())
        if task in queue:
            queue.remove(task)
            self._change_queued(-task.images)
            if not queue:
                del self._queues[key]

    def _change_queued(self, images):
        self._queued_images += images
        self._metrics.queued_images.set(self._queued_images)

    def _pump(self):
        while len(self._running) < self._settings.workers:
            batch = self._next_batch()
            if not batch:
                return
            running = batch, Cancellation()
            self._running.append(running)
            job = asyncio.get_running_loop().create_task(self._finish(*running))
            self._jobs.add(job)  # the loop itself holds tasks weakly
            job.add_done_callback(self._jobs.discard)

    def _next_batch(self):
        """The queue whose first request has waited longest, if that one may start; else a timer is set for it."""
        now = asyncio.get_running_loop().time()
        limit = self._settings.max_batch_size
        soonest = None
        for key, queue in sorted(self._queues.items(), key=lambda item: item[1][0].arrival):
            due = queue[0].arrival + self._settings.batch_timeout
            full = not queue[0].signature.batchable or sum(task.images for task in queue) >= limit
            if full or due <= now:
                return self._take(key, queue, limit)
            soonest = min(due, soonest or due)
        if soonest is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(soonest, self._on_timer)
        return None

    def _on_timer(self):
        self._timer = None
        self._pump()

    def _take(self, key, queue, limit):
        batch = [queue.popleft()]
        images = batch[0].images
        while queue and batch[0].signature.batchable and images + queue[0].images <= limit:
            images += queue[0].images
            batch.append(queue.popleft())
        if not queue:
            del self._queues[key]
        self._change_queued(-images)
        return batch

    async def _finish(self, batch, cancellation):
        loop = asyncio.get_running_loop()
        self._metrics.batch_images.observe(sum(task.images for task in batch))

        def given_up(_):
            # Too late, or the client has gone: what nobody waits for must not keep a worker.
            if all(task.future.done() for task in batch):
                cancellation.ask()

        for task in batch:
            task.future.add_done_callback(given_up)
        try:
            results = await loop.run_in_executor(self._executor, _run, batch, cancellation)
        finally:
            self._running.remove((batch, cancellation))
        for task, result in zip(batch, results, strict=True):
            if task.future.done():
                continue
            if isinstance(result, Exception):
                task.future.set_exception(result)
            else:
                task.future.set_result(result)
        self._pump()


def _key(task):
    if not task.signature.batchable:
        return id(task)
    shapes = tuple((name, value.shape[1:]) for name, value in sorted(task.inputs.items()))
    return id(task.servable), task.signature.name, shapes


def _images_per_example(inputs):
    """Encoded images in one example: the strings of its largest input of strings; 1 if there is none."""
    return max([1, *(int(np.prod(v.shape[1:])) for v in inputs.values() if v.dtype == object)])


def _stopping():
    return ServingError("UNAVAILABLE", "The server is stopping. Try again later.")


def _run(batch, cancellation):
    """Results or exceptions of a batch's tasks, in order."""
    try:
        with cancellation.cancels():
            return _run_together(batch)
    except Exception as error:  # whatever it was, it must reach its request and leave the thread alive
        if cancellation.asked:
            return [_as_serving_error(error)] * len(batch)
        if len(batch) == 1:
            return [_failure(batch, error)]
        return [_run([task], cancellation)[0] for task in batch]


def _failure(batch, error):
    """Why a request failed; its result if it does not without a cancellation.

    What fails cancels the operations beside it, and TensorFlow can tell of one of these instead: now and then, and
    rarely also where nothing but the failure can cancel.
    """
    error = _as_serving_error(error)
    for _ in range(_ATTEMPTS):
        if error.code != "CANCELLED":
            break
        try:
            return _run_together(batch)[0]
        except Exception as told:
            error = _as_serving_error(told)
    return error


def _run_together(batch):
    servable, signature = batch[0].servable, batch[0].signature
    if len(batch) == 1:
        inputs = batch[0].inputs
    else:
        inputs = {name: np.concatenate([task.inputs[name] for task in batch]) for name in batch[0].inputs}
    outputs = servable.run(signature.name, inputs)
    if not signature.batchable:
        return [outputs]
    rows = sum(task.rows for task in batch)
    for name, value in outputs.items():
        if len(value) != rows:
            raise ServingError("INTERNAL", f"Output {name} has {len(value)} rows for {rows} examples.")
    ends = np.cumsum([task.rows for task in batch])[:-1]
    parts = {name: np.split(value, ends) for name, value in outputs.items()}
    return [{name: parts[name][i] for name in parts} for i in range(len(batch))]


def _as_serving_error(error):
    if isinstance(error, ServingError):
        return error
    why = str(error).splitlines()[0] if str(error) else ""
    return ServingError("INTERNAL", without_paths(f"{type(error).__name__}: {why}"))
