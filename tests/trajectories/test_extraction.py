"""Trajectories of videos of which is known what moves."""

import numpy as np
import pytest

from keras_fvvae.data import read_video
from keras_fvvae.errors import DataError
from keras_fvvae.trajectories import DESCRIPTORS, TrajectorySettings, extract_trajectories
from keras_fvvae.trajectories.extraction import _Draw
from keras_fvvae.trajectories.tracking import is_plausible, moves_by_itself
from tests.support.synthetic_trajectories import FRAMES, SIDE, make_video
from tests.support.video_files import write_video

# Faster than all of them, and enough where it is not the scales that are tested.
ONE_SCALE = TrajectorySettings(scales=1)
STARTS = np.cumsum([0, *DESCRIPTORS.values()]).tolist()


def part(found, name):
    index = list(DESCRIPTORS).index(name)
    return found.descriptors[:, STARTS[index] : STARTS[index + 1]]


def travelled(found):
    return found.paths[:, -1] - found.paths[:, 0]


@pytest.fixture(scope="module")
def square():
    """A square that moves 3 pixels right a frame."""
    return extract_trajectories(make_video(square=(3, 0)), ONE_SCALE)


def test_a_moving_square(square):
    assert square.frames == FRAMES
    assert square.total == len(square.descriptors) > 100
    assert square.descriptors.shape == (square.total, 426)
    assert square.descriptors.dtype == "float32"
    assert square.paths.shape == (square.total, 16, 2)
    assert square.damage == ""
    assert set(square.ends) <= {15, 16, 17}
    # All of them on the square or drawn along at its border, none the other way, a third with it to a pixel.
    assert (np.abs(square.paths[:, :, 1] - 48) < SIDE / 2 + 5).all()
    assert travelled(square)[:, 0].min() > 0
    assert np.mean(np.abs(travelled(square) - [45, 0]).max(axis=1) < 1) > 0.3


def test_more_scales_find_more(square):
    found = extract_trajectories(make_video(square=(3, 0)))
    assert found.total > 1.5 * square.total
    # Those of the first scale are among them, in the coordinates of the video as all are.
    rows = {row.tobytes() for row in found.paths}
    assert all(row.tobytes() in rows for row in square.paths)
    assert np.percentile(travelled(found)[:, 0], 95) == pytest.approx(45, abs=2)


def test_descriptors_of_a_moving_square(square):
    steady = np.abs(travelled(square) - [45, 0]).max(axis=1) < 1
    assert steady.sum() > 20
    shape = part(square, "trajectory")[steady].reshape(-1, 15, 2)
    assert shape == pytest.approx(np.tile([1 / 15, 0], (len(shape), 15, 1)), abs=0.04)
    assert shape.mean(axis=(0, 1)) == pytest.approx([1 / 15, 0], abs=1e-3)
    hof = part(square, "hof")[steady].reshape(-1, 12, 9)
    assert np.square(hof).sum(axis=(0, 1)).argmax() == 0  # to the right
    for name in ("hog", "hof", "mbhx", "mbhy"):
        assert np.linalg.norm(part(square, name), axis=1) == pytest.approx(np.ones(square.total), rel=1e-5)


@pytest.mark.parametrize(("motion", "direction"), [((-3, 0), 4), ((0, 2), 2), ((0, -2), 6)])
def test_directions(motion, direction):
    found = extract_trajectories(make_video(square=motion), ONE_SCALE)
    steady = np.abs(travelled(found) - 15 * np.array(motion)).max(axis=1) < 2
    assert steady.sum() > 10
    assert np.square(part(found, "hof")[steady].reshape(-1, 9)).sum(axis=0)[:8].argmax() == direction


def test_farneback_finds_the_same():
    found = extract_trajectories(make_video(square=(3, 0)), TrajectorySettings("farneback", scales=1))
    assert np.mean(np.abs(travelled(found) - [45, 0]).max(axis=1) < 3) > 0.2


@pytest.mark.parametrize("camera", [(3, 0), (-2, 2)])
def test_the_camera_alone_leaves_no_trajectories(camera):
    video = make_video(square=None, camera=camera)
    assert extract_trajectories(video).total == 0
    kept = extract_trajectories(video, TrajectorySettings(camera=False))
    assert kept.total > 100
    assert np.median(travelled(kept), axis=0) == pytest.approx(15 * np.array(camera), abs=1)


def test_a_square_in_front_of_a_moving_camera():
    """Trajectories on the square alone, with its own motion in the descriptors: without that of the camera."""
    video = make_video(square=(-4, 0), camera=(2, 0))
    found = extract_trajectories(video, ONE_SCALE)
    assert found.total > 20
    assert (np.abs(found.paths[:, :, 1] - 48) < SIDE / 2 + 12).all()
    steady = np.abs(travelled(found) - [-30, 0]).max(axis=1) < 2
    assert steady.sum() > 10
    kept = extract_trajectories(video, TrajectorySettings(scales=1, camera=False))
    outside = np.abs(kept.paths[:, :, 1] - 48).min(axis=1) > SIDE / 2 + 5
    assert outside.mean() > 0.3
    # The square moves by -2 in the frame and by -4 on the background: a histogram of flow tells them apart by the share
    # of pixels that do not move.
    still = [np.square(part(one, "hof").reshape(-1, 9))[:, 8].mean() for one in (found, kept)]
    assert still[0] > 3 * still[1]


def test_a_still_video_has_none():
    found = extract_trajectories(make_video())
    assert found.descriptors.shape == (0, 426)
    assert found.paths.shape == (0, 16, 2)
    assert found.total == 0


@pytest.mark.parametrize(("count", "some"), [(1, False), (15, False), (16, True)])
def test_a_trajectory_takes_sixteen_frames(count, some):
    found = extract_trajectories(make_video(square=(3, 0), count=count), ONE_SCALE)
    assert (found.total > 0) == some
    assert found.frames == count


def test_at_most_so_many_and_always_the_same(square):
    video = make_video(square=(3, 0))
    some, same = (extract_trajectories(video, TrajectorySettings(scales=1, most=40)) for _ in range(2))
    assert some.total == square.total
    assert some.descriptors.shape == (40, 426)
    assert np.array_equal(some.descriptors, same.descriptors)
    rows = {row.tobytes() for row in square.descriptors}
    assert all(row.tobytes() in rows for row in some.descriptors)
    other = extract_trajectories(video, TrajectorySettings(scales=1, most=40, seed=1))
    assert not np.array_equal(some.descriptors, other.descriptors)


def test_the_draw_is_even():
    rows = np.zeros((1000, 459), "float32")
    rows[:, 0] = np.arange(1000)
    counts = np.zeros(1000)
    for seed in range(200):
        draw = _Draw(100, seed)
        for start in range(0, 1000, 7):
            draw.add(rows[start : start + 7])
        drawn = draw.rows()[:, 0].astype(int)
        assert len(set(drawn)) == 100
        assert (np.diff(drawn) > 0).all()
        counts[drawn] += 1
    tenths = counts.reshape(10, 100).sum(axis=1)  # 2,000 each, with a standard deviation of 42
    assert np.abs(tenths - 2000).max() < 4 * 42


def test_larger_frames_are_reduced_and_paths_are_those_of_the_video():
    video = make_video(square=(4, 0)).repeat(2, axis=1).repeat(2, axis=2)
    found = extract_trajectories(video, TrajectorySettings(longest_side=128, scales=1))
    small = extract_trajectories(make_video(square=(4, 0)), ONE_SCALE)
    assert found.total == pytest.approx(small.total, rel=0.2)
    assert np.percentile(travelled(found)[:, 0], 75) == pytest.approx(120, abs=6)
    assert np.percentile(travelled(small)[:, 0], 75) == pytest.approx(60, abs=3)


def test_small_frames():
    assert extract_trajectories(make_video(size=(52, 52)), TrajectorySettings()).total == 0
    with pytest.raises(DataError, match="frames of 60x31 pixels are too small for trajectories"):
        extract_trajectories(np.zeros((20, 31, 60, 3), "uint8"))


def test_a_file_that_lies_about_its_length(tmp_path):
    """It is read twice: trajectories are those of the frames there are, and not twice."""
    video = make_video(square=(2, 0), count=30)
    path = write_video(tmp_path / "v.avi", video)
    whole = extract_trajectories(path, ONE_SCALE)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.8)])
    cut = extract_trajectories(path, ONE_SCALE)
    assert 16 < cut.frames < whole.frames == 30
    assert "truncated" in cut.damage
    assert 0 < cut.total < whole.total
    assert np.array_equal(cut.descriptors[:20], whole.descriptors[:20])


def test_plausible_paths():
    rng = np.random.default_rng(0)
    steady = np.arange(16)[:, np.newaxis] * np.array([1.0, 0.5])
    jump = np.where(np.arange(16)[:, np.newaxis] > 7, [25.0, 0.0], [0.0, 0.0])
    paths = np.stack([steady, 0.2 * steady, 12 * steady, rng.normal(size=(16, 2)), jump])
    assert is_plausible(paths).tolist() == [True, False, False, False, False]
    moves = np.zeros((3, 15, 2))
    moves[1, 4], moves[2, 4] = (0.8, -0.8), (0.6, 0.6)
    assert moves_by_itself(moves).tolist() == [False, True, False]


@pytest.mark.parametrize("wrong", [{"method": "tvl1"}, {"step": 0}, {"scales": 0}, {"longest_side": 31}, {"most": 0}])
def test_settings_that_cannot_work(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must be .*Received: "):
        TrajectorySettings(**wrong)


def test_a_real_clip(shared):
    path = shared / "data" / "ucf101" / "UCF-101" / "ApplyEyeMakeup" / "v_ApplyEyeMakeup_g01_c01.avi"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    frames = read_video(path, lambda total: range(30, 47), to_the_end=False).frames
    found = extract_trajectories(np.stack(list(frames.values())), TrajectorySettings(scales=1, longest_side=160))
    assert 10 < found.total < 400
    assert np.isfinite(found.descriptors).all()
    # The hand and the face on the right move, the room on the left is still.
    assert (found.paths[:, 0, 0] > 160).mean() > 0.8
