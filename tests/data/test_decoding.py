"""Decoding and resizing against Pillow."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_fvvae.data import decode_image, resize_image


@pytest.fixture
def picture():
    coarse = np.random.default_rng(0).integers(0, 255, (4, 5, 3))
    return Image.fromarray(np.kron(coarse, np.ones((10, 10, 1))).astype("uint8"))


def _bytes(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "GIF"])
def test_formats(picture, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = decode_image(_bytes(picture, kind, **options)).numpy()
    assert decoded.shape == (40, 50, 3)
    assert np.abs(decoded.astype(int) - np.asarray(picture)).mean() < (20 if kind == "GIF" else 0.01)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_jpeg_color_spaces(picture, mode):
    converted = picture.convert(mode)
    decoded = decode_image(_bytes(converted, "JPEG", quality=100, subsampling=0)).numpy()
    assert np.abs(decoded.astype(int) - np.asarray(converted.convert("RGB"))).mean() < 4


def test_alpha_is_dropped(picture):
    transparent = picture.convert("RGBA")
    transparent.putalpha(7)
    assert np.array_equal(decode_image(_bytes(transparent, "PNG")).numpy(), np.asarray(picture))


def test_sixteen_bits_become_eight():
    values = (np.arange(12).reshape(3, 4) * 20).astype("uint16")
    decoded = decode_image(_bytes(Image.fromarray(values * 257), "PNG")).numpy()
    assert np.array_equal(decoded, np.repeat(values[..., None], 3, axis=-1))


def test_first_frame_of_an_animation(picture):
    frames = [picture.convert("P"), picture.rotate(180).convert("P")]
    content = _bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.array_equal(decode_image(content).numpy(), np.asarray(frames[0].convert("RGB")))


def test_squeeze_averages_when_it_shrinks():
    image = np.zeros((4, 4, 3), "uint8")
    image[::2] = 255  # stripes of one pixel: without antialiasing they would survive or vanish
    shrunk = resize_image(image, (1, 1)).numpy()
    assert shrunk.shape == (1, 1, 3)
    assert 100 < shrunk[0, 0, 0] < 155


def test_crop_keeps_the_aspect():
    image = np.zeros((20, 60, 3), "uint8")
    image[:, 20:40] = 255  # the middle third
    cropped = resize_image(image, (10, 10), "crop").numpy()
    assert cropped[:, 1:-1].min() > 250  # only the middle third is left
    assert cropped.min() > 200  # antialiasing reaches over the edge


@pytest.mark.parametrize("size", [(7, 9), (30, 11), (64, 64)])
@pytest.mark.parametrize("mode", ["squeeze", "crop"])
def test_size_is_exact(size, mode):
    assert resize_image(np.zeros((13, 29, 3), "uint8"), size, mode).shape == (*size, 3)


def test_unknown_mode():
    with pytest.raises(ValueError, match="`mode` must be one of"):
        resize_image(np.zeros((4, 4, 3)), (2, 2), "stretch")


def test_damage_raises(picture):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(_bytes(picture, "PNG")[:100])
