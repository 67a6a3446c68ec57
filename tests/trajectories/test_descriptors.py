"""Histograms around trajectories, against loops written from their definition."""

import numpy as np
import pytest

from keras_fvvae.trajectories.descriptors import (
    BINS,
    DESCRIPTORS,
    cell_histograms,
    finish_descriptors,
    frame_planes,
    orientation_planes,
)
from tests.support.synthetic_trajectories import texture


@pytest.mark.parametrize("least", [None, 0.4])
def test_orientation_planes_by_a_loop(least):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 7, 9)).astype("float32")
    x[0, :3], y[0, :3] = (0, -1, 0.1), (0, 0, 0.1)
    planes = orientation_planes(x, y, least)
    expected = np.zeros_like(planes)
    assert len(expected) == (8 if least is None else 9)
    for row, column in np.ndindex(x.shape):
        length = np.hypot(x[row, column], y[row, column])
        if least is not None and length <= least:
            expected[8, row, column] = 1
            continue
        position = np.arctan2(y[row, column], x[row, column]) % (2 * np.pi) / (np.pi / 4)
        lower = int(position)
        expected[lower % 8, row, column] += length * (1 - position + lower)
        expected[(lower + 1) % 8, row, column] += length * (position - lower)
    assert planes == pytest.approx(expected, abs=2e-3)  # OpenCV's angles are good to 0.01 degrees
    if least is None:
        assert planes.sum(axis=0) == pytest.approx(np.hypot(x, y), rel=1e-5)


def test_cells_by_a_loop():
    """Patches at the borders are moved inside."""
    planes = np.random.default_rng(0).random((3, 50, 61)).astype("float32")
    points = np.array([[30.2, 25.4], [0.0, 0.0], [60.0, 49.0], [16.0, 34.0], [44.6, 16.5]])
    corners = [(14, 9), (0, 0), (29, 18), (0, 18), (29, 0)]
    found = cell_histograms(planes, points)
    assert found.shape == (5, 2, 2, 3)
    assert found.dtype == "float32"
    for histogram, (x, y) in zip(found, corners, strict=True):
        for row, column, plane in np.ndindex(2, 2, 3):
            top, left = y + 16 * row, x + 16 * column
            expected = planes[plane, top : top + 16, left : left + 16].sum(dtype="float64")
            assert histogram[row, column, plane] == pytest.approx(expected, rel=1e-6)


def test_no_points():
    assert cell_histograms(np.ones((33, 40, 40), "float32"), np.zeros((0, 2))).shape == (0, 2, 2, 33)


def parts(planes):
    """The planes of each descriptor, by name."""
    return dict(zip(BINS, np.split(planes, np.cumsum(list(BINS.values()))[:-1]), strict=True))


def test_planes_of_a_frame():
    """A ramp to the right; flow down that grows to the right."""
    gray = np.tile(np.arange(0, 160, 4, dtype="uint8"), (40, 1))
    flow = np.zeros((40, 40, 2), "float32")
    flow[..., 1] = 1 + 0.1 * np.arange(40)
    found = {name: planes[:, 5:-5, 5:-5].mean(axis=(1, 2)) for name, planes in parts(frame_planes(gray, flow)).items()}
    assert found["hog"] == pytest.approx([8, 0, 0, 0, 0, 0, 0, 0], abs=1e-3)
    assert found["hof"] == pytest.approx([0, 0, flow[5:-5, 5:-5, 1].mean(), 0, 0, 0, 0, 0, 0], abs=1e-2)
    assert found["mbhx"] == pytest.approx(np.zeros(8), abs=1e-6)
    assert found["mbhy"] == pytest.approx([0.2, 0, 0, 0, 0, 0, 0, 0], abs=1e-4)


def test_motion_boundaries_do_not_see_a_constant_motion():
    gray, flow = texture(40, 50), np.random.default_rng(0).normal(size=(40, 50, 2)).astype("float32")
    one, other = (parts(frame_planes(gray, flow + shift)) for shift in (0, np.float32([3, -5])))
    assert np.abs(one["hof"] - other["hof"]).max() > 1
    for name in ("mbhx", "mbhy"):
        assert one[name] == pytest.approx(other[name], abs=1e-2)


def test_no_motion_counts_pixels():
    found = parts(frame_planes(texture(40, 50), np.full((40, 50, 2), 0.2, "float32")))
    assert (found["hof"][8] == 1).all()
    assert not found["hof"][:8].any()


def test_lengths_are_those_of_the_paper():
    assert DESCRIPTORS == {"trajectory": 30, "hog": 96, "hof": 108, "mbhx": 96, "mbhy": 96}


def test_normalisation():
    rng = np.random.default_rng(0)
    moves = rng.normal(size=(4, 15, 2)).astype("float32")
    cells = (100 * rng.random((4, 3, 2, 2, 33))).astype("float32")
    cells[3] = 0
    cells[2, ..., 8:17] *= 1000  # HOF alone
    found = finish_descriptors(moves, cells)
    assert found.shape == (4, 426)
    assert found.dtype == "float32"
    pieces = dict(zip(DESCRIPTORS, np.split(found, np.cumsum(list(DESCRIPTORS.values()))[:-1], axis=1), strict=True))
    shape = pieces.pop("trajectory").reshape(4, 15, 2)
    assert np.linalg.norm(shape, axis=2).sum(axis=1) == pytest.approx(np.ones(4), rel=1e-5)
    assert shape[1] / shape[1, 0, 0] == pytest.approx(moves[1] / moves[1, 0, 0], rel=1e-4)
    for piece in pieces.values():
        assert np.linalg.norm(piece, axis=1) == pytest.approx(np.ones(4), rel=1e-5)
        assert piece[3] == pytest.approx(np.full(piece.shape[1], piece.shape[1] ** -0.5), rel=1e-5)
    # By the definition: time, row, column, bin; L1, then the root.
    hof = cells[1, ..., 8:17].ravel() + 0.25
    assert pieces["hof"][1] == pytest.approx(np.sqrt(hof / hof.sum()), rel=1e-5)
