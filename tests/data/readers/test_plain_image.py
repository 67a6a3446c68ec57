"""Images that TensorFlow misreads are read as Pillow, or the format's own definition, reads them."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from keras_fvvae.data.readers.image import decode_pixels
from keras_fvvae.data.readers.plain_image import plain_image

rows, columns = np.mgrid[0:40, 0:61]
PICTURE = np.stack([columns * 4, rows * 6, (columns * 2 + rows * 2) % 256], -1).astype("uint8")


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def bmp(bits, data, storage=0, masks=(), header=40, height=40, colors=b""):
    """A BMP written by hand; a header larger than 40 bytes holds the masks."""
    masks = struct.pack(f"<{len(masks)}I", *masks)
    inside = masks.ljust(header - 40, b"\0") if header > 40 else b""
    after = (b"" if inside else masks) + colors
    offset = 14 + header + len(after)
    info = struct.pack("<IiiHHIIiiII", header, 61, height, 1, bits, storage, len(data), 2835, 2835, len(colors) // 4, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + info + inside + after + data


def packed(widths, shifts, dtype):
    """The picture with so many bits a channel at such places, the lowest row first, rows padded to 4 bytes."""
    channels = zip(np.moveaxis(PICTURE, -1, 0).astype("uint64"), widths, shifts, strict=True)
    values = sum((channel >> (8 - width)) << shift for channel, width, shift in channels)
    values = values.astype(dtype)[::-1]
    odd = values.nbytes // 40 % 4
    return np.pad(values, ((0, 0), (0, odd // values.itemsize))).tobytes()


def expected(widths):
    return np.stack([(PICTURE[..., i] >> (8 - w)).astype(int) * 255 // (2**w - 1) for i, w in enumerate(widths)], -1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp_as_pillow_writes_it(mode):
    image = Image.fromarray(PICTURE)
    image = image.quantize(32) if mode == "P" else image.convert(mode)
    assert np.array_equal(decode_pixels(saved(image, "BMP")), np.asarray(image.convert("RGB")))


def test_bmp_of_four_bits():
    colors = np.random.default_rng(0).integers(0, 255, (16, 4), dtype="uint8")
    indices = np.random.default_rng(1).integers(0, 16, (40, 64), dtype="uint8")
    data = (indices[::-1, ::2] << 4 | indices[::-1, 1::2]).astype("uint8").tobytes()
    assert np.array_equal(decode_pixels(bmp(4, data, colors=colors.tobytes())), colors[indices[:, :61]][..., 2::-1])


def test_bmp_of_run_lengths():
    colors = bytes([0, 0, 0, 0, 10, 20, 30, 0])
    data = b"".join(bytes([61, row % 2, 0, 0]) for row in range(40)) + b"\0\1"
    decoded = decode_pixels(bmp(8, data, storage=1, colors=colors))
    assert decoded[39, 5].tolist() == [0, 0, 0]
    assert decoded[38, 60].tolist() == [30, 20, 10]


@pytest.mark.parametrize(
    ("bits", "widths", "shifts"),
    [
        (16, (5, 6, 5), (11, 5, 0)),
        (16, (5, 5, 5), (0, 5, 10)),  # blue where red is expected
        (16, (4, 4, 4), (8, 4, 0)),
        (32, (8, 8, 8), (0, 8, 16)),
        (32, (8, 8, 8), (24, 16, 8)),
        (32, (10, 10, 10), (20, 10, 0)),
    ],
)
@pytest.mark.parametrize("header", [40, 56, 108, 124])
def test_bmp_with_masks(bits, widths, shifts, header):
    masks = [(2**w - 1) << s for w, s in zip(widths, shifts, strict=True)]
    shown = tuple(min(w, 8) for w in widths)
    data = packed(shown, [s + w - n for s, w, n in zip(shifts, widths, shown, strict=True)], f"<u{bits // 8}")
    decoded = decode_pixels(bmp(bits, data, 3, masks, header)).astype(int)
    assert np.abs(decoded - expected(shown)).max() <= (0 if widths == shown else 1)


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("height", [40, -40])
def test_bmp_without_masks(bits, height):
    widths, shifts = ((5, 5, 5), (10, 5, 0)) if bits == 16 else ((8, 8, 8), (16, 8, 0))
    decoded = decode_pixels(bmp(bits, packed(widths, shifts, f"<u{bits // 8}"), height=height))
    assert np.array_equal(decoded, expected(widths)[:: 1 if height > 0 else -1])


def test_bmp_of_os2():
    data = np.pad(PICTURE[::-1, :, ::-1], ((0, 0), (0, 0), (0, 0))).reshape(40, -1)
    data = np.pad(data, ((0, 0), (0, -data.shape[1] % 4))).tobytes()
    content = b"BM" + struct.pack("<IHHIIHHHH", 26 + len(data), 0, 0, 26, 12, 61, 40, 1, 24) + data
    assert np.array_equal(decode_pixels(content), PICTURE)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_truncated_bmp_is_called_so(bits):
    content = bmp(bits, bytes(61 * 40 * bits // 8), colors=bytes(1024) if bits == 8 else b"")
    with pytest.raises(ValueError, match="truncated or damaged"):
        decode_pixels(content[:-500])


@pytest.mark.parametrize("options", [{"lossless": True, "exact": True}, {"quality": 90}])
def test_webp_with_transparency(options):
    rng = np.random.default_rng(0)
    alpha = rng.integers(1, 255, (40, 61, 1), dtype="uint8")
    image = Image.fromarray(np.concatenate([PICTURE, alpha], -1))
    content = saved(image, "WEBP", **options)
    decoded = decode_pixels(content)
    assert np.array_equal(decoded, np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    assert np.abs(decoded.astype(int) - PICTURE).mean() < 8


def test_first_frame_of_an_animated_webp():
    image = Image.fromarray(PICTURE)
    content = saved(image, "WEBP", save_all=True, append_images=[image.rotate(180)], lossless=True)
    assert np.array_equal(decode_pixels(content), PICTURE)
    with pytest.raises(ValueError, match="truncated or damaged"):
        decode_pixels(content[:60])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_what_tensorflow_reads_is_left_as_it_is(kind):
    content = saved(Image.fromarray(PICTURE), kind)
    assert plain_image(content) is content
