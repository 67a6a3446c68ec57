"""Pixels are counted from headers."""

import io

import numpy as np
import pytest
from PIL import Image

from keras_fvvae.serving.engine.image_limits import check_images, claimed_pixels
from keras_fvvae.serving.errors import ServingError
from tests.serving.conftest import bomb, png


def encoded(kind, size=(13, 7), **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_formats(kind):
    assert claimed_pixels(encoded(kind)) == 13 * 7


@pytest.mark.parametrize("side", [100, 9_000, 20_000, 2**31 - 1])
def test_bomb(side):
    content = bomb(side)
    assert len(content) < 200
    assert claimed_pixels(content) == side**2


def test_every_frame_of_a_gif_counts():
    frames = [Image.fromarray(np.random.default_rng(i).integers(0, 255, (7, 13, 3)).astype("uint8")) for i in range(5)]
    content = encoded("GIF", append_images=frames, save_all=True)
    assert claimed_pixels(content) == 6 * 13 * 7


def test_frame_larger_than_the_screen_of_a_gif():
    content = bytearray(encoded("GIF"))
    content[6:10] = (1).to_bytes(2, "little") * 2
    assert claimed_pixels(bytes(content)) == 13 * 7


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize("length", [4, 9, 16])
def test_damaged_headers(kind, length):
    assert claimed_pixels(encoded(kind)[:length]) is None


@pytest.mark.parametrize("content", [b"\xff\x0a" + b"\0" * 20, b"\0\0\0\x0cJXL \r\n\x87\n"])
def test_jpeg_xl_is_never_known(content):
    assert claimed_pixels(content) is None


@pytest.mark.parametrize("content", [b"", b"x", b"text", b"\0" * 100])
def test_no_image(content):
    assert claimed_pixels(content) == 0


def test_check_names_the_image():
    strings = np.array([[png((1, 2, 3))], [bomb(200)]], object)
    check_images(strings, 40_000)
    with pytest.raises(ServingError, match="Image 1 of the request claims 40,000 pixels; the limit is 39,999"):
        check_images(strings, 39_999)


def test_damaged_images_fail_or_are_left_to_the_flag():
    strings = np.array([png((1, 2, 3)), b"\x89PNG"], object)
    with pytest.raises(ServingError, match="Image 1 of the request is damaged"):
        check_images(strings, 100)
    check_images(strings, 100, flagged=True)
    assert strings.tolist() == [png((1, 2, 3)), b""]
