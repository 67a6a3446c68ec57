"""Made-up defects of known place, like the local ones of the data set `textiles`: what a heat map should point at."""

from __future__ import annotations

import numpy as np

# Measured on the 500 images with a local defect: where the texture is replaced by noise without correlation between
# neighbours, in an upright ellipse of about this width and height in pixels.
DEFECT_SIZE = (9, 19)
# Standard deviations, in units of the image's: of the noise around its level, and of the level around the image's mean.
NOISE, LEVEL = 1.55, 0.42
# Not covered: the last column and row of every image are white, a margin that the simulation's plots left.
MARGIN = 2


def paste_defect(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """An image with a defect in a random place, and where it is.

    The defect is made as the local ones of `textiles` look: an upright ellipse, 9 pixels wide and 19 high, of white
    noise that is stronger than the texture, around a level that differs a little from the image's mean. It is gray: the
    same in the three channels. Real ones have been through JPEG, which blurs their outline by a pixel.

    Args:
        image: uint8 array `(height, width, 3)`, at least 23 pixels high and 13 wide; it is left as it is.
        rng: of the place and the noise; a generator in the same state gives the same defect.

    Returns:
        The changed copy, and the box `(x, y, width, height)` of the ellipse in pixels from the upper left corner, as in
        `Collection.boxes`: no pixel outside has changed.

    Raises:
        ValueError: for another kind of array, or an image that the defect does not fit in.

    Example:
        >>> image = np.full((250, 250, 3), 128, "uint8")
        >>> image[::2] = 64
        >>> defective, (x, y, width, height) = paste_defect(image, np.random.default_rng(0))
        >>> x, y, width, height
        (204, 147, 9, 19)
        >>> rows, columns = np.nonzero((defective != image).any(axis=-1))
        >>> bool(rows.min() >= y and rows.max() < y + height), bool(columns.min() >= x and columns.max() < x + width)
        (True, True)
    """
    width, height = DEFECT_SIZE
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"`image` must be a uint8 array (height, width, 3). Received: {image.dtype} of shape {image.shape}"
        )
    if image.shape[0] < height + 2 * MARGIN or image.shape[1] < width + 2 * MARGIN:
        raise ValueError(
            f"`image` must be at least {height + 2 * MARGIN} pixels high and {width + 2 * MARGIN} wide. "
            f"Received: shape {image.shape}"
        )
    x = int(rng.integers(MARGIN, image.shape[1] - width - MARGIN, endpoint=True))
    y = int(rng.integers(MARGIN, image.shape[0] - height - MARGIN, endpoint=True))
    texture = image[MARGIN:-MARGIN, MARGIN:-MARGIN]
    mean, deviation = texture.mean(), texture.std()
    noise = mean + deviation * (LEVEL * rng.normal() + NOISE * rng.normal(size=(height, width, 1)))
    defective = image.copy()
    place = defective[y : y + height, x : x + width]  # a view
    place[_ellipse()] = np.round(np.clip(noise, 0, 255))[_ellipse()]
    return defective, (x, y, width, height)


def _ellipse():
    """Boolean array `(height, width)`: the pixels of the box whose centres lie in the ellipse that fills it."""
    width, height = DEFECT_SIZE
    rows, columns = np.mgrid[:height, :width] + 0.5
    return (2 * columns / width - 1) ** 2 + (2 * rows / height - 1) ** 2 <= 1
