"""The embedded videos: files, repeatability, and that motion, and only motion, tells opposite classes apart."""

import itertools
import json

import av
import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from keras_fvvae.data.datasets import moving_digits
from keras_fvvae.data.datasets.digits import load_digits
from keras_fvvae.data.datasets.moving_digits import (
    MOTIONS,
    OPPOSITES,
    draw_moving_digit,
    load_moving_digits,
    write_moving_digits,
)
from keras_fvvae.errors import DataError

FLOW = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
BRIGHT = 130  # gray level between background and digit


def decode(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def gray(frames):
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])


def ink(frames):
    """Brightness above the background, for moments of the digit."""
    return np.clip(gray(frames).astype(float) - 110, 0, None)


def moments(picture):
    """Ink, its centre (x, y), and the angle of its longer axis in degrees, clockwise."""
    found = cv2.moments(picture)
    angle = np.rad2deg(np.arctan2(2 * found["mu11"], found["mu20"] - found["mu02"]) / 2)
    return found["m00"], np.array([found["m10"], found["m01"]]) / found["m00"], angle


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """The default data set with its decoded frames."""
    collection = load_moving_digits(tmp_path_factory.mktemp("digits"), verbose=0)
    return collection, [decode(source) for source in collection.sources]


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_collection(videos):
    collection, frames = videos
    assert collection.kind == "video"
    translations = ["move_left", "move_right", "move_up", "move_down"]
    others = ["rotate_clockwise", "rotate_counterclockwise", "grow", "shrink"]
    assert collection.class_names == list(MOTIONS) == translations + others
    assert {
        split: np.bincount(collection.labels[collection.indices(split)]).tolist() for split in ("train", "test")
    } == {
        "train": [20] * 8,
        "test": [10] * 8,
    }
    for name, split, label, source in zip(
        collection.names, collection.splits, collection.labels, collection.sources, strict=True
    ):
        assert name.split("/")[:2] == [split, MOTIONS[label]]
        assert source.is_file()
        assert source.as_posix().endswith(name)
    assert {video.shape for video in frames} == {(16, 64, 64, 3)}


def test_avi_and_mp4_in_turn(videos):
    for source in videos[0].sources:
        expected = ("mpeg4", ".avi") if int(source.stem[-3:]) % 2 == 0 else ("h264", ".mp4")
        with av.open(str(source)) as container:
            stream = container.streams.video[0]
            assert (stream.codec.name, source.suffix) == expected
            assert (stream.frames, stream.average_rate) == (16, 25)


def test_opposite_videos_of_a_drawing_are_one_group(videos):
    collection, _ = videos
    groups = {}
    for name, group in zip(collection.names, collection.groups, strict=True):
        groups.setdefault(group, []).append(name)
    assert len(groups) == 120
    assert {len(names) for names in groups.values()} == {2}
    assert groups["test-grow-or-shrink-003"] == ["test/grow/grow_003.mp4", "test/shrink/shrink_003.mp4"]


def flow_over_digit(frames):
    """Mean over the digit and over time of the flow (x, y), and of its turning (clockwise) and its growth."""
    pictures, rows = gray(frames), []
    for previous, following in itertools.pairwise(pictures):
        flow = FLOW.calc(previous, following, None)
        y, x = np.nonzero(previous > BRIGHT)
        u, v = flow[y, x].T
        x, y = x - x.mean(), y - y.mean()
        rows.append([u.mean(), v.mean(), (x * v - y * u).mean(), (x * u + y * v).mean()])
    return np.mean(rows, axis=0)


def test_flow_of_decoded_frames_points_in_the_direction_of_the_class(videos):
    collection, decoded = videos
    # In the order of the classes: component of the flow, and its sign.
    expected = [(0, -1), (0, 1), (1, -1), (1, 1), (2, 1), (2, -1), (3, 1), (3, -1)]
    right = {motion: [] for motion in MOTIONS}
    for label, frames in zip(collection.labels, decoded, strict=True):
        flow, (axis, sign) = flow_over_digit(frames), expected[label]
        along = abs(flow[1 - axis]) < abs(flow[axis]) if axis < 2 else True
        right[MOTIONS[label]].append(sign * flow[axis] > 0 and along)
    shares = {motion: np.mean(values) for motion, values in right.items()}
    assert min(shares.values()) >= 0.95, shares


@pytest.mark.parametrize("pair", OPPOSITES)
def test_frames_alone_do_not_tell_opposite_motions_apart(videos, pair):
    collection, decoded = videos

    def features(split, motion, moments_of_time):
        rows = [i for i in collection.indices(split) if MOTIONS[collection.labels[i]] == motion]
        pictures = np.concatenate([decoded[i][moments_of_time] for i in rows])
        return np.stack([cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA).ravel() for picture in pictures])

    def accuracy(moments_of_time):
        (train, train_labels), (test, test_labels) = (
            (np.concatenate(parts) / 255.0, np.repeat([0, 1], len(parts[0])))
            for parts in ([features(split, motion, moments_of_time) for motion in pair] for split in ("train", "test"))
        )
        return LogisticRegression(max_iter=200).fit(train, train_labels).score(test, test_labels)

    assert abs(accuracy(slice(None)) - 0.5) < 0.05
    # The two middle frames, where the encoder's key frames could give time away.
    assert abs(accuracy(slice(7, 9)) - 0.5) < 0.2
    if pair == ("move_left", "move_right"):
        assert accuracy(slice(0, 1)) > 0.7  # this classifier does see where a digit is


@pytest.mark.parametrize("pair", OPPOSITES)
@pytest.mark.parametrize("seed", [0, 7])
def test_opposite_motions_are_each_other_played_backwards(pair, seed):
    first, second = (draw_moving_digit(load_digits().read(5), motion, seed=seed) for motion in pair)
    np.testing.assert_array_equal(first, second[::-1])
    assert (first != second).any()


def test_opposite_files_are_each_other_played_backwards(videos):
    collection, decoded = videos
    by_name = dict(zip(collection.names, decoded, strict=True))
    for split in ("train", "test"):
        for first, second in OPPOSITES:
            for name in ("{}_002.avi", "{}_003.mp4"):
                one, other = (by_name[f"{split}/{motion}/{name.format(motion)}"] for motion in (first, second))
                backwards, forwards = (np.abs(one.astype(int) - frames).mean() for frames in (other[::-1], other))
                assert backwards < 2
                assert forwards > 1.5 * backwards


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize(("frames", "size"), [(16, 64), (32, 64), (2, 32), (16, 128)])
def test_digit_stays_inside_on_a_static_background(motion, frames, size):
    digits = load_digits()
    for seed in range(12):
        drawn = draw_moving_digit(digits.read(seed), motion, frames, size, seed).astype(int)
        assert drawn.shape == (frames, size, size, 3)
        border = np.concatenate([drawn[:, 0], drawn[:, -1], drawn[:, :, 0], drawn[:, :, -1]], axis=1)
        assert np.ptp(border, axis=0).max() <= 2
        assert border.max() < BRIGHT < drawn.max()
        assert border.std(axis=1).mean() > 4  # textured


@pytest.mark.parametrize(("size", "scale"), [(64, 1), (128, 2)])
def test_speeds(size, scale):
    digits = load_digits()
    for seed in range(10):
        for motion, axis, sign in (("move_left", 0, -1), ("move_down", 1, 1)):
            found = [moments(picture) for picture in ink(draw_moving_digit(digits.read(seed), motion, 16, size, seed))]
            steps = np.diff([centre for _, centre, _ in found], axis=0)
            assert 0.95 * scale <= sign * steps[:, axis].mean() <= 3.05 * scale
            assert np.abs(steps[:, 1 - axis]).max() < 0.25 * scale
            assert np.ptp(steps[:, axis]) < 0.5 * scale  # constant, to fractions of a pixel
        # Digits 1 and 0 are long: their angle is well defined.
        turning = ink(
            draw_moving_digit(digits.read(digits.labels.tolist().index(seed % 2)), "rotate_clockwise", 16, size, seed)
        )
        steps = np.diff([angle for _, _, angle in map(moments, turning)])
        assert 4.5 < np.median((steps + 90) % 180 - 90) < 8.5
        amounts = np.array(
            [amount for amount, _, _ in map(moments, ink(draw_moving_digit(digits.read(seed), "grow", 16, size, seed)))]
        )
        assert 1.035 < (amounts[-1] / amounts[0]) ** (1 / 30) < 1.07


def test_training_and_test_videos_show_digits_of_their_half(tmp_path, monkeypatch):
    shown = {}

    def spy(digit, motion, *arguments):
        shown.setdefault(motion, []).append(digit)
        return draw_moving_digit(digit, motion, *arguments)

    monkeypatch.setattr(moving_digits, "draw_moving_digit", spy)
    write_moving_digits(tmp_path, 12, 8, frames=2, verbose=0)
    digits = load_digits()
    halves = {split: {digits.read(i).tobytes() for i in digits.indices(split)} for split in ("train", "test")}
    for first, second in OPPOSITES:
        drawn = [digit.tobytes() for digit in shown[first]]
        assert drawn == [digit.tobytes() for digit in shown[second]]
        assert set(drawn[:12]) <= halves["train"] - halves["test"]
        assert set(drawn[12:]) <= halves["test"] - halves["train"]
        assert len(set(drawn)) > 15
    assert {d.tobytes() for d in shown["grow"]} != {d.tobytes() for d in shown["move_up"]}


def test_the_seed_decides_every_byte(tmp_path):
    settings = {"train_videos_per_class": 2, "test_videos_per_class": 2, "frames": 6, "verbose": 0}
    one, same, other = (
        contents(write_moving_digits(tmp_path / name, seed=seed, **settings))
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert one == same
    assert set(one) == set(other)
    assert not [name for name in one if one[name] == other[name]]
    assert len(set(one.values())) == len(one)


def test_a_second_call_returns_at_once_and_repairs_what_is_missing(tmp_path, monkeypatch):
    write_moving_digits(tmp_path, 1, 1, frames=np.int64(4), verbose=0)
    before = contents(tmp_path)
    assert json.loads(before["moving_digits.json"])["frames"] == 4
    (tmp_path / "test/grow/grow_000.avi").unlink()
    write_moving_digits(tmp_path, 1, 1, frames=4, verbose=0)
    assert contents(tmp_path) == before
    monkeypatch.setattr(moving_digits, "draw_moving_digit", None)  # nothing is drawn
    write_moving_digits(tmp_path, 1, 1, frames=np.int64(4), verbose=0)
    assert len(load_moving_digits(tmp_path, 1, 1, frames=4, verbose=0)) == 16


def test_an_interrupted_call_can_be_repeated(tmp_path, monkeypatch):
    expected = contents(write_moving_digits(tmp_path / "whole", 2, 1, frames=4, verbose=0))
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return draw_moving_digit(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(moving_digits, "draw_moving_digit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_moving_digits(tmp_path / "cut", 2, 1, frames=4, verbose=0)
    left = contents(tmp_path / "cut")
    assert len(left) == 5
    assert left.items() <= expected.items()
    damaged = tmp_path / "cut" / next(iter(left))
    damaged.write_bytes(b"half")
    assert contents(write_moving_digits(tmp_path / "cut", 2, 1, frames=4, verbose=0)) == expected


def test_another_call_with_other_settings_is_refused(tmp_path):
    write_moving_digits(tmp_path, 1, 1, frames=4, verbose=0)
    with pytest.raises(DataError, match=r"holds moving digits of other settings \(frames=4, not 5; seed=0, not 1\)"):
        write_moving_digits(tmp_path, 1, 1, frames=5, seed=1, verbose=0)
    with pytest.raises(DataError, match="other settings"):
        load_moving_digits(tmp_path, verbose=0)


def test_folders_that_cannot_be_used(tmp_path):
    settings = {"train_videos_per_class": 1, "test_videos_per_class": 1, "frames": 2, "verbose": 0}
    (tmp_path / "taken/train/grow").mkdir(parents=True)
    (tmp_path / "taken/train/grow/mine.avi").write_bytes(b"")
    with pytest.raises(DataError, match="holds another file, train/grow/mine.avi"):
        write_moving_digits(tmp_path / "taken", **settings)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written to .*Not a directory"):
        write_moving_digits(tmp_path / "file", **settings)
    write_moving_digits(tmp_path / "damaged", **settings)
    (tmp_path / "damaged/moving_digits.json").write_text("{")
    with pytest.raises(DataError, match="is damaged; delete"):
        write_moving_digits(tmp_path / "damaged", **settings)


def test_default_directory_is_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    collection = load_moving_digits(None, 1, 1, frames=2, verbose=0)
    assert (tmp_path / ".cache/keras_fvvae/moving_digits/moving_digits.json").is_file()
    assert collection.sources[0].is_relative_to(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [{"train_videos_per_class": 0}, {"test_videos_per_class": 0}, {"frames": 1}, {"frames": 33}, {"size": 63},
     {"size": 30}, {"seed": -1}],
)  # fmt: skip
def test_arguments(tmp_path, arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}` must"):
        write_moving_digits(tmp_path / "new", verbose=0, **arguments)
    assert not (tmp_path / "new").exists()


def test_unknown_motion():
    with pytest.raises(ValueError, match="`motion` must be one of"):
        draw_moving_digit(load_digits().read(0), "jump")
