"""Training on several devices or machines (`tf.distribute`): the steps of one process, shared out over replicas."""

import contextlib
import hashlib
import io
import json
import os
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_fvvae.errors import RunError

# What TensorFlow raises in a collective operation when another process has ended, was killed or cannot be reached.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)
_EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'


class Cluster(NamedTuple):
    """The machines of TF_CONFIG: how many processes there are, and which this one is; 0 is the chief."""

    count: int  # type: ignore[assignment]
    index: int  # type: ignore[assignment]


def read_cluster(environment=os.environ):
    """The `Cluster` of the environment variable TF_CONFIG; `None` where it is not set.

    Raises:
        RunError: if it is no JSON, names no workers, or does not say which of them this process is.

    Example:
        >>> read_cluster({"TF_CONFIG": _EXAMPLE})
        Cluster(count=2, index=0)
    """
    text = environment.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        kind, index = task["type"], int(task["index"])
        order = [(job, number) for job in ("chief", "worker") for number in range(len(jobs.get(job, ())))]
        addresses = [address for job in ("chief", "worker") for address in jobs.get(job, ())]
        if not all(isinstance(address, str) and address.rpartition(":")[2].isdigit() for address in addresses):
            raise ValueError("an address is not of the form host:port")
        if set(jobs) - {"chief", "worker"}:
            raise ValueError("the cluster may have a chief and workers only")
        if (kind, index) not in order:
            raise ValueError(f"the task {kind} {index} is not in the cluster")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise RunError(f"TF_CONFIG cannot be used: {what}. It must read like {_EXAMPLE}.") from error
    return Cluster(len(order), order.index((kind, index)))


def open_workers(strategy):
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
                f"{_EXAMPLE}."
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

    def __init__(self, strategy, cluster=_ALONE):
        self.strategy = strategy
        self.count, self.index = cluster
        self.is_chief = self.index == 0
        self.replicas = strategy.num_replicas_in_sync
        self._reduce = tf.function(self._sum_of_replicas, reduce_retracing=True)

    def describe(self, batch_size):
        """One line for the user; raises a `RunError` as `require_divisible`."""
        self.require_divisible(batch_size)
        shares = f"each step, {batch_size // self.replicas} of {batch_size} items on each of {self.replicas} devices"
        if self.count > 1:
            role = "the chief, which writes the run" if self.is_chief else "which computes for the chief"
            return f"Worker {self.index} of {self.count}, {role}; {shares}."
        return f"One process; {shares}." if self.replicas > 1 else "One device: the same as without a strategy."

    def require_divisible(self, batch_size):
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

    def require_same(self, texts):
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

    def share(self, array):
        """The chief's array, on every worker; all give one of the same shape and dtype."""
        return self._sum(array if self.is_chief else np.zeros_like(array))

    def gather(self, content):
        """The bytes that each worker gives, in their order, on every worker."""
        lengths = self._rows(np.array([len(content)], "int64"))[:, 0]
        padded = np.zeros(lengths.max(), "int64")  # the smallest integer that all collective operations add
        padded[: len(content)] = np.frombuffer(content, "uint8")
        return [row[:length].astype("uint8").tobytes() for row, length in zip(self._rows(padded), lengths, strict=True)]

    def merge(self, statistics):
        """Merges what each worker has gathered, in the order of the workers: the same, bit by bit, on all of them.

        Args:
            statistics: an object whose attributes are numbers, arrays or `None`, with a method `merge`: a
                `FisherStatistics`, `KMeansStatistics` or `MixtureStatistics`. It is not changed.

        Returns:
            One of its kind.
        """
        file = io.BytesIO()
        np.savez(file, **{name: value for name, value in vars(statistics).items() if value is not None})
        merged = None
        for content in self.gather(file.getvalue()):
            part = object.__new__(type(statistics))
            vars(part).update(dict.fromkeys(vars(statistics)))
            with np.load(io.BytesIO(content)) as arrays:
                vars(part).update({name: array if array.ndim else array.item() for name, array in arrays.items()})
            merged = part if merged is None else merged.merge(part)
        return merged

    def barrier(self):
        """Waits for all workers."""
        self.gather(b"")

    def replicate(self, model, batch_size):
        """A copy of a compiled model on every device, as a `ReplicatedModel`.

        Raises:
            RunError: if the devices cannot share the batch evenly.
        """
        self.require_divisible(batch_size)
        return ReplicatedModel(model, self)

    @contextlib.contextmanager
    def together(self):
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
        sums = self.strategy.run(_all_reduce, args=([values],))[0]
        return self.strategy.experimental_local_results(sums)[0]


class ReplicatedModel:
    """A copy of a compiled model on every device of a strategy, trained by the model's own `train_step`.

    A step's losses and gradients are those of the whole batch: each replica computes its rows, the gradients are summed
    over all, and clipped as a whole where the optimizer clips. What is drawn at random (dropout, sampling) is drawn by
    every replica for itself, and batch normalisation that trains sees its replica's rows: there the training differs
    from that on one device, though not in expectation.

    Args:
        model: a built and compiled Keras model. It is what `synchronize` reads and `write_back` writes: saving the copy
            itself would read its metrics, which takes all workers.
        workers: `Workers`.

    Attributes:
        model: the copy.
    """

    def __init__(self, model, workers):
        self.original = model
        self.workers = workers
        self.strategy = workers.strategy
        with workers.together(), self.strategy.scope():
            self.model = type(model).from_config(model.get_config())
            if not self.model.built:
                self.model.build_from_config(model.get_build_config())
            self.model.compile_from_config(model.get_compile_config())
            optimizer = self.model.optimizer
            optimizer.build(self.model.trainable_variables)
            _build_metrics(self.model)
        model.optimizer.build(model.trainable_variables)
        if optimizer.weight_decay:  # what is left out of it is not part of the optimizer's configuration
            pairs = zip(model.trainable_variables, self.model.trainable_variables, strict=True)
            optimizer.exclude_from_weight_decay([c for v, c in pairs if not model.optimizer._use_weight_decay(v)])
        if workers.replicas > 1 and (optimizer.clipnorm or optimizer.global_clipnorm or optimizer.clipvalue):
            _clip_the_sum(optimizer, workers.replicas)
        self._metric_variables = [variable for metric in self.model.metrics for variable in metric.variables]
        # Without XLA: it cannot compile what waits for other machines.
        self._step = tf.function(self._step_of_all)

    def synchronize(self):
        """Takes weights and optimizer state of the chief's model to every device of every worker."""
        for variable, copy in self._pairs():
            copy.assign(self.workers.share(keras.ops.convert_to_numpy(variable)))

    def write_back(self):
        """Gives weights and optimizer state to the model that was copied."""
        for variable, copy in self._pairs():
            variable.assign(keras.ops.convert_to_numpy(copy))

    def assign_per_replica(self, variable, value_of):
        """Assigns `value_of(number of the replica)` on each device."""
        parts = self.strategy.experimental_local_results(variable.value)
        first = self.workers.index * len(parts)
        for number, part in enumerate(parts, start=first):
            part.assign(tf.cast(value_of(number), part.dtype))

    def step(self, inputs, labels):
        """One training step on a global batch; returns the model's metrics over the whole of it.

        Args:
            inputs: tensor whose first axis is the global batch; every worker gives the same.
            labels: tensor of its labels.
        """
        rows = len(labels) // self.workers.replicas

        def share(values):
            def part(context):
                start = context.replica_id_in_sync_group * rows
                return values[start : start + rows]

            return self.strategy.experimental_distribute_values_from_function(part)

        with self.workers.together():
            values = [value.numpy() for value in self._step(share(inputs), share(labels))]
        with keras.StatelessScope(list(zip(self._metric_variables, map(tf.constant, values), strict=True))):
            return self.model.get_metrics_result()

    def _pairs(self):
        models = (self.original, self.model)
        return zip(*([*model.weights, *model.optimizer.variables] for model in models), strict=True)

    def _step_of_all(self, inputs, labels):
        sums = self.strategy.run(self._step_of_replica, args=(inputs, labels))
        return [self.strategy.experimental_local_results(value)[0] for value in sums]

    def _step_of_replica(self, inputs, labels):
        self.model.reset_metrics()  # here each replica's own; outside, all workers would be asked for every metric
        self.model.train_step((inputs, labels))
        return _all_reduce([variable.value for variable in self._metric_variables])


def _build_metrics(model):
    """Makes the variables of the metrics that a model was compiled with; Keras would at the first step."""
    metrics = model._compile_metrics
    if metrics is not None and not metrics.built:
        scores = np.zeros((1, *model.output_shape[1:]), "float32")
        metrics.build(np.zeros(1, "int64"), scores)


def _clip_the_sum(optimizer, replicas):
    """Lets an optimizer clip the gradients of the whole batch; Keras clips each replica's and sums them afterwards."""
    clip = optimizer._clip_gradients

    def clip_the_sum(gradients):
        # Summed once more by the optimizer.
        return [gradient / replicas for gradient in clip(_all_reduce(gradients))]

    optimizer._clip_gradients = clip_the_sum


def _all_reduce(values):
    """Sums over the replicas of a list of tensors."""
    # `identity`: arguments of a graph and variables read have no device, of which the operation takes its own.
    values = [tf.identity(value) for value in values]
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _first_line(error):
    return (str(getattr(error, "message", error)).strip() or type(error).__name__).splitlines()[0].rstrip(".")
