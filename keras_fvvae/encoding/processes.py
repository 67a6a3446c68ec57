"""Encoding in local processes, which may die: what a dead one had not finished is done by another."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from keras_fvvae.encoding import preloaded
from keras_fvvae.encoding.item_encoder import ItemEncoder, Result
from keras_fvvae.errors import KerasFVVAEError, RunError
from keras_fvvae.utils.cores import usable_cores

if TYPE_CHECKING:
    from keras_fvvae.encoding.item_encoder import Encoding
    from keras_fvvae.encoding.items import Item

# An item is given up when so many processes died while they had nothing else to do: a decoder can crash, or exceed the
# memory, on one file. Once or twice may be chance.
MAX_DEATHS = 3
# Processes in a row that die before their model is loaded: not chance any more.
MAX_FAILED_STARTS = 5
# Seconds that a process has to end by itself.
END_SECONDS = 10
# Chunks of items that a process holds beside the one it works on, so that reading is ahead of encoding.
CHUNKS_AHEAD = 2


def encode_in_processes(encoding: Encoding, items: Iterable[Item], processes: int = 1) -> Iterator[Result]:
    """Encodes items in processes of their own, each with a model that it loads once.

    A process that dies (a crash of a decoder, the system's out-of-memory killer) is replaced. The items that it held
    are done again, one at a time; one that kills `MAX_DEATHS` processes by itself has failed.

    Args:
        encoding: an `Encoding`.
        items: iterable of `Item`s.
        processes: how many. CPU cores are shared among them.

    Yields:
        A `Result` for every item, in the order in which they are finished.

    Raises:
        KerasFVVAEError: for what makes all work pointless, such as a model that cannot be loaded.
    """
    pool = _Pool(encoding, items, processes)
    try:
        yield from pool.results()
    finally:
        pool.close()


class _Worker:
    """A process, the parent's end of its pipe, and the items that it holds."""

    def __init__(self, encoding, cores):
        # A pipe for each process, not a common queue: a process that is killed while it holds a queue's lock would stop
        # all others.
        context = _context()
        self.connection, far_end = context.Pipe()
        self.process = context.Process(target=_work, args=(far_end, encoding, cores), daemon=True)
        self.process.start()
        far_end.close()  # so that the end of the process is the end of the pipe
        self.items = {}
        self.ready = False
        self.alone = False

    def give(self, items, alone=False):
        self.items |= {item.key: item for item in items}
        self.alone = alone
        with contextlib.suppress(OSError):  # it is dead: the pipe's end will say so, and its items go to another
            self.connection.send(items)


def _context():
    """How processes are started. Not as forks of this one, as TensorFlow's threads do not survive that.

    Where there are forks, those of a server that has imported TensorFlow and computed nothing: the import, which takes
    seconds, is done once for all processes and for those that replace them.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preloaded.__name__])
    return context


class _Pool:
    def __init__(self, encoding, items, processes):
        self.encoding = encoding
        self.source = iter(items)
        self.suspects = deque()  # items of processes that died
        self.deaths = {}
        self.failed_starts = 0
        self.cores = max(1, usable_cores() // processes)
        chunks = 1 + CHUNKS_AHEAD + self.cores // encoding.chunk_items
        self.capacity = chunks * encoding.chunk_items
        self.wanted = processes
        self.workers = []

    def results(self):
        while True:
            self._give_work()
            if not any(worker.items for worker in self.workers):
                return
            by_connection = {worker.connection: worker for worker in self.workers}
            for connection in wait(by_connection):
                worker = by_connection[connection]
                try:
                    message = connection.recv()
                except (EOFError, OSError):
                    yield from self._bury(worker)
                    continue
                if isinstance(message, KerasFVVAEError):
                    raise message
                if message is None:
                    worker.ready, self.failed_starts = True, 0
                    continue
                del worker.items[message.key]
                yield message

    def _give_work(self):
        for worker in self.workers:
            while (items := self._next_for(worker)) is not None:
                worker.give(*items)
        while len(self.workers) < self.wanted and (items := self._next_for(None)) is not None:
            self.workers.append(_Worker(self.encoding, self.cores))
            self.workers[-1].give(*items)

    def _next_for(self, worker):
        """Items for a process (`None`: a new one) and whether it must have no others; `None` if it has enough."""
        held = len(worker.items) if worker else 0
        if held and (worker.alone or held + self.encoding.chunk_items > self.capacity):
            return None
        if self.suspects and not held:
            return [self.suspects.popleft()], True
        items = list(itertools.islice(self.source, self.encoding.chunk_items))
        return (items, False) if items else None

    def _bury(self, worker):
        """Replaces a dead process; yields the results of items that are given up."""
        self.workers.remove(worker)
        worker.connection.close()
        worker.process.join()
        code = worker.process.exitcode
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if not worker.ready:
            self.failed_starts += 1
            if self.failed_starts >= MAX_FAILED_STARTS:
                raise RunError(
                    f"{MAX_FAILED_STARTS} processes in a row died while they loaded the model ({how}). If the memory "
                    f"is full, use fewer --processes."
                )
            self.source = itertools.chain(worker.items.values(), self.source)
            return
        if worker.alone:
            for key in worker.items:
                self.deaths[key] = self.deaths.get(key, 0) + 1
                if self.deaths[key] >= MAX_DEATHS:
                    yield Result(key, None, reason=f"{MAX_DEATHS} processes died while they encoded it ({how})")
        self.suspects.extend(item for key, item in worker.items.items() if self.deaths.get(key, 0) < MAX_DEATHS)

    def close(self):
        for worker in self.workers:
            worker.connection.close()  # it ends at the end of its pipe
        for worker in self.workers:
            worker.process.join(END_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _work(connection, encoding, cores):
    """A process: loads the model, then encodes what comes through the pipe until its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    try:
        _share_machine(cores)
        encoder = ItemEncoder(encoding, threads=cores + 1)
        connection.send(None)
        submitted = queue.SimpleQueue()
        threading.Thread(target=_receive, args=(connection, encoder, submitted), daemon=True).start()
        while (chunk := submitted.get()) is not None:
            for result in encoder.results(chunk):
                connection.send(result)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone
    except KerasFVVAEError as error:
        connection.send(error)
    except Exception as error:
        connection.send(RunError(f"A process failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"))
    os._exit(0)  # not past the reading threads: they may be busy with what nobody wants any more


def _receive(connection, encoder, submitted):
    """Takes items out of the pipe as they come, so that the parent never waits in `send`, and begins to read them."""
    try:
        while True:
            submitted.put(encoder.submit(connection.recv()))
    except (EOFError, OSError):
        submitted.put(None)


def _share_machine(cores):
    """Leaves the other cores, and the memory of accelerators that is not needed, to the other processes."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(cores)
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
