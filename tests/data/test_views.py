"""What is taken from an item: how many views, of which frames, of what size; and what is refused."""

import numpy as np
import pytest
from PIL import Image

from keras_fvvae.data import Collection, Views, optical_flow, quantize_flow, resize_image
from keras_fvvae.data.readers.flow import flow_image
from keras_fvvae.data.readers.video import read_video
from keras_fvvae.data.readers.video_file import VideoFile
from keras_fvvae.data.views import MAX_FRAMES, read_image, read_resized
from keras_fvvae.errors import DataError
from tests.support.video_files import broken_videos, numbered_frames, read_number, write_video

SIZE = (48, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    broken_videos(folder)
    write_video(folder / "whole.avi", numbered_frames(40))
    return folder


def videos(*sources):
    count = len(sources)
    return Collection(sources, list(map(str, range(count))), [0] * count, ["train"] * count, ["x"], kind="video")


def images(sources, boxes=None):
    count = len(sources)
    return Collection(sources, list(map(str, range(count))), [0] * count, ["train"] * count, ["x"], boxes=boxes)


@pytest.fixture
def passes(monkeypatch):
    """The arguments of every pass over a video file."""
    made, pick = [], VideoFile.pick
    monkeypatch.setattr(VideoFile, "pick", lambda self, *args: made.append(args) or pick(self, *args))
    return made


@pytest.mark.parametrize(
    ("views", "numbers"),
    [
        (Views(SIZE, frames=4), [5, 15, 25, 35]),
        (Views(SIZE, frame_step=15), [0, 15, 30]),
        (Views(SIZE, frames=100), list(range(40))),
        (Views((24, 32), frames=2), [10, 30]),
    ],
)
def test_frames_of_a_video(folder, views, numbers):
    frames = read_resized(videos(folder / "whole.avi"), 0, [views])[0]
    assert frames.shape == (len(numbers), *views.size, 3)
    assert frames.dtype == "uint8"
    assert [read_number(frame) for frame in frames] == numbers


@pytest.mark.parametrize("part", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("source", ["whole.avi", "frames1", "truncated.avi"])
def test_a_random_frame(folder, source, part):
    path = folder / source
    total = read_video(path, lambda total: [0]).total
    (frame,) = read_resized(videos(path), 0, [Views(SIZE)], part)[0]
    if source == "truncated.avi" and int(part * 30) < total:
        total = 30  # found where the header's count puts it
    assert read_number(frame) == int(part * total)


def test_a_video_is_decoded_once_whatever_is_taken_from_it(folder, passes):
    views = [
        Views(SIZE, frames=3),
        Views((24, 24), (32, 32), "crop", frames=5),
        Views(SIZE, modality="flow", frames=2),
        Views(SIZE, modality="flow_stack", frames=2),
        Views(SIZE, frame_step=7),
    ]
    together = read_resized(videos(folder / "whole.avi"), 0, views)
    assert len(passes) == 1
    for one, found in zip(views, together, strict=True):
        alone = read_resized(videos(folder / "whole.avi"), 0, [one])[0]
        assert np.array_equal(found, alone)
        assert found.shape[-1] == one.channels
    read_resized(videos(folder / "truncated.avi"), 0, views)
    assert len(passes) == 1 + len(views) + 2  # where the header lied, a second time


@pytest.mark.parametrize("part", [None, 0.2])
def test_only_a_random_frame_is_not_worth_reading_to_the_end(folder, passes, part):
    read_resized(videos(folder / "whole.avi"), 0, [Views(SIZE)], part)
    assert [to_the_end for *_, to_the_end, _ in passes] == [part is None]


def test_flow_is_computed_on_resized_frames():
    frames = numbered_frames(2, 96, 128)
    small = [np.round(resize_image(frame, SIZE)).astype("uint8") for frame in frames]
    expected = flow_image(quantize_flow(optical_flow(*small)))
    found = read_resized(videos(frames), 0, [Views(SIZE, modality="flow")])[0]
    assert np.array_equal(found[0], expected)


@pytest.mark.parametrize("mode", ["squeeze", "crop", "pad"])
def test_resizing_of_frames_and_images_is_resize_image(mode):
    frames = numbered_frames(3, 51, 37)
    expected = np.stack([resize_image(frame, (20, 30), mode) for frame in frames])
    found = read_resized(videos(frames), 0, [Views((20, 30), resize=mode)])[0]
    assert np.abs(found - expected).max() <= 0.5
    image = read_resized(images([frames[1]]), 0, [Views((20, 30), resize=mode)])[0]
    assert image.dtype == "float32"
    assert np.array_equal(image, expected[1:2])


@pytest.mark.parametrize(("name", "count"), [("vfr.mkv", 12), ("odd.avi", 10), ("uhd.mp4", 3), ("one_frame.avi", 1)])
def test_unusual_videos(folder, name, count):
    frames = read_resized(videos(folder / name), 0, [Views(SIZE)])[0]
    assert frames.shape == (count, *SIZE, 3)
    assert [read_number(frame) for frame in frames] == list(range(count))


def test_rotated_videos_are_resized_upright(folder):
    frames = read_resized(videos(folder / "rotated.mp4"), 0, [Views((64, 48))])[0]
    assert [read_number(np.rot90(frame)) for frame in frames] == list(range(10))


def test_too_many_frames():
    frames = np.zeros((MAX_FRAMES + 1, 4, 4, 3), "uint8")
    message = f"more than {MAX_FRAMES} of its {MAX_FRAMES + 1} frames are asked for: lower `frames` or raise"
    for views in (Views((4, 4), frame_step=1), Views((4, 4), frames=10**9)):
        assert len(views.positions(10**6)) == MAX_FRAMES + 1
        with pytest.raises(DataError, match=message):
            read_resized(videos(frames), 0, [views])
        assert len(read_resized(videos(frames[1:]), 0, [views])[0]) == MAX_FRAMES


@pytest.mark.parametrize("part", [None, 0.5])
def test_one_frame_is_enough_for_rgb_and_refused_for_flow(folder, part):
    collection = videos(folder / "one_frame.avi")
    assert len(read_resized(collection, 0, [Views(SIZE)], part)[0]) == 1
    for views in ([Views(SIZE, modality="flow")], [Views(SIZE), Views(SIZE, modality="flow_stack")]):
        with pytest.raises(DataError, match="it has a single frame; optical flow needs two"):
            read_resized(collection, 0, views, part)


def test_damaged_frames_of_a_folder(folder, tmp_path):
    collection = videos(folder / "frames_corrupt")
    assert [read_number(f) for f in read_resized(collection, 0, [Views(SIZE, frames=9)])[0]] == [0, 1, 2, 3, 5, 6, 7, 8]
    assert len(read_resized(collection, 0, [Views(SIZE, modality="flow")])[0]) == 6  # two of eight pairs need it
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"no frame that can be decoded \(3 damaged parts\)"):
        read_resized(videos(tmp_path), 0, [Views(SIZE)])


@pytest.mark.parametrize(
    ("box", "part"),
    [
        ((2, 1, 4, 3), (slice(1, 4), slice(2, 6))),
        ((0, 0, 10, 8), (slice(0, 8), slice(0, 10))),
        ((-3, 5, 5, 99), (slice(5, 8), slice(0, 2))),
        ((2.5, 1.5, 3, 3), (slice(1, 5), slice(2, 6))),  # parts of pixels count
        ((7, 6, 99, 99), (slice(6, 8), slice(7, 10))),
    ],
)
def test_boxes_are_clipped_to_the_image(box, part):
    pixels = np.arange(240, dtype="uint8").reshape(8, 10, 3)
    assert np.array_equal(read_image(images([pixels], [box]), 0), pixels[part])


@pytest.mark.parametrize("box", [(10, 0, 5, 5), (0, -9, 5, 8), (2, 2, 0, 5), (9, 0, 1, 5), (2, 2, -1, 4)])
def test_a_box_outside_is_a_reason(box):
    pixels = np.zeros((8, 10, 3), "uint8")
    with pytest.raises(ValueError, match=r"its box \[.*\] lies outside of its 10x8 pixels"):
        read_image(images([pixels], [box]), 0)


def test_boxes_of_birds(shared):
    """The release's boxes, on its pictures: kept whole, since they lie inside."""
    root = shared / "data" / "CUB_200_2011"
    boxes, rows = ((root / name).read_text().splitlines() for name in ("bounding_boxes.txt", "images.txt"))
    boxes = {number: [float(value) for value in box] for number, *box in map(str.split, boxes)}
    rows = [(number, name) for number, name in map(str.split, rows) if (root / "images" / name).is_file()][:5]
    collection = images([root / "images" / name for _, name in rows], [boxes[number] for number, _ in rows])
    for index, (number, _) in enumerate(rows):
        _, _, width, height = boxes[number]
        assert read_image(collection, index).shape == (height, width, 3)


def test_grayscale_becomes_rgb(tmp_path):
    gray = np.arange(0, 240, 5, dtype="uint8").reshape(6, 8)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    pixels = read_resized(images([tmp_path / "gray.png"]), 0, [Views((6, 8))])[0]
    assert np.array_equal(pixels[0], np.repeat(gray[..., np.newaxis], 3, axis=-1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resize": "stretch"}, "`resize` must be one of"),
        ({"decoder": "quick"}, "`decoder` must be one of"),
        ({"crops": "five"}, "`crops` must be one of"),
        ({"modality": "depth"}, "`modality` must be one of"),
        ({"resize_to": (48, 63)}, "must be at least as large as the crop"),
        ({"frames": 0}, "must be positive"),
        ({"frame_step": 0}, "must be positive"),
    ],
)
def test_values_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        Views(SIZE, **arguments)


def test_settings_change_with_whatever_changes_pixels():
    kinds = [{}, {"resize_to": (60, 70)}, {"resize": "pad"}, {"crops": "ten"}]
    moving = [{"modality": "flow"}, {"modality": "flow_stack"}, {"frames": 3}, {"frame_step": 4}]
    assert len({str(Views(SIZE, **kind).settings("image")) for kind in kinds + moving}) == len(kinds)
    assert len({str(Views(SIZE, **kind).settings("video")) for kind in kinds + moving}) == len(kinds + moving)


def test_only_images_have_a_fast_decoder():
    """Stores of 0.1, which had no other than the exact one, keep their keys, and so do those of videos."""
    fast = Views(SIZE, decoder="fast")
    assert "decoder" not in Views(SIZE).settings("image") | fast.settings("video")
    assert fast.settings("image")["decoder"] == "fast"


@pytest.mark.parametrize("boxes", [None, [[100, 50, 200, 160]]])
def test_exact_and_fast_views_of_one_image(tmp_path, boxes):
    """What is beside a view does not change it; of a box, which is in pixels of the whole image, both are the same."""
    pixels = resize_image(np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype("uint8"), (300, 400)).numpy()
    Image.fromarray(pixels.round().astype("uint8")).save(tmp_path / "a.jpg", quality=95)
    images = Collection([tmp_path / "a.jpg"], ["a"], [0], ["test"], ["x"], boxes=boxes)
    exact, fast, larger = Views((64, 64)), Views((64, 64), decoder="fast"), Views((120, 120), decoder="fast")
    alone = [read_resized(images, 0, [one])[0] for one in (exact, fast, larger)]
    together = read_resized(images, 0, [exact, fast, larger])
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    difference = np.abs(alone[0] - alone[1]).mean()
    assert difference == 0 if boxes else 0 < difference < 2
