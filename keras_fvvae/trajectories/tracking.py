"""Trajectories of one scale while they grow, and which of them are kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_fvvae.trajectories.descriptors import (
    LENGTH,
    PLANES,
    SIDE_CELLS,
    TIME_CELLS,
    cell_histograms,
    finish_descriptors,
    frame_planes,
)
from keras_fvvae.trajectories.sampling import sample_points

# In pixels of the first scale, as in the authors' release. A trajectory whose positions deviate less than this in both
# directions is static;
LEAST_DEVIATION = 3**0.5
# more than this in one direction, it has lost its point;
MOST_DEVIATION = 50.0
# and a single step longer than this is a jump if it is most of the path.
MOST_STEP = 20.0
MOST_STEP_SHARE = 0.7
# Without the camera's motion, the longest step must exceed this.
LEAST_STEP = 1.0


class Growing(NamedTuple):
    """Trajectories of `n` points: ages `(n,)`, paths `(n, 16, 2)`, moves without the camera's `(n, 15, 2)`, cells."""

    ages: np.ndarray
    paths: np.ndarray
    moves: np.ndarray
    cells: np.ndarray

    def choose(self, which: np.ndarray) -> Growing:
        """Some of the trajectories."""
        return Growing(*(values[which] for values in self))

    @property
    def points(self) -> np.ndarray:
        """Where they are now, `(n, 2)`."""
        return self.paths[np.arange(len(self.ages)), self.ages]


def begin(points: np.ndarray) -> Growing:
    """Trajectories of length 0 at points `(n, 2)`."""
    count = len(points)
    paths = np.zeros((count, LENGTH + 1, 2), "float32")
    paths[:, 0] = points
    return Growing(
        np.zeros(count, int),
        paths,
        np.zeros((count, LENGTH, 2), "float32"),
        np.zeros((count, TIME_CELLS, SIDE_CELLS, SIDE_CELLS, PLANES), "float32"),
    )


class ScaleTracks:
    """Grows the trajectories of one scale, frame by frame.

    Args:
        factors: `(2,)`, pixels of the first scale per pixel of this one, along `x` and `y`.
        step: of the grid, in pixels of this scale.
    """

    def __init__(self, factors: np.ndarray, step: int) -> None:
        self.factors = np.asarray(factors, "float32")
        self.step = step
        self.growing = begin(np.zeros((0, 2)))

    def sample(self, gray: np.ndarray) -> None:
        """Begins trajectories where there are none and the frame has texture."""
        new = begin(sample_points(gray, self.growing.points, self.step))
        self.growing = Growing(*(np.concatenate(pair) for pair in zip(self.growing, new, strict=True)))

    def advance(self, gray: np.ndarray, flow: np.ndarray, own_flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Follows the flow to the next frame.

            p_(t+1) = p_t + w(round(p_t)),  w the median-filtered flow

        Args:
            gray: uint8 array `(height, width)`, the frame that is left.
            flow: float32 array `(height, width, 2)`, median-filtered.
            own_flow: the flow without the camera's motion.

        Returns:
            Pair of the descriptors `(m, 426)` of trajectories that are finished and kept, and their paths `(m, 16, 2)`
            in pixels of the first scale.
        """
        growing, points = self.growing, self.growing.points
        each = np.arange(len(points))
        limits = np.array(gray.shape[::-1]) - 1
        x, y = np.clip(np.rint(points).astype(int), 0, limits).T
        growing.cells[each, growing.ages * TIME_CELLS // LENGTH] += cell_histograms(
            frame_planes(gray, own_flow), points
        )
        growing.moves[each, growing.ages] = own_flow[y, x]
        growing.paths[each, growing.ages + 1] = moved = points + flow[y, x]
        growing = growing._replace(ages=growing.ages + 1)
        inside = ((moved > 0) & (moved < limits)).all(axis=1)
        finished = growing.ages == LENGTH
        self.growing = growing.choose(inside & ~finished)
        return self._finish(growing.choose(inside & finished))

    def _finish(self, tracks):
        paths, moves = tracks.paths * self.factors, tracks.moves * self.factors
        kept = is_plausible(paths) & moves_by_itself(moves)
        return finish_descriptors(moves[kept], tracks.cells[kept]), paths[kept]


def is_plausible(paths: np.ndarray) -> np.ndarray:
    """Whether paths `(n, 16, 2)` are neither static nor erratic: an array `(n,)` of bool.

    Example:
        >>> steady = np.arange(16)[:, np.newaxis] * np.array([2.0, 0.0])
        >>> jump = np.where(np.arange(16)[:, np.newaxis] < 8, 0.0, [40.0, 0.0])
        >>> is_plausible(np.stack([steady, 0.1 * steady, jump, 10 * steady])).tolist()
        [True, False, False, False]
    """
    deviations = paths.std(axis=1)
    steps = np.linalg.norm(np.diff(paths, axis=1), axis=-1)
    longest = steps.max(axis=1, initial=0)
    jumps = (longest > MOST_STEP) & (longest > MOST_STEP_SHARE * steps.sum(axis=1))
    static = (deviations < LEAST_DEVIATION).all(axis=1)
    return ~static & (deviations <= MOST_DEVIATION).all(axis=1) & ~jumps


def moves_by_itself(moves: np.ndarray) -> np.ndarray:
    """Whether displacements `(n, 15, 2)` without the camera's motion exceed a pixel somewhere: `(n,)` of bool."""
    return np.linalg.norm(moves, axis=-1).max(axis=1, initial=0) > LEAST_STEP
