"""What the models share that are trained under an objective of their own: `fit`, loading, means over replicas."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_fvvae.models.nested import NestedModel

# What Keras's callbacks find out for their own metrics only.
BETTER = {"accuracy": "max", "classification": "min", "reconstruction": "min", "regularization": "min"}


class ObjectiveModel(NestedModel):
    """A model whose loss is its own `compute_loss`, on integer labels of which -1 marks an example without one."""

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As `keras.Model.fit`, where two things of Keras do not know models with metrics and labels of their own.

        `mode="auto"` of `EarlyStopping`, `ModelCheckpoint` and `ReduceLROnPlateau` finds the better direction of the
        model's metrics, and `class_weight` works with unlabelled examples of a `tf.data.Dataset`, too, whose -1 Keras
        takes for an index: they weigh 1, as in Keras's own way with arrays.
        """
        given = inspect.signature(super().fit).bind(*args, **kwargs).arguments
        callbacks = given.get("callbacks")
        callbacks = getattr(callbacks, "callbacks", callbacks)  # a `CallbackList` has them
        for callback in callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]:
            better = BETTER.get(str(getattr(callback, "monitor", "")).removeprefix("val_"))
            if better and getattr(callback, "mode", None) == "auto":
                callback.mode = better
        if given.get("class_weight") is not None and hasattr(given["x"], "element_spec"):
            given["x"] = _with_class_weights(given["x"], given.pop("class_weight"))
        return super().fit(**given)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Keras leaves models that override `compile` uncompiled when they are loaded."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def added_losses(self) -> Any:
        """Losses that layers add, for example weight decay of the backbone, as a replica's part of the total."""
        return sum((ops.sum(extra) / replicas() for extra in self.losses), 0.0)


def mean_over_global_batch(values: Any, weights: Any) -> Any:
    """Weighted mean whose replicas' parts add up to the mean over the global batch; 0 where all weights are 0."""
    total = ops.sum(weights)
    context = _replica_context()
    if context is not None:
        total = context.all_reduce("SUM", total)
    return ops.sum(values * weights) / ops.where(total > 0, total, ops.ones_like(total))


def replicas() -> int:
    """Number of replicas that train in step."""
    context = _replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def xla_pays() -> bool | str:
    """Keras's default for `jit_compile`, except on TensorFlow without a GPU, where XLA makes a step slower."""
    if keras.backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if tf.config.list_physical_devices("GPU") else False


def _replica_context() -> Any:
    """TensorFlow's replica context where several replicas train in step, else `None`."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None


def _with_class_weights(dataset: Any, class_weight: Mapping[int, float]) -> Any:
    """A `tf.data.Dataset` of `(x, y)` with the weights of the classes as sample weights."""
    import tensorflow as tf

    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(list(class_weight), "int64"), tf.constant(list(class_weight.values()), "float32")
        ),
        default_value=1.0,
    )

    def with_weights(*batch):
        if len(batch) != 2:
            raise ValueError(
                "`class_weight` goes with a data set of `(inputs, labels)`, without sample weights of its own. "
                f"Received: batches of {len(batch)} parts"
            )
        x, y = batch
        weights = table.lookup(tf.cast(tf.reshape(y, (-1,)), "int64"))
        weights.set_shape(y.shape[:1])
        return x, y, weights

    return dataset.map(with_weights)
