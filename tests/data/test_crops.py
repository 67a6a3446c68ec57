"""Crops show the parts that they are named after, in order, eagerly and in graphs."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.data import center_crop, random_view, ten_crops
from keras_fvvae.data.crops import mirror


def numbered_pixels(height, width, channels=3, count=None):
    """Every value is another one: a crop tells where it was cut."""
    shape = (height, width, channels) if count is None else (count, height, width, channels)
    return np.arange(np.prod(shape), dtype="float32").reshape(shape)


def test_order_and_content_of_ten_crops():
    images = numbered_pixels(7, 10, count=2)
    crops = ten_crops(images, (4, 5)).numpy()
    assert crops.shape == (20, 4, 5, 3)
    for image, ten in zip(images, crops.reshape(2, 10, 4, 5, 3), strict=True):
        expected = [image[:4, :5], image[:4, 5:], image[3:, :5], image[3:, 5:], image[1:5, 2:7]]
        expected += [crop[:, ::-1] for crop in expected]
        for number in range(10):
            assert np.array_equal(ten[number], expected[number]), number


@pytest.mark.parametrize("channels", [3, 20])
def test_ten_crops_of_flow(channels):
    """The mirrored half turns horizontal motion around, in the channels of x alone."""
    images = np.random.default_rng(0).integers(1, 256, (1, 6, 8, channels)).astype("float32")
    crops = ten_crops(images, (4, 4), is_flow=True).numpy()
    horizontal = [0] if channels == 3 else list(range(0, 20, 2))
    vertical = [channel for channel in range(channels) if channel not in horizontal]
    assert np.array_equal(crops[:5], ten_crops(images, (4, 4)).numpy()[:5])
    assert np.array_equal(crops[5:][..., horizontal], 256 - crops[:5, :, ::-1][..., horizontal])
    assert np.array_equal(crops[5:][..., vertical], crops[:5, :, ::-1][..., vertical])


@pytest.mark.parametrize(
    ("sides", "size", "corner"), [((7, 9), (4, 4), (1, 2)), ((6, 8), (4, 4), (1, 2)), ((5, 5), (5, 5), (0, 0))]
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_center_crop(sides, size, corner, dtype):
    image = numbered_pixels(*sides).astype(dtype)
    (top, left), (height, width) = corner, size
    expected = image[top : top + height, left : left + width]
    crop = center_crop(image, size)
    assert crop.dtype == dtype
    assert np.array_equal(crop, expected)
    assert np.array_equal(center_crop(image[np.newaxis], size)[0], expected)  # any leading dimensions


@pytest.mark.parametrize("count", [0, 1, 3])
def test_dynamic_sizes_in_a_graph(count):
    """The graph is traced once, without knowing the number of images or their size; the crops' shape is known."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
    def crop(images):
        crops, center = ten_crops(images, (4, 5)), center_crop(images, (4, 5))
        assert crops.shape.as_list() == [None, 4, 5, 3]
        assert center.shape.as_list() == [None, 4, 5, 3]
        return crops, center

    for height, width in ((6, 9), (4, 5)):
        images = numbered_pixels(height, width, count=count)
        crops, center = crop(images)
        assert np.array_equal(crops, ten_crops(images, (4, 5)))
        assert np.array_equal(center, center_crop(images, (4, 5)))
        assert len(crops) == 10 * len(center) == 10 * count


@pytest.mark.parametrize("function", [center_crop, ten_crops])
def test_images_smaller_than_the_crop(function):
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        function(numbered_pixels(3, 9, count=1), (4, 4))


def test_random_view_is_a_function_of_the_seed():
    image = numbered_pixels(8, 9)
    graph = tf.function(lambda seed: random_view(image, seed, (6, 6), shift=1, random_mirror=True))
    for number in range(20):
        seed = np.array([7, number])
        view = random_view(image, seed, (6, 6), shift=1, random_mirror=True)
        assert np.array_equal(view, random_view(image, seed, (6, 6), shift=1, random_mirror=True))
        assert np.array_equal(view, graph(seed))


def corners(views):
    """Where each view was cut from an image of width 9, and whether it is mirrored."""
    return {(view[0, 0, 0] // 9, view[0, :, 0].min() % 9, bool(view[0, 0, 0] > view[0, 1, 0])) for view in views}


def test_random_views_cover_all_positions_and_both_ways():
    image = numbered_pixels(8, 9, channels=1)
    seeds = np.stack([np.full(400, 3), np.arange(400)], axis=1)
    views = tf.map_fn(lambda seed: random_view(image, seed, (6, 6), random_mirror=True), seeds, tf.float32).numpy()
    places = {(top, left, turned) for top in range(3) for left in range(4) for turned in (False, True)}
    assert corners(views) == places
    assert 0.4 < np.mean(views[:, 0, 0, 0] > views[:, 0, 1, 0]) < 0.6
    assert {turned for *_, turned in corners(random_view(image, s, (6, 6)).numpy() for s in seeds[:30])} == {False}
    for view in views:
        whole = view[:, ::-1] if view[0, 0, 0] > view[0, 1, 0] else view
        top, left = divmod(int(whole[0, 0, 0]), 9)
        assert np.array_equal(whole, image[top : top + 6, left : left + 6])


@pytest.mark.parametrize(("is_flow", "outside"), [(False, 0), (True, 128)])
def test_shift_moves_by_at_most_so_many_pixels(is_flow, outside):
    image = np.full((9, 9, 3), outside, "float32")
    image[4, 4, 1] = 200
    seeds = np.stack([np.zeros(200), np.arange(200)], axis=1).astype("int64")
    views = [random_view(image, seed, (9, 9), shift=2, is_flow=is_flow).numpy() for seed in seeds]
    places = {tuple(np.argwhere(view[..., 1] == 200)[0]) for view in views}
    assert places == {(y, x) for y in range(2, 7) for x in range(2, 7)}
    assert {value for view in views for value in np.unique(view)} == {outside, 200}  # what comes in is nothing


def test_random_mirror_of_flow_turns_the_motion_around():
    image = np.zeros((4, 4, 3), "float32") + np.array([100.0, 90.0, 140.0], "float32")
    views = np.stack([random_view(image, np.array([0, s]), (4, 4), 0, True, True)[0, 0] for s in range(20)])
    assert {tuple(view) for view in views.tolist()} == {(100.0, 90.0, 140.0), (156.0, 90.0, 140.0)}


def test_mirror_of_pictures_changes_no_value():
    image = numbered_pixels(4, 5)
    assert np.array_equal(mirror(image), image[:, ::-1])
