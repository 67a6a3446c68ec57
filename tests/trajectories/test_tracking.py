"""Trajectories of one scale in flow that is given, not computed."""

import numpy as np
import pytest

from keras_fvvae.trajectories.tracking import ScaleTracks
from tests.support.synthetic_trajectories import texture

GRAY = texture(70, 80)
RIGHT, DOWN, LEFT = (2.0, 0.0), (0.0, 2.0), (-2.0, 0.0)


def field(motion):
    return np.tile(np.float32(motion), (*GRAY.shape, 1))


def grow(motions, own=None, factors=(1, 1)):
    """Descriptors and paths of what begins on the first frame and follows these motions."""
    tracks = ScaleTracks(factors, 5)
    tracks.sample(GRAY)
    for motion, own_motion in zip(motions, own or motions, strict=True):
        found = tracks.advance(GRAY, field(motion), field(own_motion))
    return found


@pytest.mark.parametrize("factors", [(1, 1), (2, 1.5)])
def test_paths_follow_the_flow(factors):
    _, paths = grow([RIGHT] * 5 + [DOWN] * 10, factors=factors)
    steps = np.diff(paths, axis=1) / np.array(factors)
    assert len(paths) > 50
    assert steps[:, :5] == pytest.approx(np.tile(RIGHT, (len(paths), 5, 1)), abs=1e-4)
    assert steps[:, 5:] == pytest.approx(np.tile(DOWN, (len(paths), 10, 1)), abs=1e-4)
    # What would leave the frame is gone: the last 10 columns and 20 rows.
    assert paths[:, 0, 0].max() < factors[0] * 70
    assert paths[:, 0, 1].max() < factors[1] * 50


def test_cells_of_time_are_in_order():
    descriptors, _ = grow([RIGHT] * 5 + [DOWN] * 5 + [LEFT] * 5)
    hof = descriptors[:, 126:234].reshape(-1, 3, 4, 9)
    assert (hof.argmax(axis=3) == np.array([0, 2, 4])[:, np.newaxis]).all()
    shape = descriptors[:, :30].reshape(-1, 3, 5, 2)
    assert shape[0, :, 0] == pytest.approx(np.array([RIGHT, DOWN, LEFT]) / 30, abs=1e-6)


def test_the_shape_is_that_without_the_camera():
    descriptors, paths = grow([RIGHT] * 15, own=[DOWN] * 15)
    assert paths[0, -1] - paths[0, 0] == pytest.approx([30, 0], abs=1e-4)
    assert descriptors[0, :30].reshape(15, 2) == pytest.approx(np.tile([0, 1 / 15], (15, 1)), abs=1e-6)
    assert len(grow([RIGHT] * 15, own=[(0.5, 0)] * 15)[0]) == 0
    assert len(grow([(0.1, 0)] * 15, own=[RIGHT] * 15)[0]) == 0


def test_new_points_begin_where_there_are_none():
    tracks = ScaleTracks((1, 1), 5)
    tracks.sample(GRAY)
    count = len(tracks.growing.ages)
    tracks.sample(GRAY)
    assert len(tracks.growing.ages) == count
    tracks.advance(GRAY, field((20, 0)), field((20, 0)))
    left = len(tracks.growing.ages)
    tracks.sample(GRAY)
    assert left < count < len(tracks.growing.ages) + 15
    assert (tracks.growing.ages[:left] == 1).all()
    assert (tracks.growing.ages[left:] == 0).all()
    assert tracks.growing.points[left:, 0].max() <= 20 + 5
