"""Pixels are counted from headers."""

import io

import numpy as np
import pytest
from PIL import Image

from keras_fvvae.data.readers.image_size import claimed_pixels, first_gif_frame, image_format
from tests.serving.conftest import bomb


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP"])
def test_a_size_that_the_content_does_not_have(kind):
    """What a bomb does: 40,000 times 40,000 pixels in a few bytes."""
    content = bytearray(encoded(kind))
    if kind == "JPEG":
        start = content.index(b"\xff\xc0") + 5
        content[start : start + 4] = (40_000).to_bytes(2, "big") * 2
    elif kind == "PNG":
        content[16:24] = (40_000).to_bytes(4, "big") * 2
    elif kind == "BMP":
        content[18:26] = (40_000).to_bytes(4, "little") + (2**32 - 40_000).to_bytes(4, "little")
    else:
        content = b"RIFF\0\0\0\0WEBPVP8X\n\0\0\0" + bytes(4) + (39_999).to_bytes(3, "little") * 2
    assert claimed_pixels(bytes(content)) == 40_000**2


@pytest.mark.parametrize("options", [{"progressive": True}, {"exif": b"Exif\0\0" + b"\xff\xc0" * 40}])
def test_jpeg_whose_frame_comes_late(options):
    assert claimed_pixels(encoded("JPEG", **options)) == 13 * 7


def test_jpeg_with_garbage_between_its_segments():
    content = encoded("JPEG")
    start = content.index(b"\xff\xc0")
    assert claimed_pixels(content[:start] + b"garbage\xff\x00\xff\xff" + content[start:]) == 13 * 7


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 50}, {"save_all": True}])
def test_webp_of_all_kinds(options):
    frames = [Image.new("RGB", (13, 7), color) for color in ("blue", "green")] if "save_all" in options else []
    assert claimed_pixels(encoded("WEBP", append_images=frames, **options)) == 13 * 7


def test_first_frame_of_a_gif():
    frames = [Image.new("RGB", (13, 7), color) for color in ("blue", "green")]
    whole = encoded("GIF", append_images=frames, save_all=True)
    first = first_gif_frame(whole)
    assert claimed_pixels(first) == 13 * 7
    assert np.array_equal(Image.open(io.BytesIO(first)).convert("RGB"), Image.open(io.BytesIO(whole)).convert("RGB"))
    assert first_gif_frame(whole[:20]) == whole[:20]


def test_formats_by_their_first_bytes():
    assert image_format(encoded("WEBP")) == "WebP"
    assert image_format(b"") == ""
