"""One reader of data sets for everything that is fitted to data, and one rule for what a batch is.

`adapt(data)` takes an array or tensor (one batch), or a `tf.data.Dataset`, `keras.utils.PyDataset`, list, generator or
other iterable of batches. A batch is

    an array or tensor                    the inputs
    a list of them                        inputs of several parts, such as a pair of activation maps
    a tuple `(inputs, *rest)`             the same; the rest, labels and sample weights, is left aside
    `{"inputs": ..., "mask": ...}`        inputs of which only those count where the boolean mask is true

A tuple or such a dictionary that is given as `data` itself is one batch, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from keras_fvvae.utils.progress import track

KEYS = {"inputs", "mask"}


class Batch(NamedTuple):
    """Inputs, an array or a list of arrays, and the boolean mask that came with them or `None`."""

    inputs: np.ndarray | list[np.ndarray]
    mask: np.ndarray | None = None


def read_batches(data: Any, description: str = "", verbose: int = 0) -> Iterator[Batch]:
    """Iterates over the batches of a data set once.

    Args:
        data: as the module says.
        description: what is being done, in a few words, for the progress bar.
        verbose: 1 for a progress bar.

    Raises:
        ValueError: for what is no batch, for a data set without any, and for one without end.

    Example:
        >>> import numpy as np
        >>> [batch.inputs.shape for batch in read_batches([(np.zeros((2, 3)), [0, 1]), np.zeros((4, 3))])]
        [(2, 3), (4, 3)]
    """
    found = False
    elements, total = _elements(data)
    for element in track(elements, description, total, enabled=bool(verbose)):
        yield _batch(element)
        found = True
    if not found:
        raise ValueError("The data set is empty: there is nothing to adapt to (an iterator is, after its first pass).")


def read_arrays(data: Any, owner: str, description: str = "", verbose: int = 0) -> Iterator[np.ndarray]:
    """The same where a batch is one array and no mask has a meaning.

    Args:
        data: as the module says.
        owner: name of the class that is adapted, for messages.
        description: as in `read_batches`.
        verbose: as in `read_batches`.

    Raises:
        ValueError: as `read_batches`, and for batches of several parts or with a mask.
    """
    for inputs, mask in read_batches(data, description, verbose):
        if mask is not None:
            raise ValueError(f"`{owner}` adapts to data without a mask: leave out what does not count.")
        yield one_array(inputs, owner)


def one_array(inputs: np.ndarray | list[np.ndarray], owner: str) -> np.ndarray:
    """The inputs of a batch, refused if they have several parts."""
    if isinstance(inputs, list):
        raise ValueError(
            f"`{owner}` adapts to batches that are one array, or tuples that start with one; a list is inputs of "
            f"several parts. Received: a list of {len(inputs)}"
        )
    return inputs


def whole_array(data: Any) -> np.ndarray | None:
    """The data as one array where they are given as one (a memory map stays one), else `None`."""
    return to_array(data) if hasattr(data, "shape") else None


def to_array(values: Any) -> np.ndarray:
    """A tensor, array or nested list of numbers as a NumPy array, without a copy where it can; bfloat16 as float32."""
    if not isinstance(values, np.ndarray):
        import keras

        values = keras.ops.convert_to_numpy(values) if hasattr(values, "shape") else np.asarray(values)
    return values.astype(np.float32) if values.dtype.name == "bfloat16" else values  # no number to NumPy


def require_finite(rows: np.ndarray, what: str) -> None:
    """Refuses rows, along the first axis, with NaN or infinite entries.

    Args:
        rows: array `(n, ...)`.
        what: their name in the message, such as `"descriptors"`.

    Raises:
        ValueError: with their number and the position of the first.
    """
    bad = ~np.isfinite(rows).all(axis=tuple(range(1, rows.ndim)))
    if bad.any():
        raise ValueError(
            f"{bad.sum()} of {len(bad)} {what} hold NaN or infinite values (first at position "
            f"{np.flatnonzero(bad)[0]} of its batch). Check the weights and the input images."
        )


def require_several_passes(data: Any) -> None:
    """Raises a `ValueError` for an iterator, which is empty after its first pass."""
    if not hasattr(data, "shape") and iter(data) is data:
        raise ValueError(
            "The data set is passed over several times, and an iterator ends after the first. Give an array, a list "
            "or a `tf.data.Dataset`."
        )


def _elements(data: Any) -> tuple[Iterable, int | None]:
    """What to iterate over, and its length where it is known."""
    if hasattr(data, "shape") or isinstance(data, (tuple, dict)):
        return [data], 1
    if hasattr(data, "num_batches") and hasattr(data, "__getitem__"):  # a `PyDataset`, which does not end by itself
        if data.num_batches is None:
            raise ValueError(_ENDLESS)
        return (data[index] for index in range(data.num_batches)), data.num_batches
    if hasattr(data, "cardinality") and int(data.cardinality()) == -1:  # `tf.data.INFINITE_CARDINALITY`
        raise ValueError(_ENDLESS)
    try:
        return data, len(data)
    except TypeError:  # a generator, or a `tf.data.Dataset` of unknown length
        return iter(data), None


_ENDLESS = "`adapt` takes a data set that ends: leave out `repeat()`, or `take` a number of batches."


def _batch(element: Any) -> Batch:
    mask = None
    if isinstance(element, tuple):
        if not element:
            raise ValueError("A batch that is a tuple starts with the inputs. Received: ()")
        element = element[0]
    if isinstance(element, dict):
        if not {"inputs"} <= set(element) <= KEYS:
            raise ValueError(
                f'A batch that is a dictionary has the keys "inputs" and "mask". Received: {sorted(map(str, element))}'
            )
        mask = element.get("mask")
        mask = None if mask is None else to_array(mask).astype(bool)
        element = element["inputs"]
    if isinstance(element, (tuple, list)) and any(hasattr(part, "shape") for part in element):
        return Batch([_numbers(part) for part in element], mask)
    return Batch(_numbers(element), mask)


def _numbers(values: Any) -> np.ndarray:
    array = to_array(values)
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or array.ndim == 0:
        raise ValueError(f"A batch must be numbers. Received: shape={array.shape}, dtype={array.dtype}")
    return array
