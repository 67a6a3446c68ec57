"""Requests that come at the same time are computed as one batch, and fail one by one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from keras_fvvae.serving.engine.batch_queue import BatchQueue, BatchTask
from keras_fvvae.serving.engine.cancellation import Cancellation
from keras_fvvae.serving.engine.lanes import is_heavy
from keras_fvvae.serving.errors import ServingError, invalid, without_paths

if TYPE_CHECKING:
    from keras_fvvae.serving.engine.metrics import Metrics
    from keras_fvvae.serving.engine.servable import Servable
    from keras_fvvae.serving.engine.signatures import Signature
    from keras_fvvae.serving.settings import ServerSettings

# Of a computation that fails, to be told why: one was not enough once in hundreds of them on a busy machine.
_ATTEMPTS = 3


class Batcher:
    """Groups requests by signature and inner shape, and runs the groups on a few threads.

    A batch is started as soon as a worker is free and it is full or its first request has waited for
    `batch_timeout`. Light and heavy requests (`keras_fvvae.serving.engine.lanes`) have batches of their own, and a
    kind of which nothing runs does not wait for a worker. Of one kind the request comes first that costs least, as
    long as it has not come too late for that (`BatchTask.due`). Videos of different numbers of frames are not put
    together: padding them would cost more than a batch saves. If a batch fails, its requests are run alone, so that
    undecodable bytes fail their own request only.

    Args:
        settings: a `ServerSettings`.
        metrics: a `keras_fvvae.serving.engine.metrics.Metrics`.

    All methods must be called from one event loop.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics):
        self._settings = settings
        self._metrics = metrics
        self._queue = BatchQueue(settings.max_batch_size, settings.batch_timeout)
        self._queued = {False: 0, True: 0}  # images, of light and of heavy requests
        self._closed = False
        self._running: list[tuple[list[BatchTask], Cancellation]] = []
        self._timer = None
        self._jobs: set[asyncio.Task] = set()
        self._executor = ThreadPoolExecutor(settings.workers + 1, thread_name_prefix="batch")

    async def run(
        self, servable: Servable, signature: Signature, inputs: dict[str, np.ndarray], cost: int = 0
    ) -> dict[str, np.ndarray]:
        """Computes a request.

        Args:
            servable: a `Servable`.
            signature: its `Signature`; the inputs fit it.
            inputs: dictionary from name to array.
            cost: in bytes, what it holds of the memory, and its images as `decoding_cost` has them.

        Returns:
            Dictionary from output name to array.

        Raises:
            ServingError: why it failed; UNAVAILABLE (503) if the queue is full.
        """
        if self._closed:
            raise _stopping()
        tasks = self._tasks(servable, signature, inputs, cost)
        images = sum(task.images for task in tasks)
        limit = self._settings.max_queued
        if images > limit:
            raise invalid(
                f"The request holds {images:,} images, more than the limit of {limit:,}: send several requests."
            )
        queued = self._queued[is_heavy(cost)]
        if queued + images > limit:
            raise ServingError("UNAVAILABLE", f"The queue is full ({queued:,} images wait). Try again later.")
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
        for task in [*self._queue, *(task for batch, _ in self._running for task in batch)]:
            if not task.future.done():
                task.future.set_exception(_stopping())
        for _, cancellation in self._running:
            cancellation.ask()

    def close(self) -> None:
        """Ends what is running, and the threads when it has ended."""
        self.abort()
        self._executor.shutdown(cancel_futures=True)

    def _tasks(self, servable, signature, inputs, cost):
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
            size = count, count * images, cost
            tasks.append(BatchTask(servable, signature, part, *size, loop.time(), loop.create_future()))
        return tasks

    def _enqueue(self, task):
        self._queue.add(task)
        self._change_queued(task.heavy, task.images)
        task.future.add_done_callback(lambda _: self._forget(task))

    def _forget(self, task):
        """Takes a task that was given up before it was started out of the queue."""
        if self._queue.remove(task):
            self._change_queued(task.heavy, -task.images)

    def _change_queued(self, heavy, images):
        self._queued[heavy] += images
        self._metrics.queued_images.set(sum(self._queued.values()))

    def _pump(self):
        loop = asyncio.get_running_loop()
        while lanes := self._open_lanes():
            batch, soonest = self._queue.take(loop.time(), lanes)
            if not batch:
                if soonest is not None and self._timer is None:
                    self._timer = loop.call_at(soonest, self._on_timer)
                return
            self._change_queued(batch[0].heavy, -sum(task.images for task in batch))
            running = batch, Cancellation()
            self._running.append(running)
            job = loop.create_task(self._finish(*running))
            self._jobs.add(job)  # the loop itself holds tasks weakly
            job.add_done_callback(self._jobs.discard)

    def _open_lanes(self):
        """Kinds, heavy or not, of which a batch may start: both while a worker is free, else one of which none runs."""
        if len(self._running) < self._settings.workers:
            return {False, True}
        return {False, True} - {batch[0].heavy for batch, _ in self._running}

    def _on_timer(self):
        self._timer = None
        self._pump()

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
