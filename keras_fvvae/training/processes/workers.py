"""Training on several devices or machines (`tf.distribute`): the steps of one process, shared out over replicas."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

from keras_fvvae.errors import RunError
from keras_fvvae.training.processes.cluster import EXAMPLE, Cluster, read_cluster
from keras_fvvae.training.processes.replicated_model import ReplicatedModel, all_reduce

# What TensorFlow raises in a collective operation when another process has ended, was killed or cannot be reached.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def open_workers(strategy: str) -> Workers | None:
    """Joins the processes of a training. To be called before TensorFlow does anything else.

    Args:
        strategy: `"none"`: one process, one device. `"mirrored"`: all GPUs of this machine, or its CPU where it has
            none. `"multiworker"`: every process that TF_CONFIG names, with all GPUs of each; waits for the others.

    Returns:
        `Workers`; `None` for `"none"`.

    Raises:
        ValueError: for another name.
        RunError: if TF_CONFIG is missing or cannot be used, names several processes that `strategy` would not join,
            or the others cannot be reached.
    """
    if strategy not in ("none", "mirrored", "multiworker"):
        raise ValueError(f"`strategy` must be 'none', 'mirrored' or 'multiworker'. Received: strategy={strategy!r}")
    cluster = read_cluster()
    if strategy == "multiworker":
        if cluster is None:
            raise RunError(
                f"The strategy multiworker needs the environment variable TF_CONFIG on every machine, such as "
                f"{EXAMPLE}."
            )
        try:
            return Workers(tf.distribute.MultiWorkerMirroredStrategy(), cluster)
        except (RuntimeError, tf.errors.OpError) as error:
            raise RunError(
                f"The {cluster.count} workers of TF_CONFIG could not be joined: {_first_line(error)}. Check that all "
                f"are started, that their addresses can be reached, and that no other process uses their ports."
            ) from error
    if cluster is not None and cluster.count > 1:
        # Each would train alone and write to the same folder.
        raise RunError(
            f"TF_CONFIG names {cluster.count} processes, which the strategy {strategy} would not join: choose "
            f"multiworker, or unset TF_CONFIG."
        )
    return None if strategy == "none" else Workers(tf.distribute.MirroredStrategy())


_ALONE = Cluster(count=1, index=0)


class Workers:
    """The processes that train one model together, this one among them.

    Every process runs the same program. Where one needs what another has, all call the same method: it returns when
    all have. The chief, worker 0, writes files.

    Args:
        strategy: a `tf.distribute.MirroredStrategy` or `MultiWorkerMirroredStrategy`.
        cluster: a `Cluster`. Default: this process alone.

    Attributes:
        count: processes.
        index: which of them this is.
        is_chief: whether it is the first.
        replicas: devices of all of them.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster = _ALONE):
        self.strategy = strategy
        self.count, self.index = cluster.count, cluster.index
        self.is_chief = self.index == 0
        self.replicas = strategy.num_replicas_in_sync
        self._reduce = tf.function(self._sum_of_replicas, reduce_retracing=True)

    def describe(self, batch_size: int) -> str:
        """One line for the user; raises a `RunError` as `require_divisible`."""
        self.require_divisible(batch_size)
        shares = f"each step, {batch_size // self.replicas} of {batch_size} items on each of {self.replicas} devices"
        if self.count > 1:
            role = "the chief, which writes the run" if self.is_chief else "which computes for the chief"
            return f"Worker {self.index} of {self.count}, {role}; {shares}."
        return f"One process; {shares}." if self.replicas > 1 else "One device: the same as without a strategy."

    def require_divisible(self, batch_size: int) -> None:
        """Refuses a global batch that does not split evenly: means over its parts would not be its means.

        Raises:
            RunError: naming the nearest batch sizes that do.
        """
        if batch_size % self.replicas:
            below = batch_size // self.replicas * self.replicas
            near = " or ".join(str(size) for size in (below, below + self.replicas) if size)
            raise RunError(
                f"A batch of {batch_size} cannot be shared evenly by {self.replicas} devices: set the batch size to "
                f"{near}."
            )

    def require_same(self, texts: Mapping[str, str]) -> None:
        """Refuses to go on unless all workers give the same texts.

        Args:
            texts: dictionary from what it is, in words, to a text that tells it.

        Raises:
            RunError: on every worker, naming what differs and where.
        """
        digests = [hashlib.sha256(text.encode(errors="backslashreplace")).digest() for text in texts.values()]
        workers = [[part[i : i + 32] for i in range(0, len(part), 32)] for part in self.gather(b"".join(digests))]
        for number, theirs in enumerate(workers):
            differing = [what for what, a, b in zip(texts, workers[0], theirs, strict=True) if a != b]
            if differing:
                raise RunError(
                    f"Worker {number} has {' and '.join(differing)} other than the chief's: start the same command, "
                    f"with the same data and version of keras_fvvae, on every machine."
                )

    def share(self, array: np.ndarray) -> np.ndarray:
        """The chief's array, on every worker; all give one of the same shape and dtype."""
        return self._sum(array if self.is_chief else np.zeros_like(array))

    def gather(self, content: bytes) -> list[bytes]:
        """The bytes that each worker gives, in their order, on every worker."""
        lengths = self._rows(np.array([len(content)], "int64"))[:, 0]
        padded = np.zeros(lengths.max(), "int64")  # the smallest integer that all collective operations add
        padded[: len(content)] = np.frombuffer(content, "uint8")
        return [row[:length].astype("uint8").tobytes() for row, length in zip(self._rows(padded), lengths, strict=True)]

    def barrier(self) -> None:
        """Waits for all workers."""
        self.gather(b"")

    def replicate(self, model: keras.Model, batch_size: int) -> ReplicatedModel:
        """A copy of a compiled model on every device, as a `ReplicatedModel`.

        Raises:
            RunError: if the devices cannot share the batch evenly.
        """
        self.require_divisible(batch_size)
        return ReplicatedModel(model, self)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is computed in it needs all workers: a lost one becomes a `RunError`."""
        try:
            yield
        except _LOST as error:
            if self.count == 1:
                raise
            raise RunError(
                f"Another of the {self.count} workers was lost: it ended, was killed, or cannot be reached. Start the "
                f"same command again on all of them: it continues from the newest checkpoint."
            ) from error

    def _rows(self, row):
        """Rows of one length, one of each worker."""
        rows = np.zeros((self.count, len(row)), row.dtype)
        rows[self.index] = row
        return self._sum(rows)

    def _sum(self, array):
        """Sum of arrays of one shape and dtype, one of each worker."""
        if self.count == 1 or np.size(array) == 0:  # TensorFlow crashes on a sum of nothing
            return np.asarray(array)
        local = self.replicas // self.count
        # Flat: the operation is traced for every shape.
        flat, zeros = np.ravel(array), np.zeros(np.size(array), array.dtype)

        def value(context):
            return tf.constant(flat if context.replica_id_in_sync_group % local == 0 else zeros)

        with self.together():
            values = self.strategy.experimental_distribute_values_from_function(value)
            return self._reduce(values).numpy().reshape(array.shape)

    def _sum_of_replicas(self, values):
        sums = self.strategy.run(all_reduce, args=([values],))[0]
        return self.strategy.experimental_local_results(sums)[0]


def _first_line(error):
    return (str(getattr(error, "message", error)).strip() or type(error).__name__).splitlines()[0].rstrip(".")
