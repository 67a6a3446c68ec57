"""Where trajectories begin: points of texture on a dense grid, at several scales."""

from __future__ import annotations

import numpy as np

from keras_fvvae.utils.video_packages import cv2

# A scale is the one before, divided by this (Wang and Schmid, Section 2).
SCALE_STRIDE = 2**0.5
# A point is kept if the smaller eigenvalue of its auto-correlation exceeds this share of the frame's largest.
QUALITY = 0.001
# Side of the window of the auto-correlation, and aperture of its Sobel derivatives, in pixels.
EIGENVALUE_WINDOW = 3


def scale_sizes(height: int, width: int, most: int, smallest: int) -> list[tuple[int, int]]:
    """Sizes `(height, width)` of the scales of a frame, the largest first.

    Args:
        height: of the frame in pixels.
        width: of the frame in pixels.
        most: number of scales, at most.
        smallest: no side of a scale is shorter than this.

    Example:
        >>> scale_sizes(64, 90, most=8, smallest=32)
        [(64, 90), (45, 64), (32, 45)]
    """
    sizes = [(round(height / SCALE_STRIDE**i), round(width / SCALE_STRIDE**i)) for i in range(most)]
    return [size for size in sizes if min(size) >= smallest]


def sample_points(gray: np.ndarray, occupied: np.ndarray, step: int) -> np.ndarray:
    """Points in the middles of the cells of a grid that have texture and no trajectory yet.

    A point is kept if `min(l1, l2) > 0.001 max(min(l1, l2))`, the maximum over the frame, with the eigenvalues `l1` and
    `l2` of the auto-correlation matrix of the gradients around it: where there is no texture nothing can be tracked.

    Args:
        gray: uint8 array `(height, width)`.
        occupied: array `(n, 2)` of `x, y`: where trajectories are already.
        step: side of the cells in pixels.

    Returns:
        float32 array `(m, 2)` of `x, y`.

    Example:
        >>> gray = np.random.default_rng(0).integers(0, 256, (20, 15), "uint8")
        >>> len(sample_points(gray, np.zeros((0, 2)), 5)), len(sample_points(gray, np.array([[7.0, 3.0]]), 5))
        (12, 11)

    Reference:
        Wang and Schmid, "Action Recognition with Improved Trajectories", ICCV 2013, Section 2; Shi and Tomasi, "Good
        features to track", CVPR 1994.
    """
    rows, columns = gray.shape[0] // step, gray.shape[1] // step
    quality = cv2.cornerMinEigenVal(gray, EIGENVALUE_WINDOW, ksize=EIGENVALUE_WINDOW)
    free = np.ones((rows, columns), bool)
    x, y = (np.asarray(occupied) // step).astype(int).T
    within = (x < columns) & (y < rows)
    free[y[within], x[within]] = False
    middle = step // 2
    textured = quality[middle::step, middle::step][:rows, :columns] > QUALITY * quality.max()
    points = np.argwhere(free & textured)[:, ::-1] * step + middle
    return points.astype("float32")
