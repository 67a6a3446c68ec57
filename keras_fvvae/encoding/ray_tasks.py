"""Encoding on a Ray cluster, or on the Ray of one machine: tasks that each take a part of the plan."""

from __future__ import annotations

import collections
import functools
import logging
import re
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_fvvae.encoding.fetching import FetchError
from keras_fvvae.encoding.item_encoder import Result
from keras_fvvae.encoding.plan import PLAN, PartEncoder, read_part, write_part, write_plan
from keras_fvvae.encoding.processes import MAX_DEATHS
from keras_fvvae.errors import RunError
from keras_fvvae.utils.files import reason

if TYPE_CHECKING:
    from keras_fvvae.encoding.item_encoder import Encoding
    from keras_fvvae.encoding.items import Item
    from keras_fvvae.encoding.output import Output

# CPUs of a worker by default, if a machine has so many: a model takes some gigabytes, and few cores are used well by
# one.
WORKER_CPUS = 4
# Tasks that are handed out, for each worker that the cluster has room for: one to do and one to go on with.
TASKS_AHEAD = 2
POLL_SECONDS = 1.0
CONNECT_SECONDS = 10.0
_HOST_AND_PORT = re.compile(r"(?:ray://)?([^/:]+):(\d+)")


def encode_on_ray(
    output: Output,
    items: Sequence[Item],
    address: str | None = None,
    cpus: int | None = None,
    update: Callable[[int], None] = lambda done: None,
) -> None:
    """Encodes items on Ray and waits for the end.

    A task encodes one part of the plan (`keras_fvvae.encoding.plan`); the process that does it keeps the model for the
    next one. A part whose worker or machine died is done again elsewhere; after three deaths its items are tried one by
    one, and an item on which three workers died alone has failed, as in processes on one machine. A worker that dies
    before its model is loaded counts against no part. Data, run and output folder must be at the same paths on all
    machines, and keras_fvvae installed there. One call at a time for an output folder.

    Args:
        output: an `Output`.
        items: list of `Item`s that are files.
        address: of a cluster: `"auto"`, `"HOST:6379"`, `"ray://HOST:10001"`; `None`: Ray is started on this machine.
        cpus: of a worker, as Ray counts them; `None`: `WORKER_CPUS`, or all of the largest machine if it has fewer.
        update: called with the number of items done, now and then.

    Raises:
        RunError: if the cluster cannot be reached or has no machine of so many CPUs, a task fails, or workers die
            wherever they are started, before they encode anything.
        DataError: if the disk does not take what failed.
    """
    import ray

    started_here = not ray.is_initialized()
    if started_here:
        _start(ray, address)
    plan = output.path / PLAN
    shutil.rmtree(plan, ignore_errors=True)  # of a call that was stopped
    try:
        _Job(ray, output, plan, items, cpus).run(update)
    finally:
        shutil.rmtree(plan, ignore_errors=True)
        if started_here:
            ray.shutdown()


class _Job:
    def __init__(self, ray: Any, output: Output, plan: Path, items: Sequence[Item], cpus: int | None):
        machines = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        largest = max(machines, default=0)
        cpus = cpus or max(1, min(WORKER_CPUS, largest))
        if largest < cpus:
            raise RunError(
                f"No machine of the Ray cluster has the {cpus} CPUs that --ray-cpus (`ray_cpus`) gives a worker: the "
                f"largest has {largest}. Give it fewer, or start Ray on a larger machine."
            )
        self.ray, self.output, self.plan = ray, output, plan
        self.slots = sum(machine // cpus for machine in machines)
        self.writer = output.writer()  # of what is given up
        self.parts = write_plan(plan, items, output.encoding)
        self.waiting = collections.deque(self.parts)
        self.deaths: collections.Counter[str] = collections.Counter()
        self.failed_starts = 0  # in a row
        self.done = 0
        # Retried here, where it is known what died; spread, so that no machine waits while another has a queue.
        self.task = ray.remote(num_cpus=cpus, max_retries=0, scheduling_strategy="SPREAD")(_encode)
        self.cpus = cpus

    def run(self, update: Callable[[int], None]) -> None:
        running: dict[Any, str] = {}
        try:
            while self.waiting or running:
                while self.waiting and len(running) < TASKS_AHEAD * self.slots:
                    part = self.waiting.popleft()
                    running[self.task.remote(self.output, str(self.plan / part), self.cpus)] = part
                finished, _ = self.ray.wait(list(running), timeout=POLL_SECONDS)
                for task in finished:
                    self._take(task, running.pop(task))
                update(self.done)
        finally:
            for task in running:  # Ctrl-C, or another one failed
                self.ray.cancel(task, force=True)

    def _take(self, task, part):
        from ray.exceptions import RayError, RayTaskError

        try:
            self.ray.get(task)
        except RayTaskError as error:  # what the task itself raised
            cause = error.cause or error
            if isinstance(cause, FetchError):
                raise cause from error
            raise RunError(f"The encoding on Ray failed: {cause}. What was encoded is kept.") from error
        except RayError as error:  # the process, the machine, or too little memory on it
            self._died(part, str(error).strip().splitlines()[0])
        else:
            self.failed_starts = 0
            self.done += self.parts[part]

    def _died(self, part, how):
        path = self.plan / part
        items, began = read_part(path), _mark(path).exists()
        _mark(path).unlink(missing_ok=True)
        if not items:  # it was finished before the worker died
            self.done += self.parts[part]
        elif not began:
            self._start_failed(part, how)
        else:
            self.failed_starts = 0
            self.deaths[part] += 1
            self._again(part, items, how)

    def _start_failed(self, part, how):
        """That is the fault of no item: some machine's, or of all that is tried."""
        self.failed_starts += 1
        if self.failed_starts > MAX_DEATHS * (self.slots + 1):
            raise RunError(
                f"Workers on Ray die wherever they are started, before they encode anything: {how} What was encoded is "
                f"kept."
            )
        self.waiting.append(part)

    def _again(self, part, items, how):
        """Has a part that killed its worker done again, in the end item by item, or gives up its one item."""
        if self.deaths[part] < MAX_DEATHS:
            self.waiting.append(part)
            return
        if len(items) > 1:
            for item in items:
                name, self.parts[name] = write_part(self.plan, [item])
                self.waiting.append(name)
        else:
            reason = f"{MAX_DEATHS} workers died while they encoded it ({how})"
            self.writer.keep(Result(items[0].key, None, reason=reason))
            self.done += 1
        (self.plan / part).unlink()


def _start(ray, address):
    options: dict[str, Any] = {} if address else {"include_dashboard": False}
    try:
        if address and (found := _HOST_AND_PORT.fullmatch(address)):
            # Ray itself goes on trying for many minutes.
            socket.create_connection((found[1], int(found[2])), CONNECT_SECONDS).close()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (RuntimeError, ValueError, OSError, OverflowError) as error:
        raise RunError(f"Ray cannot be reached at {address or 'this machine'}: {reason(error)}.") from error


def _encode(output, part, cpus):
    """Of a worker: called by its name, so that keras_fvvae is what is installed there."""
    part = Path(part)
    encoder = _encoder(output.encoding, cpus)
    _mark(part).touch()
    count = encoder.encode(output, part)
    _mark(part).unlink(missing_ok=True)
    return count


def _mark(part):
    """The file beside a part that says that its worker had loaded the model: if it dies now, an item may be why."""
    return part.with_suffix(".began")


@functools.lru_cache(maxsize=1)
def _encoder(encoding: Encoding, cpus: int) -> PartEncoder:
    return PartEncoder(encoding, cpus)
