"""Whether contributions lie where they should: the share of what speaks for a class within a known place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Inside(NamedTuple):
    """What lies within a place.

    Attributes:
        share: of the positive contributions; 0 where there are none.
        area: share of the map's cells.
        is_largest: whether the largest contribution does (the pointing game of Zhang et al., "Top-down Neural Attention
            by Excitation Backprop", ECCV 2016).
    """

    share: float
    area: float
    is_largest: bool


def inside(contributions: np.ndarray, box: tuple[float, float, float, float]) -> Inside:
    """What of the contributions to a class lies within a box where they should.

    The box is widened to whole cells of the map, and by one more on each side: a cell sees more than its own pixels.
    Where contributions had nothing to do with the place, share and area would be equal.

    Args:
        contributions: array `(H, W)`, the map of an image, see `keras_fvvae.explanations.file_explanation`.
        box: `(left, top, right, bottom)` in shares of the width and height.

    Example:
        >>> contributions = np.array([[4.0, 0, 0, 0], [0, -9, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
        >>> inside(contributions, (0.0, 0.0, 0.2, 0.2))
        Inside(share=0.8, area=0.25, is_largest=True)
    """
    height, width = contributions.shape
    left, top, right, bottom = box
    rows = slice(max(0, int(np.floor(top * height)) - 1), int(np.ceil(bottom * height)) + 1)
    columns = slice(max(0, int(np.floor(left * width)) - 1), int(np.ceil(right * width)) + 1)
    positive = np.maximum(contributions, 0)
    within, whole = positive[rows, columns], float(positive.sum())
    share = float(within.sum()) / whole if whole else 0.0
    return Inside(share, within.size / positive.size, bool(whole and within.max() == positive.max()))
