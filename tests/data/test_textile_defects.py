"""Made-up defects: their box holds all that changed, their generator decides all, and they look like real ones."""

import importlib.util

import cv2
import numpy as np
import pytest

from keras_fvvae.data.datasets.textiles import PACKAGE, load_textiles
from keras_fvvae.data.textile_defects import DEFECT_SIZE, MARGIN, paste_defect
from keras_fvvae.data.views import read_image


def texture(seed=0, height=250, width=250):
    gray = np.random.default_rng(seed).normal(128, 33, (height, width, 1))
    return np.repeat(np.clip(gray, 0, 255), 3, axis=2).astype("uint8")


@pytest.mark.parametrize("shape", [(250, 250), (60, 40), (19 + 2 * MARGIN, 9 + 2 * MARGIN)])
def test_the_box_holds_all_changed_pixels(shape):
    image = texture(1, *shape)
    before = image.copy()
    for seed in range(30):
        defective, (x, y, width, height) = paste_defect(image, np.random.default_rng(seed))
        assert (width, height) == DEFECT_SIZE
        assert min(x, y, shape[1] - x - width, shape[0] - y - height) >= MARGIN
        changed = (defective != image).any(axis=-1)
        share = changed[y : y + height, x : x + width].mean()
        assert changed.sum() == changed[y : y + height, x : x + width].sum()
        assert 0.7 < share < np.pi / 4 + 0.05  # an ellipse, and nearly all of it
        assert (defective.dtype, defective.shape) == (image.dtype, image.shape)
        assert np.ptp(defective, axis=-1).max() == 0
    np.testing.assert_array_equal(image, before)


def test_every_place_can_be_met():
    image = texture(0, 27, 17)
    boxes = {paste_defect(image, np.random.default_rng(seed))[1][:2] for seed in range(400)}
    assert boxes == {(x, y) for x in range(2, 7) for y in range(2, 7)}


def test_the_generator_decides():
    image = texture()
    first, second, other = (paste_defect(image, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1] != other[1]
    rng = np.random.default_rng(3)
    assert paste_defect(image, rng)[1] == first[1] != paste_defect(image, rng)[1]


@pytest.mark.parametrize("image", [texture() / 255.0, texture()[..., :1], texture()[..., 0]])
def test_what_is_no_image(image):
    with pytest.raises(ValueError, match=r"`image` must be a uint8 array \(height, width, 3\). Received"):
        paste_defect(image, np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(22, 40), (40, 12)])
def test_an_image_that_is_too_small(shape):
    with pytest.raises(ValueError, match="must be at least 23 pixels high and 13 wide. Received"):
        paste_defect(texture(0, *shape), np.random.default_rng(0))


def roughness(image):
    """Mean absolute Laplacian over windows of a defect's size: the largest of an image."""
    inner = image[:-1, :-1, 0].astype("float32")
    return cv2.blur(np.abs(cv2.Laplacian(inner, cv2.CV_32F)), DEFECT_SIZE)[10:-10, 5:-5].max()


@pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None,
    reason="needs conformal-clip-data, 42 MB: pip install 'keras_fvvae[textiles]'",
)
def test_made_up_defects_are_as_rough_as_real_ones():
    collection = load_textiles(images=200)
    rng = np.random.default_rng(0)
    images = [read_image(collection, i) for i in range(len(collection))]
    nominal, local = (
        [image for image, label in zip(images, collection.labels, strict=True) if label == wanted] for wanted in (0, 1)
    )
    none, real, pasted = (
        np.array([roughness(image) for image in rows])
        for rows in (nominal, local, [paste_defect(image, rng)[0] for image in nominal])
    )
    assert none.max() < min(real.min(), pasted.min())  # that defects are there, and only where they should be
    assert abs(np.median(pasted) / np.median(real) - 1) < 0.1
