"""What surrounds a trajectory: histograms of gradients (HOG), of flow (HOF) and of the flow's gradients (MBH)."""

from __future__ import annotations

import numpy as np

from keras_fvvae.utils.video_packages import cv2

# Frames of a trajectory, and cells of its volume in time and along each side (Wang and Schmid, Section 2).
LENGTH = 15
TIME_CELLS = 3
SIDE_CELLS = 2
# Side of the volume in pixels.
PATCH = 32
ORIENTATIONS = 8
# Flow shorter than this, in pixels, has no direction: it is counted in a bin of its own (authors' release).
LEAST_FLOW = 0.4
# Added to a bin for each frame, in units of gradient or flow: an empty volume becomes uniform instead of noise
# (authors' release).
FLOOR = 0.05
# Bins of a cell, by descriptor. Their planes lie one after the other.
BINS = {"hog": ORIENTATIONS, "hof": ORIENTATIONS + 1, "mbhx": ORIENTATIONS, "mbhy": ORIENTATIONS}
PLANES = sum(BINS.values())
CELLS = TIME_CELLS * SIDE_CELLS**2
# Lengths of the descriptors of a trajectory, in the order they are stored: 30, 96, 108, 96 and 96.
DESCRIPTORS = {"trajectory": 2 * LENGTH, **{name: CELLS * bins for name, bins in BINS.items()}}


def orientation_planes(
    x: np.ndarray, y: np.ndarray, least: float | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """Lengths of vectors, sorted by direction into eight planes.

    The length of a vector at angle `a` goes to the two directions next to it, linearly: with `b = 8 a / (2 pi)`,
    `|v| (1 - (b - floor(b)))` to `floor(b)` and the rest to the next one, around the circle.

    Args:
        x: float32 array `(height, width)`.
        y: the other component.
        least: `None`; or the length up to which a vector counts as 1 in a ninth plane and in no other.
        out: zeros `(planes, height, width)` in float32 to write to.

    Returns:
        float32 array `(8 or 9, height, width)`.

    Example:
        >>> x, y = np.float32([[1, 0, -3]]), np.float32([[1, 0.2, 0]])
        >>> orientation_planes(x, y)[[0, 1, 2, 4], 0].astype(float).round(1).tolist()
        [[0.0, 0.0, 0.0], [1.4, 0.0, 0.0], [0.0, 0.2, 0.0], [0.0, 0.0, 3.0]]
        >>> orientation_planes(x, y, least=0.4)[8].tolist()
        [[0.0, 1.0, 0.0]]
    """
    if out is None:
        out = np.zeros((ORIENTATIONS + (least is not None), *x.shape), "float32")
    length, position = cv2.cartToPolar(x, y)
    position *= ORIENTATIONS / (2 * np.pi)
    lower = position.astype("int32")
    upper_share = (position - lower).ravel()
    lower = lower.ravel() % ORIENTATIONS
    if least is not None:
        short = length <= least
        out[ORIENTATIONS] = short
        length[short] = 0
    length = length.ravel()
    flat, pixels = out.reshape(len(out), -1), np.arange(length.size)
    flat[lower, pixels] = length * (1 - upper_share)
    flat[(lower + 1) % ORIENTATIONS, pixels] = length * upper_share
    return out


def frame_planes(gray: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The orientation planes of all descriptors of one frame.

    Args:
        gray: uint8 array `(height, width)`.
        flow: float32 array `(height, width, 2)` to the next frame, without the camera's motion.

    Returns:
        float32 array `(33, height, width)`: HOG of the frame's gradients, HOF of the flow, with the bin for no motion
        last, MBHx and MBHy of the gradients of the flow's components.
    """
    planes = np.zeros((PLANES, *gray.shape), "float32")
    horizontal, vertical = (np.ascontiguousarray(flow[..., axis]) for axis in (0, 1))
    fields = (_gradient(gray), (horizontal, vertical), _gradient(horizontal), _gradient(vertical))
    start = 0
    for (name, bins), (x, y) in zip(BINS.items(), fields, strict=True):
        orientation_planes(x, y, LEAST_FLOW if name == "hof" else None, planes[start : start + bins])
        start += bins
    return planes


def cell_histograms(planes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Histograms of the cells around points: sums of planes over squares, through integral images.

    A patch that would reach beyond the frame is moved inside.

    Args:
        planes: float32 array `(P, height, width)`, no side shorter than 32.
        points: array `(n, 2)` of `x, y`, the patches' centres.

    Returns:
        float32 array `(n, 2, 2, P)`: cells from top to bottom, from left to right.

    Example:
        >>> planes = np.ones((1, 40, 40), "float32")
        >>> cell_histograms(planes, np.array([[20.0, 20.0]]))[0, ..., 0].tolist()
        [[256.0, 256.0], [256.0, 256.0]]
    """
    height, width = planes.shape[1:]
    # float64: differences of the sums of a whole frame are wanted.
    integral = np.empty((len(planes), height + 1, width + 1))
    for plane, sums in zip(planes, integral, strict=True):
        cv2.integral(plane, sums, sdepth=cv2.CV_64F)
    corners = np.rint(points).astype(int) - PATCH // 2
    edges = np.arange(SIDE_CELLS + 1) * (PATCH // SIDE_CELLS)
    x = np.clip(corners[:, 0], 0, width - PATCH)[:, np.newaxis] + edges  # (n, 3)
    y = np.clip(corners[:, 1], 0, height - PATCH)[:, np.newaxis] + edges
    sums = integral[:, y[:, :, np.newaxis], x[:, np.newaxis, :]]  # (P, n, 3, 3)
    sums = np.diff(np.diff(sums, axis=2), axis=3)
    return np.moveaxis(sums, 0, -1).astype("float32")


def finish_descriptors(moves: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Normalised descriptors of finished trajectories.

    The shape is the sequence of displacements divided by the sum of their lengths. Each histogram is divided by its sum
    and the root is taken of every bin, which gives it unit length (RootSIFT). The authors' release does the latter for
    every frame before it averages; this is the paper's text, for the descriptor.

    Args:
        moves: float32 array `(n, 15, 2)`, displacements without the camera's motion, not all zero.
        cells: float32 array `(n, 3, 2, 2, 33)`, sums over the frames of a cell.

    Returns:
        float32 array `(n, 426)`; `DESCRIPTORS` names the parts.

    Reference:
        Wang and Schmid, ICCV 2013, Sections 2 and 4; Arandjelovic and Zisserman, "Three things everyone should know to
        improve object retrieval", CVPR 2012.
    """
    total = np.linalg.norm(moves, axis=-1).sum(axis=1)[:, np.newaxis, np.newaxis]
    parts = [(moves / total).reshape(len(moves), 2 * LENGTH)]
    start = 0
    for bins in BINS.values():
        histograms = cells[..., start : start + bins].reshape(len(cells), CELLS * bins)
        # Sums of an integral image's differences can be a rounding error below zero.
        histograms = np.maximum(histograms, 0) + np.float32(FLOOR * LENGTH / TIME_CELLS)
        parts.append(np.sqrt(histograms / histograms.sum(axis=1, keepdims=True)))
        start += bins
    return np.concatenate(parts, axis=1)


def _gradient(image):
    """Central differences, to the right and down."""
    return [cv2.Sobel(image, cv2.CV_32F, *order, ksize=1) for order in ((1, 0), (0, 1))]
