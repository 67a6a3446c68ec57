"""Batches keep their order, repeat exactly, and broken files are reported and change nothing for the others."""

import ctypes
import gc
import itertools
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_fvvae.data import Collection, Views, training_batches, unreadable_items, view_batches
from keras_fvvae.data.crops import ten_crops
from keras_fvvae.data.views import read_resized
from keras_fvvae.errors import DataError
from tests.support.video_files import broken_videos, numbered_frames, read_number, write_video

SIZE = (48, 64)
STATUS = Path("/proc/self/statm")
# What is no video, and how its reason begins.
UNREADABLE = {
    "absent.avi": "cannot be opened: No such file or directory",
    "audio_only.mp4": "it has no video stream, only audio",
    "empty_folder": "the folder holds no numbered frames",
    "flow1": "the folder holds no numbered frames",
    "text.mp4": "not a video that FFmpeg reads",
    "truncated.mp4": "not a video that FFmpeg reads",
    "zero.avi": "the file is empty",
}


def collect(sources, kind="video", **options):
    names = [str(number) for number in range(len(sources))]
    labels = options.pop("labels", [0] * len(names))
    return Collection(sources, names, labels, ["train"] * len(names), ["x", "y"], kind=kind, **options)


def batches(collection, views, items=3, indices=None):
    return list(view_batches(collection, range(len(collection)) if indices is None else indices, views, items))


def views_of_items(found):
    """The views of every item, from batches."""
    parts = [np.split(batch["views"].numpy(), np.cumsum(batch["count"])[:-1]) for batch in found]
    return [views for part in parts for views in part]


def joined(found, key):
    return np.concatenate([batch[key].numpy() for batch in found]).tolist()


def same(left, right):
    return len(left) == len(right) and all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.fixture
def files(tmp_path):
    """Ten image files of which six are broken, and the reason expected for each."""
    paths = {}
    for index in range(4):
        image = Image.fromarray(np.full((6, 5, 3), 50 * index, "uint8"))
        paths[f"good{index}.png"] = ""
        image.save(tmp_path / f"good{index}.png")
    whole = (tmp_path / "good1.png").read_bytes()
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = whole[:8] + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + whole[33:]
    Image.new("RGB", (1, 1)).save(tmp_path / "pixel.png")
    for name, content, reason in (
        ("empty.jpg", b"", "the file is empty"),
        ("text.jpg", b"hello", "not a JPEG"),
        ("truncated.png", whole[:60], "truncated or damaged"),
        ("bomb.png", bomb, "claims 3,600,000,000 pixels"),
    ):
        (tmp_path / name).write_bytes(content)
        paths[name] = reason
    paths["pixel.png"] = "1x1 pixels are too few"
    paths["absent.png"] = "cannot be opened: No such file"
    return {tmp_path / name: paths[name] for name in sorted(paths)}


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Sources: all broken videos, each between two good ones; by name."""
    folder = tmp_path_factory.mktemp("videos")
    names = [*broken_videos(folder), "absent.avi", "empty_folder"]
    (folder / "empty_folder").mkdir()
    return {name: folder / name for name in names}


@pytest.fixture(scope="module")
def ragged():
    """Videos of different lengths, one of a single frame, in memory."""
    return collect([numbered_frames(count) for count in (7, 3, 30, 1, 12)], labels=[0, 1, 0, 1, 0])


def test_images_reasons_and_order(files):
    found = batches(collect(list(files), "image"), Views((4, 4)))
    assert joined(found, "index") == list(range(len(files)))
    assert joined(found, "count") == [int(not reason) for reason in files.values()]
    for (path, expected), reason, views in zip(
        files.items(), joined(found, "reason"), views_of_items(found), strict=True
    ):
        assert reason.decode().startswith(expected)
        assert bool(reason) == bool(expected)
        assert len(views) == (not expected)
        assert not len(views) or np.allclose(views, 50 * int(path.name[4]))


def test_unreadable_items(files):
    done = []
    reasons = unreadable_items(collect(list(files), "image"), Views((4, 4)), done.append)
    expected = {index: reason for index, reason in enumerate(files.values()) if reason}
    assert reasons.keys() == expected.keys()
    assert all(reasons[index].startswith(expected[index]) for index in expected)
    assert done == list(range(1, len(files) + 1))


def test_pixels_in_memory_in_the_order_of_the_indices():
    collection = collect([np.full((8, 8, 3), i, "uint8") for i in range(3)], "image")
    found = batches(collection, Views((8, 8)), 2, [2, 0, 1, 1])
    assert joined(found, "index") == [2, 0, 1, 1]
    assert [views[0, 0, 0, 0] for views in views_of_items(found)] == [2, 0, 1, 1]


def test_ten_crops_of_images():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 8, 3)).astype("uint8")
    (found,) = batches(collect(list(pixels), "image"), Views((5, 6), (9, 8), crops="ten"))
    assert found["count"].numpy().tolist() == [10, 10]
    assert np.array_equal(found["views"], ten_crops(pixels.astype("float32"), (5, 6)))


def test_boxes_are_cut_out_and_reported():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 9, 8, 3)).astype("uint8")
    (found,) = batches(collect(list(pixels), "image", boxes=[(1, 2, 4, 5), (9, 0, 4, 4), (4, 4, 4, 5)]), Views((5, 4)))
    assert found["count"].numpy().tolist() == [1, 0, 1]
    assert b"lies outside of its 8x9 pixels" in found["reason"].numpy()[1]
    assert np.array_equal(found["views"], [pixels[0, 2:7, 1:5], pixels[2, 4:9, 4:8]])


@pytest.mark.parametrize("modality", ["rgb", "flow"])
def test_broken_videos_are_reported_and_change_nothing_for_the_others(broken, modality):
    views = Views((32, 32), SIZE, modality=modality, frames=4)
    reasons = dict.fromkeys(broken, "") | UNREADABLE
    if modality == "flow":  # which folder `flow1` holds
        reasons |= {"one_frame.avi": "it has a single frame; optical flow needs two", "flow1": ""}
    found = batches(collect(list(broken.values())), views, 4)
    for name, reason, count in zip(reasons, joined(found, "reason"), joined(found, "count"), strict=True):
        assert reason.decode().startswith(reasons[name]), name
        assert bool(reason) == bool(reasons[name]) == (count == 0), name
        assert reason.decode().count("\n") == 0
        assert str(broken[name].parent) not in reason.decode()  # whoever reports it adds the name
    good = [name for name in broken if not reasons[name]]
    alone = batches(collect([broken[name] for name in good]), views, 3)
    assert same([v for v in views_of_items(found) if len(v)], views_of_items(alone))


def test_every_item_is_broken(broken):
    (found,) = batches(collect([broken["zero.avi"], broken["text.mp4"]]), Views(SIZE, crops="ten"))
    assert found["views"].shape == (0, *SIZE, 3)
    assert found["count"].numpy().tolist() == [0, 0]


@pytest.mark.parametrize("items", [1, 2, 5, 9])
def test_videos_of_different_lengths(ragged, items):
    found = batches(ragged, Views(SIZE, frames=4), items)
    assert joined(found, "index") == [0, 1, 2, 3, 4]
    assert joined(found, "count") == [4, 3, 4, 1, 4]
    numbers = [[read_number(view) for view in views] for views in views_of_items(found)]
    assert numbers == [[0, 2, 4, 6], [0, 1, 2], [3, 11, 18, 26], [0], [1, 4, 7, 10]]
    assert found[0]["views"].dtype == "float32"


def test_several_views_at_once_are_each_alone(ragged):
    kinds = [
        Views(SIZE, frames=4),
        Views((32, 40), SIZE, crops="ten", frame_step=5),
        Views((24, 24), (24, 30), modality="flow_stack", frames=2),
    ]
    indices = [2, 0, 4, 1]
    for kind, position in zip(kinds, range(3), strict=True):
        together = batches(ragged, kinds, 3, indices)
        alone = batches(ragged, kind, 3, indices)
        for several, one in zip(together, alone, strict=True):
            assert np.array_equal(several["views"][position], one["views"])
            assert np.array_equal(several["count"][position], one["count"])
            assert np.array_equal(several["index"], one["index"])


@pytest.mark.parametrize("modality", ["rgb", "flow"])
def test_two_runs_are_equal(broken, modality):
    views = Views((32, 32), SIZE, modality=modality, frames=6, crops="ten")
    collection = collect([broken[name] for name in ("vfr.mkv", "odd.avi", "zero.avi", "frames1", "truncated.avi")] * 2)
    first, second = (batches(collection, views, 3) for _ in range(2))
    assert same(views_of_items(first), views_of_items(second))
    assert joined(first, "reason") == joined(second, "reason")


def stream(start=0):
    """An endless sequence of positions, entered at `start`."""
    return itertools.islice(itertools.cycle([0, 4, 1, 2, 2, 3]), start, None)


def drawn(collection, views, count, seed=5, start=0, batch_size=4, **options):
    dataset = training_batches(collection, stream(start), views, batch_size, seed, start, **options)
    found = list(dataset.take(-(-count // batch_size)).as_numpy_iterator())
    return np.concatenate([v for v, _ in found])[:count], np.concatenate([labels for _, labels in found])[:count]


@pytest.mark.parametrize("modality", ["rgb", "flow_stack"])
def test_training_views_are_a_function_of_seed_and_number(ragged, modality):
    views = Views((40, 50), SIZE, modality=modality)
    options = {"shift": 2, "random_mirror": True}
    whole, labels = drawn(ragged, views, 24, **options)
    assert labels.tolist() == [0, 0, 1, 0, 0, 1] * 4
    assert whole.shape == (24, 40, 50, views.channels)
    again, _ = drawn(ragged, views, 24, batch_size=5, **options)
    assert np.array_equal(again, whole)
    for start in (1, 6, 19):
        rest, rest_labels = drawn(ragged, views, 24 - start, start=start, batch_size=3, **options)
        assert np.array_equal(rest, whole[start:])
        assert np.array_equal(rest_labels, labels[start:])
    other, _ = drawn(ragged, views, 24, seed=6, **options)
    assert not np.array_equal(other, whole)


def test_training_draws_random_frames():
    collection = collect([numbered_frames(10)] * 5)
    views, _ = drawn(collection, Views(SIZE), 120)
    numbers = [read_number(view) for view in views]
    assert set(numbers) == set(range(10))
    assert np.bincount(numbers).max() < 30


def test_training_images_are_random_crops(ragged):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3)).astype("uint8")
    views, _ = drawn(collect(list(pixels), "image"), Views((5, 5), (6, 7)), 60)
    order = list(itertools.islice(stream(), 60))
    places = set()
    for view, index in zip(views, order, strict=True):
        cut = [(t, x) for t in range(2) for x in range(3) if np.array_equal(view, pixels[index, t : t + 5, x : x + 5])]
        assert len(cut) == 1
        places.update(cut)
    assert places == {(top, left) for top in range(2) for left in range(3)}


@pytest.mark.parametrize(("modality", "blank"), [("rgb", 0), ("flow", 128)])
def test_a_file_that_vanished_does_not_end_the_training(broken, modality, blank):
    collection = collect([broken["odd.avi"], broken["absent.avi"], *[broken["odd.avi"]] * 3])
    views, _ = drawn(collection, Views(SIZE, modality=modality), 6, shift=1)
    assert [bool((view == blank).all()) for view in views] == [False, False, True, False, False, False]


@pytest.mark.once
@pytest.mark.skipif(not STATUS.exists(), reason="needs Linux to tell the memory of a process")
def test_memory_does_not_grow(tmp_path):
    """Reading 100 videos leaves far less behind than their frames are: 230 MB."""
    path = write_video(tmp_path / "a.avi", numbered_frames(30, 240, 320))
    collection = collect([path] * 100)
    views = Views((224, 224), (240, 320), frames=10)

    def memory_after(indices):
        assert sum(len(batch["views"]) for batch in view_batches(collection, indices, views, 4)) == 10 * len(indices)
        gc.collect()
        # What is free but kept for later, some 100 MB on a busy machine, is no growth.
        getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
        return int(STATUS.read_text().split()[1]) * resource.getpagesize()

    before = memory_after(range(40))
    assert memory_after(range(100)) - before < 100 * 10 * 240 * 320 * 3 / 2


def test_read_agrees_with_the_batches(ragged):
    views = Views((32, 40), SIZE, frames=3)
    found = views_of_items(batches(ragged, views))
    for index in range(len(ragged)):
        assert np.array_equal(found[index], views.crop(read_resized(ragged, index, [views])[0]))


def test_key_changes_with_the_file(tmp_path):
    path = tmp_path / "a.png"
    keys = [collect([path], "image").key(0)]  # absent
    for content in (b"1", b"12"):
        path.write_bytes(content)
        keys.append(collect([path], "image").key(0))
    keys += [collect([path], "image", boxes=[(0, 0, 1, end)]).key(0) for end in (1, 2)]
    assert len(set(keys)) == 5
    pixels = [np.zeros((2, 3, 3), "uint8"), np.zeros((3, 2, 3), "uint8"), np.ones((2, 3, 3), "uint8")]
    assert len({collect(pixels, "image").key(index) for index in range(3)}) == 3


def test_key_of_a_folder_changes_with_its_frames(tmp_path):
    collection = collect([tmp_path])
    keys = [collection.key(0)]
    for name, content in (("1.jpg", b"1"), ("2.jpg", b"1"), ("2.jpg", b"12")):
        (tmp_path / name).write_bytes(content)
        keys.append(collection.key(0))
    (tmp_path / "2.jpg").rename(tmp_path / "3.jpg")
    keys.append(collection.key(0))
    assert len(set(keys)) == len(keys)
    assert collection.key(0) == keys[-1]


def test_common_classes():
    names = ["a", "b", "c", "d", "e", "f"]
    collection = Collection(
        [np.full((2, 2, 3), i, "uint8") for i in range(6)],
        names,
        [2, 0, 2, 1, -1, 3],
        ["train", "train", "test", "test", "test", "train"],
        ["w", "x", "y", "z"],
        groups=names,
        boxes=np.arange(24).reshape(6, 4),
        label_sets=[(2, 0), (0,), (2,), (1,), (), (3,)],
    )
    common = collection.of_common_classes()
    assert (common.names, common.labels.tolist(), common.class_names) == (["a", "c", "e"], [0, 0, -1], ["y"])
    assert (common.groups, common.label_sets) == (["a", "c", "e"], [(0,), (0,), ()])
    assert common.splits.tolist() == ["train", "test", "test"]
    assert common.boxes[:, 0].tolist() == [0, 8, 16]
    assert common.notes == ["1 of 4 classes have both training and test images; the other 3 images are left out."]
    assert collection.notes == []
    assert common.of_common_classes() is common
    with pytest.raises(DataError, match="No class has both training and test items"):
        collection.subset([0, 1]).of_common_classes()
