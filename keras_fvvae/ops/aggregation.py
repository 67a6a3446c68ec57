"""Aggregation of an activation map into local descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

POOLINGS = ("max", "average")


def pyramid_window(side: Any, level: Any) -> tuple[Any, Any]:
    """Window and stride that split `side` positions into exactly `level` windows covering all of them.

    `stride = side // level` and `window = side - stride * (level - 1)`: on a side of 7, the windows of the authors'
    release (2 stride 1, 3 stride 2, 4 stride 3, 7 for the levels 6, 3, 2, 1). Neighbouring windows overlap unless
    `level` divides `side`.

    Args:
        side: positions along one axis, at least `level`; an integer or a scalar tensor.
        level: number of windows.

    Returns:
        Tuple `(window, stride)`.
    """
    stride = side // level
    return side - stride * (level - 1), stride


def spatial_pyramid_pool(x: Any, levels: Sequence[int], pooling: str = "max") -> Any:
    """Pools a map over a pyramid of overlapping windows into a list of descriptors (Section 4; He et al. [6]).

    Args:
        x: tensor `(batch, H, W, C)`, both sides at least `max(levels)`.
        levels: integers; a level `n` gives `n * n` descriptors.
        pooling: `"max"` or `"average"`.

    Returns:
        Tensor `(batch, sum(n * n for n in levels), C)`: level by level as given, each row by row. A window that holds
        NaN gives NaN, and, pooled by the maximum, which would pass over it, one that holds minus infinity.
    """
    pool = _pool_dynamic if None in x.shape[1:3] else _pool_static
    cells = [ops.reshape(pool(x, level, pooling), (-1, level * level, x.shape[-1])) for level in levels]
    return ops.concatenate(cells, axis=1)


def _pool_static(x: Any, level: Any, pooling: str) -> Any:
    windows, strides = zip(*(pyramid_window(side, level) for side in x.shape[1:3]), strict=True)
    if pooling == "average":
        return ops.average_pool(x, windows, strides, padding="valid")
    pooled = ops.max_pool(x, windows, strides, padding="valid")
    # TensorFlow's max pooling passes over NaN, and any over minus infinity, as if broken activations were none.
    broken = ops.max_pool(ops.cast(ops.logical_not(x > -float("inf")), x.dtype), windows, strides, padding="valid")
    # A constant, not a tensor of them, by which converters see that a product with a mask would not do.
    return ops.where(broken > 0, float("nan"), pooled)


def _pool_dynamic(x: Any, level: Any, pooling: str) -> Any:
    """The same where the sides, and so the windows, are only known at run time, which pooling ops cannot take.

    Separable: `level` slices along the height, then `level` along the width. Its gradient is 20 times slower.
    """
    if pooling == "max":
        x = ops.where(x > -float("inf"), x, float("nan"))  # which `max` does not pass over
    height, width = ops.shape(x)[1:3]
    rows = _pool_axis(x, 1, height, level, pooling)  # (batch, level, W, C)
    return _pool_axis(rows, 2, width, level, pooling)  # (batch, level, level, C)


def _pool_axis(x: Any, axis: int, side: Any, level: Any, pooling: str) -> Any:
    reduce = ops.max if pooling == "max" else ops.mean
    window, stride = pyramid_window(side, level)
    leading = (slice(None),) * axis
    slices = [x[(*leading, slice(i * stride, i * stride + window))] for i in range(level)]
    return ops.stack([reduce(part, axis=axis) for part in slices], axis=axis)
