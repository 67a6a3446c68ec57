"""What `tf.data` alone does: the bound that our pipelines are measured against."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_fvvae.data.pipeline import without_autotuning
from keras_fvvae.utils.cores import usable_cores


def bare_pipeline(inputs: Sequence, function: Callable, batch_size: int | None = None) -> tf.data.Dataset:
    """A pipeline that calls one function with the parallel calls and the options of `keras_fvvae.data.view_batches`.

    Args:
        inputs: one element an item, such as paths or the bytes of files.
        function: of TensorFlow's operations, from an element to a tensor.
        batch_size: items a batch; default: they stay single.

    Example:
        >>> [int(number) for number in bare_pipeline([1, 2, 3], lambda number: 10 * number)]
        [10, 20, 30]
    """
    dataset = tf.data.Dataset.from_tensor_slices(inputs)
    dataset = dataset.map(function, num_parallel_calls=usable_cores(), deterministic=True)
    return without_autotuning((dataset.batch(batch_size) if batch_size else dataset).prefetch(2))
