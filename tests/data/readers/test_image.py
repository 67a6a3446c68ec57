"""Decoding and resizing against Pillow."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_fvvae.data import decode_image, resize_image
from keras_fvvae.data.readers import image
from keras_fvvae.data.readers.image import RESIZE_MODES, antialiased, decode_pixels, resize_pixels
from keras_fvvae.data.readers.image_size import jpeg_scans


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
@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("sides", [(13, 29), (1, 1), (64, 64), (2, 2000), (2000, 1)])
def test_size_is_exact(sides, size, mode):
    image = np.full((*sides, 3), 90, "uint8")
    resized = resize_image(image, size, mode).numpy()
    assert resized.shape == (*size, 3)
    assert resized.dtype == "float32"
    assert resized.max() == pytest.approx(90, abs=0.01)
    assert mode == "pad" or resized.min() == pytest.approx(90, abs=0.01)


@pytest.mark.parametrize(
    ("sides", "size", "inside"),
    [
        ((20, 60), (30, 30), (slice(10, 20), slice(0, 30))),  # smaller, bands above and below
        ((20, 5), (40, 30), (slice(0, 40), slice(10, 20))),  # larger, bands left and right
        ((30, 40), (30, 40), (slice(0, 30), slice(0, 40))),
        ((2, 2000), (21, 21), (slice(10, 11), slice(0, 21))),  # never less than a pixel
    ],
)
def test_pad_keeps_the_whole_image_and_its_aspect(sides, size, inside):
    image = np.random.default_rng(0).integers(100, 200, (*sides, 3)).astype("uint8")
    padded = resize_image(image, size, "pad").numpy()
    shown = padded[inside]
    np.testing.assert_allclose(shown, tf.image.resize(image, shown.shape[:2], antialias=True), atol=1e-3)
    padded[inside] = 0
    assert not padded.any()


def test_pad_shows_the_borders_that_crop_cuts_off():
    image = np.zeros((20, 60, 3), "uint8")
    image[:, :10] = 255
    assert resize_image(image, (12, 12), "crop").numpy().max() < 1
    assert resize_image(image, (12, 12), "pad").numpy()[6, 0, 0] > 250


@pytest.mark.parametrize("sides", [(2, 2000), (2000, 2)])
@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_extreme_aspects_stay_cheap(monkeypatch, sides, mode):
    """Scaled before it is cut, 2x2000 pixels would be 224x224,000."""
    resized = []

    def scale(image, size):
        resized.append(antialiased(image, size))
        return resized[-1]

    resize_image(np.zeros((*sides, 3), "uint8"), (224, 224), mode, scale)
    assert max(np.prod(pixels.shape[:2]) for pixels in resized) <= 224 * 224


@pytest.mark.parametrize("shape", [(40, 31, 3), (13, 29, 20), (2, 300, 3), (1, 1, 3), (5, 64, 48, 3), (0, 9, 8, 3)])
@pytest.mark.parametrize("size", [(7, 9), (64, 48), (31, 200), (1, 1)])
def test_antialiased_is_tensorflows_resize_to_the_bit(shape, size):
    rng = np.random.default_rng(0)
    for pixels in (rng.integers(0, 256, shape).astype("uint8"), rng.normal(0, 50, shape).astype("float32")):
        expected = tf.image.resize(pixels, size, antialias=True).numpy()
        assert np.array_equal(antialiased(pixels, size), expected)
        graph = tf.function(
            antialiased, [tf.TensorSpec([None] * len(shape), pixels.dtype), tf.TensorSpec((2,), "int32")]
        )
        assert np.array_equal(graph(pixels, size), expected)


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_resize_pixels_is_resize_image(mode, dtype):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 37, 3)).astype(dtype)
    assert np.array_equal(
        resize_pixels(pixels[::2, ::-1], (20, 30), mode), resize_image(pixels[::2, ::-1], (20, 30), mode)
    )
    assert resize_pixels(pixels, (50, 37), mode) is pixels


@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_resizing_in_a_graph_of_unknown_sides(mode):
    graph = tf.function(
        lambda image: resize_image(image, (7, 9), mode), input_signature=[tf.TensorSpec((None, None, 3), "uint8")]
    )
    for sides in ((13, 29), (40, 11)):
        image = np.random.default_rng(0).integers(0, 255, (*sides, 3)).astype("uint8")
        assert graph.get_concrete_function().output_shapes == (7, 9, 3)
        np.testing.assert_allclose(graph(image), resize_image(image, (7, 9), mode), atol=1e-3)


def test_decode_pixels(picture):
    content = _bytes(picture, "PNG")
    assert np.array_equal(decode_pixels(content), np.asarray(picture))
    for broken, reason in ((b"", "empty"), (b"x", "not a JPEG, PNG"), (content[:90], "truncated or damaged")):
        with pytest.raises(ValueError, match=reason):
            decode_pixels(broken)


def test_unknown_mode():
    with pytest.raises(ValueError, match="`mode` must be one of"):
        resize_image(np.zeros((4, 4, 3)), (2, 2), "stretch")


def test_damage_raises(picture):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(_bytes(picture, "PNG")[:100])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_too_many_pixels_are_refused_before_they_are_decoded(picture, kind, monkeypatch):
    monkeypatch.setattr(image, "MAX_PIXELS", 1999)
    monkeypatch.setattr(image, "decode_image", None)
    with pytest.raises(ValueError, match="claims 2,000 pixels, more than the limit of 1,999"):
        decode_pixels(_bytes(picture, kind))


def test_a_long_animation_is_not_too_many_pixels(picture, monkeypatch):
    monkeypatch.setattr(image, "MAX_PIXELS", 2000)
    first, *others = [picture.rotate(90 * turn, expand=False).convert("P") for turn in range(3)]
    content = _bytes(first, "GIF", save_all=True, append_images=others)
    assert np.array_equal(decode_pixels(content), np.asarray(first.convert("RGB")))


def test_too_many_scans_of_a_jpeg_are_refused(picture):
    """Each goes over the whole picture again: forty thousand take minutes."""
    content = _bytes(picture, "JPEG", progressive=True)
    assert 1 < jpeg_scans(content) < 20
    for shifted in (content, content[:2] + b"\xff" + content[2:]):  # markers at even places and at odd ones
        assert jpeg_scans(shifted) == shifted.count(b"\xff\xda")
    decode_pixels(content)
    start = content.rindex(b"\xff\xda")
    many = content[:start] + 1000 * content[start:-2] + content[-2:]
    with pytest.raises(ValueError, match=r"has 1,00\d scans, more than the limit of 100"):
        decode_pixels(many)
