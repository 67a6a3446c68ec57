"""A model on every device of a `tf.distribute` strategy, trained in steps on global batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from keras_fvvae.training.processes.workers import Workers


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

    def __init__(self, model: keras.Model, workers: Workers):
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

    def synchronize(self) -> None:
        """Takes weights and optimizer state of the chief's model to every device of every worker."""
        for variable, copy in self._pairs():
            copy.assign(self.workers.share(keras.ops.convert_to_numpy(variable)))

    def write_back(self) -> None:
        """Gives weights and optimizer state to the model that was copied."""
        for variable, copy in self._pairs():
            variable.assign(keras.ops.convert_to_numpy(copy))

    def assign_per_replica(self, variable: keras.Variable, value_of: Callable[[int], Any]) -> None:
        """Assigns `value_of(number of the replica)` on each device."""
        parts = self.strategy.experimental_local_results(variable.value)
        first = self.workers.index * len(parts)
        for number, part in enumerate(parts, start=first):
            part.assign(tf.cast(value_of(number), part.dtype))

    def step(self, inputs: tf.Tensor, labels: tf.Tensor) -> Mapping[str, Any]:
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
        return all_reduce([variable.value for variable in self._metric_variables])


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
        return [gradient / replicas for gradient in clip(all_reduce(gradients))]

    optimizer._clip_gradients = clip_the_sum


def all_reduce(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Sums over the replicas of a list of tensors; to be called by all of them."""
    # `identity`: arguments of a graph and variables read have no device, of which the operation takes its own.
    values = [tf.identity(value) for value in values]
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)
