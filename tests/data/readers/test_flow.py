"""Signs, exactness and order of optical flow; and that flow stored beforehand is the same."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from keras_fvvae.data import Collection, FlowSettings, Views, optical_flow, quantize_flow
from keras_fvvae.data.readers.flow import (
    METHODS,
    STACK,
    FlowFolder,
    dequantize_flow,
    flow_at,
    flow_image,
    has_flow,
    mirror_flow,
)
from keras_fvvae.data.views import read_resized
from keras_fvvae.errors import DataError
from tests.support.video_files import broken_videos, numbered_frames, read_number

HEIGHT, WIDTH = 48, 64


def texture(height=HEIGHT, width=WIDTH, seed=0):
    """Blurred noise in RGB that wraps around, so that `np.roll` is an exact motion."""
    noise = np.random.default_rng(seed).random((height, width, 3)).astype("float32")
    tiled = cv2.GaussianBlur(np.tile(noise, (3, 3, 1)), (0, 0), 2)[height : 2 * height, width : 2 * width]
    return np.uint8(255 * (tiled - tiled.min()) / np.ptp(tiled))


def moving(motions, **options):
    """Frames of which each is moved against the one before by `(right, down)` pixels."""
    frames = [texture(**options)]
    for right, down in motions:
        frames.append(np.roll(frames[-1], (right, down), axis=(1, 0)))
    return np.stack(frames)


def video(frames):
    return Collection([frames], ["a"], [0], ["train"], ["x"], kind="video")


def read(frames, views, random=None):
    return read_resized(video(frames), 0, [views], random)[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("motion", [(2, 0), (-2, 0), (0, 1), (0, -1), (3, -2)])
def test_right_and_down_are_positive(method, motion):
    flow = optical_flow(*moving([motion]), method)
    assert flow.shape == (HEIGHT, WIDTH, 2)
    assert flow.dtype == "float32"
    assert np.median(flow, axis=(0, 1)) == pytest.approx(motion, abs=0.1)


def test_gray_frames_are_those_of_the_colors():
    frames = moving([(2, 1)])
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    assert np.array_equal(optical_flow(*frames), optical_flow(*gray))


def test_frames_of_two_shapes():
    with pytest.raises(ValueError, match=r"one shape. Received: shape=\(48, 64, 3\) and shape=\(48, 63, 3\)"):
        optical_flow(texture(), texture(width=63))


@pytest.mark.parametrize("shape", [(15, 100), (100, 15), (8, 8)])
def test_frames_too_small_for_opencv_are_refused(shape):
    with pytest.raises(DataError, match=f"frames of {shape[1]}x{shape[0]} pixels are too small for optical flow"):
        optical_flow(texture(*shape), texture(*shape))


@pytest.mark.parametrize("shape", [(16, 16), (16, 100), (16, 1000), (300, 16)])
def test_the_smallest_frames(shape):
    """OpenCV 5.0 ends the process with a segmentation fault on 15x100."""
    assert np.isfinite(optical_flow(texture(*shape), texture(*shape, seed=1))).all()


def test_unknown_settings():
    with pytest.raises(ValueError, match="`method` must be one of .* Received: method='tvl1'"):
        FlowSettings("tvl1")
    with pytest.raises(ValueError, match="`method` must be one of .* Received: method='tvl1'"):
        optical_flow(texture(), texture(), "tvl1")
    for bound in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="`bound` must be positive"):
            FlowSettings(bound=bound)


def _pairs():
    return [moving([(2, 1)], height=h, width=w, seed=h) for h, w in ((48, 64), (240, 320), (33, 47), (16, 16))]


def test_flow_does_not_depend_on_what_was_computed_before():
    """A DIS object of OpenCV that has seen small frames is another one from then on."""
    pairs = _pairs()
    before = [optical_flow(*pair) for pair in pairs]  # the smallest last
    after = [optical_flow(*pair) for pair in pairs]
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one, other)


def test_flow_in_threads():
    pairs = _pairs()
    with ThreadPoolExecutor(4) as pool:
        for number, flow in enumerate(pool.map(lambda pair: optical_flow(*pair), pairs * 4)):
            assert np.array_equal(flow, optical_flow(*pairs[number % 4]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bound", [1.0, 7.0, 12.5, 20.0, 25.0, 50.0, 0.3])
def test_quantisation_of_nothing_and_of_the_bounds(bound, dtype):
    values = np.array([-10 * bound, -bound, -0.0, 0.0, bound, 10 * bound], dtype)
    assert quantize_flow(values, bound).tolist() == [0, 0, 128, 128, 255, 255]
    assert quantize_flow(values, bound).dtype == "uint8"
    assert dequantize_flow([0, 128, 255], bound) == pytest.approx([-bound, 0, bound], rel=1e-6)


def test_quantisation_is_the_formula_and_its_inverse():
    flow = np.linspace(-20, 20, 4001)
    exact = 255 * (flow + 20) / 40
    assert np.abs(quantize_flow(flow) - exact).max() <= 0.5 + 1e-9
    errors = np.abs(dequantize_flow(quantize_flow(flow)) - flow)
    assert errors[quantize_flow(flow) != 128].max() <= 20 / 255 + 1e-5
    assert errors.max() <= 40 / 255 + 1e-5
    values = np.arange(256)
    assert np.array_equal(quantize_flow(dequantize_flow(values)), np.where(values == 127, 127, values))


def test_magnitude_is_the_third_channel():
    x, y = np.array([0.0, 3.0, -20.0, 0.0]), np.array([0.0, -4.0, 20.0, 5.0])
    image = flow_image(quantize_flow(np.stack([x, y], axis=-1)))
    assert image[0].tolist() == [128, 128, 128]
    assert np.array_equal(image[..., :2], quantize_flow(np.stack([x, y], axis=-1)))
    assert np.abs(dequantize_flow(image[..., 2]) - [0, 5, 20, 5]).max() < 0.2  # beyond the bound is clipped


@pytest.mark.parametrize("channels", [3, 2, 2 * STACK])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_mirrored_flow_is_the_flow_of_the_mirrored_picture(channels, dtype):
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, channels)).astype(dtype)
    images[0, 0, :3] = np.array([0, 128, 255])[:, np.newaxis]
    mirrored = np.asarray(mirror_flow(images))
    horizontal = [0] if channels == 3 else range(0, channels, 2)
    assert mirrored.dtype == dtype
    for channel in range(channels):
        expected = images[:, :, ::-1, channel].astype(float)
        if channel in horizontal:
            expected = np.minimum(256 - expected, 255)
        assert np.array_equal(mirrored[..., channel], expected), channel
    assert mirrored[0, 0, ::-1, 0][:3].tolist() == [255, 128, 1]


def test_mirror_flow_agrees_with_computing_it():
    frames = moving([(3, 1)])
    mirrored = np.asarray(mirror_flow(flow_image(quantize_flow(optical_flow(*frames)))))
    computed = flow_image(quantize_flow(optical_flow(*np.ascontiguousarray(frames[:, :, ::-1]))))
    assert np.abs(np.median(mirrored, axis=(0, 1)) - np.median(computed, axis=(0, 1))).max() <= 1
    assert np.median(mirrored[..., 0]) < 115  # to the left


def test_channels_of_a_stack():
    """x1, y1, x2, y2, ... of the ten pairs from the position on."""
    motions = [(pair % 4, -(pair % 3)) for pair in range(14)]
    stack = read(moving(motions), Views((HEIGHT, WIDTH), modality="flow_stack", frames=5))
    assert stack.shape == (5, HEIGHT, WIDTH, 20)
    assert stack.dtype == "uint8"
    found = np.median(dequantize_flow(stack), axis=(1, 2))
    for start in range(5):  # 15 frames have five stacks
        assert found[start] == pytest.approx(np.ravel(motions[start : start + STACK]), abs=0.2)


@pytest.mark.parametrize("total", [2, 5, 10])
def test_stack_of_a_video_shorter_than_it_repeats_the_last_pair(total):
    motions = [(pair % 4 - 1, pair % 3 - 1) for pair in range(total - 1)]
    stack = read(moving(motions), Views((HEIGHT, WIDTH), modality="flow_stack", frames=5))
    assert stack.shape == (1, HEIGHT, WIDTH, 20)
    found = np.median(dequantize_flow(stack[0]), axis=(0, 1))
    assert found == pytest.approx(np.ravel(motions + motions[-1:] * (STACK - total + 1)), abs=0.2)
    assert np.array_equal(stack[..., 2 * total - 2 :], np.tile(stack[..., 2 * total - 4 : 2 * total - 2], 11 - total))


@pytest.mark.parametrize(("total", "starts"), [(11, 1), (12, 2), (30, 20)])
def test_stacks_that_would_reach_beyond_the_end_are_not_begun(total, starts):
    views = Views((HEIGHT, WIDTH), modality="flow_stack", frames=100)
    assert views.positions(total).tolist() == list(range(starts))
    assert {int(views.positions(total, part)[0]) for part in np.linspace(0, 0.999, 200)} == set(range(starts))


def test_flow_of_frames_that_follow_each_other():
    """Pairs of neighbours, not of neighbouring samples; the positions are those of the first frames."""
    motions = [(pair % 5, 0) for pair in range(20)]
    views = Views((HEIGHT, WIDTH), modality="flow", frames=4)
    images = read(moving(motions), views)
    assert images.shape == (4, HEIGHT, WIDTH, 3)
    positions = views.positions(21)
    assert positions.tolist() == [2, 7, 12, 17]
    assert np.median(dequantize_flow(images[..., 0]), axis=(1, 2)) == pytest.approx(positions % 5, abs=0.2)
    assert flow_at(dict(enumerate(moving(motions))), 7, FlowSettings()).tolist() == images[1, ..., :2].tolist()


@pytest.mark.parametrize("modality", ["flow", "flow_stack"])
def test_a_single_frame_has_no_flow(modality):
    with pytest.raises(DataError, match="it has a single frame; optical flow needs two"):
        read(moving([]), Views((HEIGHT, WIDTH), modality=modality))


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("modality", ["flow", "flow_stack"])
@pytest.mark.parametrize("random", [None, 0.99])
def test_stored_flow_is_the_computed_flow(tmp_path, first, modality, random):
    motions = [(pair % 4, -(pair % 3)) for pair in range(14)]
    frames = moving(motions)
    for pair in range(14):
        flow = quantize_flow(optical_flow(frames[pair], frames[pair + 1]))
        for channel, axis in enumerate("xy"):
            path = tmp_path / f"flow_{axis}_{pair + first:05d}.jpg"
            cv2.imwrite(str(path), flow[..., channel], [cv2.IMWRITE_JPEG_QUALITY, 95])
    views = Views((HEIGHT, WIDTH), modality=modality, frames=4)
    stored, computed = read(tmp_path, views, random), read(frames, views, random)
    assert stored.shape == computed.shape
    assert np.abs(stored.astype(int) - computed).mean() < 2
    assert np.ptp(np.median(computed[0], axis=(0, 1))) > 10  # the channels differ: an order mixed up would show


@pytest.fixture
def flow_folder(tmp_path):
    broken_videos(tmp_path)
    return tmp_path / "flow1"


def test_folder_of_flow(flow_folder):
    stored = FlowFolder(flow_folder)
    assert stored.pairs == 10
    for pair in range(10):
        assert stored.read(pair).mean(axis=(0, 1)) == pytest.approx([128 + 4 * pair, 128 - 4 * pair], abs=1)


@pytest.mark.parametrize(
    ("removed", "counts"),
    [
        (["flow_y_00010.jpg"], "10 flow_x and 9 flow_y"),
        (["flow_x_00003.jpg"], "9 flow_x and 10 flow_y"),
        (["flow_x_00003.jpg", "flow_y_00008.jpg"], "9 flow_x and 9 flow_y"),  # as many, but of other pairs
        ([f"flow_x_{number:05d}.jpg" for number in range(1, 11)], "0 flow_x and 10 flow_y"),
    ],
)
def test_x_without_its_y(flow_folder, removed, counts):
    for name in removed:
        (flow_folder / name).unlink()
    assert has_flow(flow_folder)
    with pytest.raises(DataError, match=f"the folder holds {counts} frames; both are needed for every number"):
        read(flow_folder, Views((HEIGHT, WIDTH), modality="flow"))


def test_a_damaged_pair_is_left_out(flow_folder):
    (flow_folder / "flow_y_00003.jpg").write_bytes(b"\xff\xd8")
    images = read(flow_folder, Views((HEIGHT, WIDTH), modality="flow"))
    assert images[..., 0].mean(axis=(1, 2)) == pytest.approx(128 + 4 * np.array([0, 1, 3, 4, 5, 6, 7, 8, 9]), abs=1)


def test_padding_around_stored_flow_is_no_motion(flow_folder):
    images = read(flow_folder, Views((64, 64), modality="flow", resize="pad", frames=1))
    assert (images[:, :8] == 128).all()
    assert images[:, 8:-8, :, 0].mean() == pytest.approx(128 + 4 * 5, abs=1)


def test_frames_and_their_flow_in_one_folder(flow_folder):
    """RGB and flow of one item: the pictures from the pictures, the flow from the stored flow."""
    for path in (flow_folder.parent / "frames0").iterdir():
        shutil.copy(path, flow_folder)
    views = [Views((HEIGHT, WIDTH)), Views((HEIGHT, WIDTH), modality="flow")]
    pictures, flow = read_resized(video(flow_folder), 0, views)
    assert [read_number(picture) for picture in pictures] == list(range(10))
    assert flow[..., 0].mean(axis=(1, 2)) == pytest.approx(128 + 4 * np.arange(10), abs=1)


def test_flow_of_pictures_where_none_is_stored(flow_folder):
    computed = read(numbered_frames(10), Views((HEIGHT, WIDTH), modality="flow"))
    stored = read(flow_folder.parent / "frames0", Views((HEIGHT, WIDTH), modality="flow"))
    assert stored.shape == computed.shape == (9, HEIGHT, WIDTH, 3)
