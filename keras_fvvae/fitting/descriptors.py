"""Descriptors of a data set as rows: read batch by batch, or drawn evenly in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_fvvae.utils.batches import one_array, read_batches, require_finite

# Sets the draw's random numbers apart from those of data that were made with the same seed.
DRAW_STREAM = 0x0D12A3


def draw_descriptors(
    data: Any, count: int, seed: int = 0, verbose: int = 0, check: Callable[[tuple[int, ...]], None] | None = None
) -> np.ndarray:
    """Draws at most `count` descriptors evenly, in one pass, without knowing how many there are.

    Every descriptor gets a random key and the smallest keys win, so that the draw does not depend on batches.

    Args:
        data: as for `kmeans`; an iterator that ends will do.
        count: number of descriptors to draw; all where there are fewer.
        seed: integer.
        verbose: 1 for a progress bar.
        check: function of a batch's shape that raises where a layer does not take it.

    Returns:
        Array `(n, C)`, in the order of the data set.
    """
    rng = np.random.default_rng([seed, DRAW_STREAM])
    drawn, waiting, largest = [], 0, np.inf
    for rows in descriptor_rows(data, "Drawing descriptors", verbose, check):
        keys = rng.random(len(rows))
        chosen = keys < largest
        drawn.append((keys[chosen], rows[chosen]))
        waiting += len(drawn[-1][0])
        # Only now and then: sorting out copies all that is kept.
        if waiting > 2 * count:
            drawn = [_smallest_keys(drawn, count)]
            waiting, largest = count, drawn[0][0].max()
    if waiting == 0:
        raise ValueError("No descriptors were given: a codebook of an empty data set does not exist.")
    return _smallest_keys(drawn, count)[1]


def _smallest_keys(drawn: list, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of pairs of keys and rows, the `count` rows of the smallest keys, in the order they came."""
    keys, rows = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    if len(keys) <= count:
        return keys, rows
    best = np.sort(np.argpartition(keys, count)[:count])
    return keys[best], rows[best]


def descriptor_rows(
    data: Any, description: str = "", verbose: int = 0, check: Callable[[tuple[int, ...]], None] | None = None
) -> Iterator[np.ndarray]:
    """Iterates over the descriptors of a data set as float arrays `(n, C)`, without those that a mask excludes.

    Args:
        data: batches `(..., C)` as `keras_fvvae.utils.batches` reads them; a mask has the first axes of its batch.
        description: what is being done, for the progress bar.
        verbose: 1 for a progress bar.
        check: function of a batch's shape that raises where a layer does not take it.

    Raises:
        ValueError: for batches that do not fit together, and NaN or infinite descriptors.
    """
    channels = None
    for inputs, mask in read_batches(data, description, verbose):
        rows = one_array(inputs, "A codebook")
        if check is not None:
            check(rows.shape)
        if rows.ndim < 2 or channels not in (None, rows.shape[-1]):
            raise ValueError(
                f"Expected batches of descriptors (batch, T, C){'' if channels is None else f' with C = {channels}'}. "
                f"Received: shape={rows.shape}"
            )
        channels = rows.shape[-1]
        if mask is not None:
            if mask.ndim >= rows.ndim or mask.shape != rows.shape[: mask.ndim]:
                raise ValueError(
                    "The mask of a batch must have its first axes, one value per descriptor or frame. Received: "
                    f"shapes {mask.shape} and {rows.shape}"
                )
            rows = rows[mask]
        rows = rows.reshape(-1, channels).astype(np.promote_types(rows.dtype, np.float32), copy=False)
        require_finite(rows, "descriptors")
        yield rows


def require_enough(count: int, needed: int) -> None:
    """Raises a `ValueError` for fewer descriptors than entries of the codebook."""
    if count < needed:
        raise ValueError(
            f"A codebook of {needed} entries needs at least as many descriptors. Received: {count} descriptors; give "
            "more images or ask for a smaller codebook."
        )
