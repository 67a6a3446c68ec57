"""A JPEG is decoded no larger than it is needed, and never smaller."""

import io

import numpy as np
import pytest
from PIL import Image

from keras_fvvae.data.readers.image import RESIZE_MODES, decode_pixels, resize_pixels
from keras_fvvae.data.readers.jpeg_scale import jpeg_divisor


def _jpeg(width, height, **options):
    """Smooth, so that what differs is the scale and not the compression."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (max(2, height // 30), max(2, width // 30), 3)).astype("uint8")
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(
        buffer, "JPEG", quality=95, **options
    )
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("sides", "size", "mode", "divisor"),
    [
        ((500, 375), (224, 224), "squeeze", 1),
        ((500, 375), (160, 160), "squeeze", 2),
        ((448, 448), (224, 224), "crop", 2),
        ((447, 447), (224, 224), "crop", 2),  # libjpeg rounds up: 224
        ((446, 446), (224, 224), "crop", 1),
        ((4000, 3000), (375, 375), "squeeze", 8),
        ((4000, 3000), (376, 376), "squeeze", 4),
        ((4000, 1000), (224, 224), "squeeze", 4),
        ((4000, 1000), (224, 224), "pad", 8),
        ((30, 20), (1, 1), "squeeze", 8),
        ((9, 8), (1, 1), "squeeze", 4),  # an eighth would be one pixel
    ],
)
def test_the_smallest_scale_that_covers(sides, size, mode, divisor):
    content = _jpeg(*sides)
    assert jpeg_divisor(content, size, mode) == divisor
    width, height = sides
    assert decode_pixels(content, size, mode).shape == (-(-height // divisor), -(-width // divisor), 3)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "WEBP"])
def test_other_formats_are_decoded_as_they_are(kind):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, kind)
    assert decode_pixels(buffer.getvalue(), (4, 4)).shape == (48, 64, 3)


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}], ids=str)
def test_fast_is_close_to_exact(mode, options):
    content = _jpeg(640, 480, **options)
    exact = resize_pixels(decode_pixels(content), (96, 96), mode)
    fast = resize_pixels(decode_pixels(content, (96, 96), mode), (96, 96), mode)
    assert exact.shape == fast.shape
    assert 0 < np.abs(exact - fast).mean() < 2


def test_a_size_that_needs_all_pixels_gives_the_same_ones():
    content = _jpeg(90, 70)
    assert np.array_equal(decode_pixels(content, (60, 60)), decode_pixels(content))


def test_a_header_that_ends_early_has_no_scale():
    assert jpeg_divisor(_jpeg(64, 64)[:30], (4, 4), "squeeze") == 1
