"""The camera's motion is found and taken away."""

import itertools

import cv2
import numpy as np
import pytest

from keras_fvvae.data.readers.flow import optical_flow
from keras_fvvae.trajectories.camera import CameraMotion, align
from tests.support.synthetic_trajectories import make_video, texture

MOTIONS = {
    "pan": np.array([[1, 0, 3], [0, 1, -2], [0, 0, 1]], float),
    "zoom and roll": np.array([[1.02, -0.015, 1], [0.015, 1.02, -1], [0, 0, 1]], float),
    "tilt": np.array([[1, 0, 0], [0, 1, 2], [8e-5, 0, 1]], float),
}


def places(homography, points):
    return cv2.perspectiveTransform(np.float64(points)[np.newaxis], homography)[0]


@pytest.mark.parametrize("name", MOTIONS)
def test_known_motion(name):
    previous = texture(120, 160)
    following = cv2.warpPerspective(previous, MOTIONS[name], (160, 120), borderMode=cv2.BORDER_REFLECT)
    found = CameraMotion().homography(previous, following, optical_flow(previous, following))
    inner = [(20, 20), (140, 20), (140, 100), (20, 100), (80, 60)]
    assert np.abs(places(found, inner) - places(MOTIONS[name], inner)).max() < 0.4
    difference = np.abs(align(following, previous, found).astype(int) - previous)
    assert difference[10:-10, 10:-10].mean() < 4
    assert np.abs(following.astype(int) - previous)[10:-10, 10:-10].mean() > 12


def test_what_moves_by_itself_is_not_followed():
    """A square on a fifth of the frame, against the camera's motion; features are kept from pair to pair."""
    frames = make_video(square=(6, 0), camera=(-2, 1), count=4)[..., 0]
    camera = CameraMotion()
    for previous, following in itertools.pairwise(frames):
        found = camera.homography(previous, following, optical_flow(previous, following))
        assert places(found, [(10, 10), (118, 86)]) == pytest.approx(np.array([(8, 11), (116, 87)]), abs=0.4)
        again = CameraMotion().homography(previous, following, optical_flow(previous, following))
        assert np.array_equal(found, again)


def test_where_nothing_is_seen_nothing_is_said():
    blank, rich = np.full((96, 128), 90, "uint8"), texture(96, 128)
    flow = np.zeros((96, 128, 2), "float32")
    assert CameraMotion().homography(blank, blank, flow) is None
    assert CameraMotion().homography(blank, rich, flow) is None


def test_outside_of_the_next_frame_is_the_previous_one():
    previous, following = texture(60, 80), texture(60, 80, seed=1)
    shift = np.array([[1, 0, 20], [0, 1, 0], [0, 0, 1]], float)
    aligned = align(following, previous, shift)
    assert np.array_equal(aligned[:, 60:], previous[:, 60:])
    assert np.array_equal(aligned[5:-5, :50], following[5:-5, 20:70])
    assert np.array_equal(aligned[:5], previous[:5])
