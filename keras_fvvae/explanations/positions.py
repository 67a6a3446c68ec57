"""From parts of descriptors to parts of an image: the positions of a map, and the map's place in the whole picture."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_fvvae.ops.aggregation import pyramid_window


def on_map(parts: Any, shape: Sequence[int], levels: Sequence[int] | None = None) -> Any:
    """Spreads what belongs to descriptors over the positions of the activation map they were made of.

    A descriptor that is a position keeps its part. One that pools a window (`SpatialPyramidPooling`) shares its part
    equally among the window's positions: the maximum is another position in every channel, so no single one of them
    is where the descriptor came from. Sums stay as they are.

    Args:
        parts: tensor `(..., T)`.
        shape: `(H, W)` of the map.
        levels: those of the `SpatialPyramidPooling` that made the descriptors; `None` where they are the positions.

    Returns:
        Tensor `(..., H, W)`.

    Raises:
        ValueError: if the descriptors are neither the map's positions nor a pyramid's windows.

    Example:
        >>> on_map(np.array([[0, 0, 0, 4, 8]], "float32"), (2, 2), levels=(2, 1)).numpy().tolist()
        [[[2.0, 2.0], [2.0, 6.0]]]
    """
    height, width = shape
    *leading, count = ops.shape(parts)
    if levels is not None:
        shares = _pyramid_shares(tuple(levels), height, width)
        parts = ops.matmul(parts, ops.convert_to_tensor(shares, parts.dtype))
    elif count != height * width:
        raise ValueError(f"{count} descriptors are not the positions of a map of {height}x{width}; they have no place.")
    return ops.reshape(parts, (*leading, height, width))


def on_grid(maps: Any, shape: Sequence[int]) -> Any:
    """Maps on another grid over the same picture: a cell is shared among those that it overlaps. Sums stay as they are.

    Args:
        maps: tensor `(..., h, w)`.
        shape: `(H, W)` of the grid.

    Returns:
        Tensor `(..., H, W)`.

    Example:
        >>> on_grid(np.array([[[3.0, 9.0]]], "float32"), (2, 4)).numpy().tolist()
        [[[0.75, 0.75, 2.25, 2.25], [0.75, 0.75, 2.25, 2.25]]]
    """
    if tuple(maps.shape[-2:]) == tuple(shape):
        return maps
    rows, columns = (
        ops.convert_to_tensor(_overlaps(0, 1, cells, 1, whole), maps.dtype)
        for cells, whole in zip(maps.shape[-2:], shape, strict=True)
    )
    across = ops.tensordot(maps, columns, axes=[[-1], [0]])  # (..., h, W)
    return ops.swapaxes(ops.tensordot(across, rows, axes=[[-2], [0]]), -1, -2)


def on_picture(maps: Any, views: Any) -> Any:
    """Puts maps of crops where the crops lie in the resized image or frame, mirrored ones turned back, and adds them.

    Where the only view is the whole picture this changes nothing. Else a cell of a crop's map is shared among the cells
    of the picture's map that it overlaps, in proportion to the overlap. Sums stay as they are.

    Args:
        maps: tensor `(batch, crops, h, w)`; a video's frames belong to the batch.
        views: `keras_fvvae.data.Views`: how the crops were taken.

    Returns:
        Tensor `(batch, H, W)` over the picture of `views.resize_to`, with cells of about the same size.

    Example:
        >>> from keras_fvvae.data import Views
        >>> views = Views((2, 2), resize_to=(2, 4))
        >>> on_picture(np.ones((1, 1, 2, 2), "float32"), views).numpy().tolist()
        [[[0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0]]]
    """
    if views.crops != "ten" and views.size == views.resize_to:
        return maps[:, 0]
    # One two-dimensional product after the other: TensorFlow 2.21 writes outside of its memory in batched products that
    # multiply (5, 1, 8, 8) by (1, 8, 8).
    placed = 0
    for crop, (rows, columns) in enumerate(
        _placement(tuple(maps.shape[-2:]), views.size, views.resize_to, views.crops)
    ):
        across = ops.tensordot(maps[:, crop], ops.convert_to_tensor(columns, maps.dtype), axes=[[2], [0]])
        placed += ops.tensordot(across, ops.convert_to_tensor(rows, maps.dtype), axes=[[1], [0]])  # (batch, W, H)
    return ops.swapaxes(placed, 1, 2)


@functools.cache
def _pyramid_shares(levels: Sequence[int] | None, height: int, width: int) -> np.ndarray:
    """`(T, H * W)`: the share of every position in every window; rows add up to one."""
    cells = []
    for level in levels:
        (tall, down), (wide, right) = (pyramid_window(side, level) for side in (height, width))
        for row in range(level):
            for column in range(level):
                cell = np.zeros((height, width), "float32")
                cell[row * down : row * down + tall, column * right : column * right + wide] = 1 / (tall * wide)
                cells.append(cell.reshape(-1))
    return np.stack(cells)


@functools.cache
def _placement(
    shape: Sequence[int], size: Sequence[int], resize_to: Sequence[int], crops: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For every crop a pair `(h, H)`, `(w, W)`: how rows and columns of its map fall on those of the picture's."""
    bottom, right = (outer - inner for outer, inner in zip(resize_to, size, strict=True))
    middle = (bottom // 2, right // 2)
    # The order of `keras_fvvae.data.ten_crops`.
    places = [(0, 0), (0, right), (bottom, 0), (bottom, right), middle] if crops == "ten" else [middle]
    whole = [round(cells * outer / inner) for cells, inner, outer in zip(shape, size, resize_to, strict=True)]
    rows = [_overlaps(top, size[0], shape[0], resize_to[0], whole[0]) for top, _ in places]
    columns = [_overlaps(left, size[1], shape[1], resize_to[1], whole[1]) for _, left in places]
    if crops == "ten":
        rows, columns = rows * 2, columns + [one[::-1] for one in columns]
    return list(zip(rows, columns, strict=True))


def _overlaps(start: float, length: int, cells: int, whole_length: float, whole_cells: int) -> np.ndarray:
    """`(cells, whole_cells)`: shares of the cells of a part in the cells of the whole; rows add up to one."""
    edges = start + np.arange(cells + 1) * (length / cells)
    whole_edges = np.arange(whole_cells + 1) * (whole_length / whole_cells)
    left = np.maximum(edges[:-1, None], whole_edges[None, :-1])
    right = np.minimum(edges[1:, None], whole_edges[None, 1:])
    return (np.maximum(right - left, 0) * (cells / length)).astype("float32")
