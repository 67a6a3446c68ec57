"""Where trajectories begin."""

import numpy as np
import pytest

from keras_fvvae.trajectories.sampling import sample_points, scale_sizes
from tests.support.synthetic_trajectories import texture


def test_scales_of_ucf101():
    sizes = scale_sizes(240, 320, 8, 32)
    assert sizes == [(240, 320), (170, 226), (120, 160), (85, 113), (60, 80), (42, 57)]
    assert scale_sizes(240, 320, 2, 32) == sizes[:2]
    assert len(scale_sizes(480, 640, 8, 32)) == 8
    assert scale_sizes(31, 320, 8, 32) == []


@pytest.mark.parametrize("step", [5, 4])
def test_one_point_in_the_middle_of_every_textured_cell(step):
    gray = texture(43, 58)
    gray[:, 30:] = 100
    points = sample_points(gray, np.zeros((0, 2)), step)
    assert points.dtype == "float32"
    assert len(np.unique(points, axis=0)) == len(points)
    assert (points % step == step // 2).all()
    assert len(points) > 0.8 * (43 // step) * (30 // step)
    assert points[:, 0].max() < 33  # nothing where there is no texture
    assert points[:, 1].max() < 43


def test_the_threshold_is_a_share_of_the_largest_eigenvalue():
    """Eigenvalues are squares of gradients: a contrast of 1 / 40 is 1 / 1,600 of them, one of 1 / 20 is 1 / 400."""
    strong = np.tile(255 * (np.indices((40, 40)) // 4).sum(axis=0) % 510, 1)
    for contrast, found in ((20, True), (40, False)):
        gray = np.concatenate([strong, strong / contrast], axis=1).astype("uint8")
        assert (sample_points(gray, np.zeros((0, 2)), 5)[:, 0] > 45).any() == found


def test_occupied_cells_are_left_out():
    gray = texture(40, 60)
    every = sample_points(gray, np.zeros((0, 2)), 5)
    taken = every[::3] + 2.4  # within the same cells
    rest = sample_points(gray, taken, 5)
    assert {tuple(point) for point in every.tolist()} - {tuple(point) for point in rest.tolist()} == {
        tuple(point) for point in every[::3].tolist()
    }
    assert len(sample_points(gray, every, 5)) == 0


def test_a_flat_frame_has_no_points():
    assert len(sample_points(np.full((40, 60), 7, "uint8"), np.zeros((0, 2)), 5)) == 0
