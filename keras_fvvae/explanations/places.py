"""Whether contributions lie where they should: the share of what speaks for a class within a known place."""

from __future__ import annotations

import numpy as np


def share_inside(contributions: np.ndarray, box: tuple[float, float, float, float]) -> tuple[float, float]:
    """The share of the positive contributions within a box, and the share of the area that it takes.

    The box is widened to whole cells of the map, and by one more on each side: a cell sees more than its own pixels.
    Where contributions had nothing to do with the place, the two would be equal.

    Args:
        contributions: array `(H, W)`, the map of an image from `keras_fvvae.tasks.explain.explain_frames`.
        box: `(left, top, right, bottom)` in shares of the width and height.

    Returns:
        Tuple of the share of the positive contributions, 0 where there are none, and the share of the cells.

    Example:
        >>> contributions = np.array([[4.0, 0, 0, 0], [0, -9, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
        >>> share_inside(contributions, (0.0, 0.0, 0.2, 0.2))
        (0.8, 0.25)
    """
    height, width = contributions.shape
    left, top, right, bottom = box
    rows = slice(max(0, int(np.floor(top * height)) - 1), int(np.ceil(bottom * height)) + 1)
    columns = slice(max(0, int(np.floor(left * width)) - 1), int(np.ceil(right * width)) + 1)
    positive = np.maximum(contributions, 0)
    inside, whole = positive[rows, columns], float(positive.sum())
    return float(inside.sum()) / whole if whole else 0.0, inside.size / positive.size
