"""Images: every format decodes to its picture, and what is none is refused before it costs anything."""

import io
import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_fvvae.data.readers.image import decode_pixels
from tests.support.hostile import Close, Refused, check

COLOR = (200, 30, 90)
GRAY = 77
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
NO_IMAGE = Refused("not a JPEG, PNG, WebP, BMP or GIF image")
DAMAGED = Refused("truncated or damaged")
TOO_LARGE = Refused(r"claims [\d,]+ pixels, more than the limit of 200,000,000")


def encoded(kind, mode="RGB", color=COLOR, size=(16, 12), **options):
    buffer = io.BytesIO()
    Image.new(mode, size, color).save(buffer, kind, **options)
    return buffer.getvalue()


def noise(kind, **options):
    """A picture without any redundancy, so that every part of the file matters."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype("uint8")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def palette(kind, transparent=False):
    image = Image.new("P", (16, 12), 1)
    image.putpalette([0, 0, 0, *COLOR, *([9] * 762)])
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"transparency": 0} if transparent else {}))
    return buffer.getvalue()


def animation(kind, **options):
    first, *others = (Image.new("RGB", (16, 12), color) for color in (COLOR, (0, 0, 255), (0, 255, 0)))
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=others, duration=100, **options)
    return buffer.getvalue()


def png_of(width, height, depth=8, color=2, data=b"\0" * 100, crc=None):
    def chunk(name, content):
        checksum = zlib.crc32(name + content) if crc is None else crc
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg_of(width, height):
    """A JPEG whose header claims another size."""
    content = bytearray(encoded("JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def bmp_of(width, height):
    content = bytearray(encoded("BMP"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def bmp_with(bits=24, storage=0):
    content = bytearray(encoded("BMP"))
    content[28:34] = struct.pack("<HI", bits, storage)
    return bytes(content)


def gif_of(width, height, frame=None):
    content = bytearray(encoded("GIF"))
    content[6:10] = struct.pack("<HH", width, height)
    if frame:
        place = content.index(b"\x2c", 13) + 5
        content[place : place + 4] = struct.pack("<HH", *frame)
    return bytes(content)


def webp_of(width, height):
    extended = b"VP8X" + struct.pack("<I", 10) + b"\0" * 4
    extended += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(extended) + 4) + b"WEBP" + extended


def scans(count):
    content = encoded("JPEG", progressive=True)
    start = content.rindex(b"\xff\xda")
    return content[:start] + count * content[start:-2] + content[-2:]


PICTURES = {
    **{
        f"{kind}": (lambda kind=kind: encoded(kind, **({"lossless": True} if kind == "WEBP" else {})))
        for kind in FORMATS
    },
    "JPEG of quality 100": lambda: encoded("JPEG", quality=100, subsampling=0),
    "progressive JPEG": lambda: encoded("JPEG", progressive=True),
    "JPEG with a comment of 60 kB": lambda: encoded("JPEG", comment=b"\xff\xda" * 20 + b"x" * 60_000),
    "JPEG and 1 MB behind it": lambda: encoded("JPEG") + b"\0" * 1_000_000,
    "JPEG with zeros between its markers": lambda: encoded("JPEG").replace(b"\xff\xc0", b"\xff\xff\xff\xc0", 1),
    "PNG and garbage behind it": lambda: encoded("PNG") + b"garbage",
    "PNG with palette": lambda: palette("PNG"),
    "PNG with transparent palette": lambda: palette("PNG", transparent=True),
    "PNG with alpha": lambda: encoded("PNG", "RGBA", (*COLOR, 255)),
    "PNG, wholly transparent": lambda: encoded("PNG", "RGBA", (*COLOR, 0)),
    "BMP with palette": lambda: palette("BMP"),
    "BMP of 32 bits": lambda: encoded("BMP", "RGBA", (*COLOR, 255)),
    "GIF with transparency": lambda: palette("GIF", transparent=True),
    "GIF of three frames": lambda: animation("GIF"),
    "GIF that repeats for ever": lambda: animation("GIF", loop=0),
    "lossy WebP": lambda: encoded("WEBP", quality=90),
    "WebP with alpha": lambda: encoded("WEBP", "RGBA", (*COLOR, 255), lossless=True),
    "animated WebP": lambda: animation("WEBP", lossless=True),
    "WebP with Exif": lambda: encoded("WEBP", exif=b"Exif\0\0" + b"x" * 50, lossless=True),
}
GRAYS = {
    "gray PNG": lambda: encoded("PNG", "L", GRAY),
    "gray PNG with alpha": lambda: encoded("PNG", "LA", (GRAY, 255)),
    "gray PNG of 16 bits": lambda: encoded("PNG", "I;16", GRAY * 257),
    "gray JPEG": lambda: encoded("JPEG", "L", GRAY),
    "gray GIF": lambda: encoded("GIF", "L", GRAY),
    "gray BMP": lambda: encoded("BMP", "L", GRAY),
    "gray WebP": lambda: encoded("WEBP", "L", GRAY, lossless=True),
}
WHITES = {
    "PNG of 1 bit": lambda: encoded("PNG", "1", 1),
    "BMP of 1 bit": lambda: encoded("BMP", "1", 1),
}
REFUSED = {
    "nothing": (lambda: b"", Refused("^the file is empty$")),
    "a byte": (lambda: b"\xff", NO_IMAGE),
    "zeros": (lambda: b"\0" * 4096, NO_IMAGE),
    "text": (lambda: b"this is no image", NO_IMAGE),
    "a page of a server": (lambda: b"<!DOCTYPE html><title>404</title>", NO_IMAGE),
    "SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', NO_IMAGE),
    "a pointer of Git LFS": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", NO_IMAGE),
    "TIFF": (lambda: encoded("TIFF"), NO_IMAGE),
    "ICO": (lambda: encoded("ICO"), NO_IMAGE),
    "PPM": (lambda: encoded("PPM"), NO_IMAGE),
    "PDF": (lambda: b"%PDF-1.7\n" + b"0" * 100, NO_IMAGE),
    "ZIP": (lambda: b"PK\x03\x04" + b"\0" * 100, NO_IMAGE),
    "a pickle": (lambda: pickle.dumps({"a": 1}), NO_IMAGE),
    "an array of NumPy": (lambda: b"\x93NUMPY" + b"\0" * 100, NO_IMAGE),
    "AVIF": (lambda: b"\0\0\0\x20ftypavif" + b"\0" * 100, NO_IMAGE),
    "HEIC": (lambda: b"\0\0\0\x18ftypheic" + b"\0" * 100, NO_IMAGE),
    "MP4": (lambda: b"\0\0\0\x18ftypmp42" + b"\0" * 100, NO_IMAGE),
    "JPEG XL": (lambda: b"\xff\x0a" + b"\0" * 100, NO_IMAGE),
    "JPEG XL in its container": (lambda: b"\0\0\0\x0cJXL \r\n\x87\n", NO_IMAGE),
    "JPEG 2000": (lambda: b"\0\0\0\x0cjP  \r\n\x87\n", NO_IMAGE),
    "a sound": (lambda: b"RIFF\x24\0\0\0WAVEfmt ", NO_IMAGE),
    "a film": (lambda: b"RIFF\x24\0\0\0AVI LIST", NO_IMAGE),
    "half a header of WebP": (lambda: b"RIFF\x24\0\0\0WE", DAMAGED),
    **{
        f"the first {count} bytes of {kind}": (lambda kind=kind, count=count: noise(kind)[:count], DAMAGED)
        for kind in FORMATS
        for count in (4, 20, 60)
    },
    **{
        f"half of {kind}": (lambda kind=kind: noise(kind)[: len(noise(kind)) // 2], DAMAGED)
        for kind in ("PNG", "WEBP", "BMP", "GIF")
    },
    "PNG that claims 20,000 x 20,000": (lambda: png_of(20_000, 20_000), TOO_LARGE),
    "PNG that claims 2^31 x 1": (lambda: png_of(2**31 - 1, 1), TOO_LARGE),
    "PNG of 0 x 0": (lambda: png_of(0, 0), DAMAGED),
    "PNG of 0 x 5": (lambda: png_of(0, 5), DAMAGED),
    "PNG with a wrong checksum": (lambda: png_of(4, 4, crc=1), DAMAGED),
    "PNG of a depth that is none": (lambda: png_of(4, 4, depth=7), DAMAGED),
    "PNG of a colour type that is none": (lambda: png_of(4, 4, color=5), DAMAGED),
    "PNG with too few pixels": (lambda: png_of(64, 64, data=b"\0" * 10), DAMAGED),
    "PNG whose chunk promises 4 GB": (lambda: b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR" + b"\0" * 30, DAMAGED),
    "JPEG that claims 65,500 x 65,500": (lambda: jpeg_of(65_500, 65_500), TOO_LARGE),
    "JPEG without height": (lambda: jpeg_of(16, 0), DAMAGED),
    "JPEG without any frame": (lambda: b"\xff\xd8\xff\xd9", DAMAGED),
    "JPEG of 300 scans": (lambda: scans(300), Refused("has 3[0-9]{2} scans, more than the limit of 100")),
    "JPEG of nothing but markers": (lambda: b"\xff\xd8" + b"\xff\xd0" * 5000, DAMAGED),
    "JPEG of nothing but 255": (lambda: b"\xff\xd8" + b"\xff" * 100_000, DAMAGED),
    "BMP that claims 30,000 x 30,000": (lambda: bmp_of(30_000, 30_000), TOO_LARGE),
    "BMP that claims the least of heights": (lambda: bmp_of(16, -(2**31)), TOO_LARGE),
    "BMP of a negative width": (lambda: bmp_of(-16, 12), DAMAGED),
    "BMP of no size": (lambda: bmp_of(0, 0), DAMAGED),
    "BMP of 2 bits": (lambda: bmp_with(2), Refused("a BMP of 2 bits a pixel, which is not read: save it as PNG")),
    "BMP of 64 bits": (lambda: bmp_with(64), Refused("a BMP of 64 bits a pixel, which is not read")),
    "BMP with a JPEG inside": (lambda: bmp_with(0, 4), Refused("a BMP with a JPEG inside, which is not read")),
    "BMP with a PNG inside": (lambda: bmp_with(0, 5), Refused("a BMP with a PNG inside, which is not read")),
    "BMP of 7 bits": (lambda: bmp_with(7), DAMAGED),
    "GIF that claims 65,535 x 65,535": (lambda: gif_of(65_535, 65_535), TOO_LARGE),
    "GIF whose frame claims that": (lambda: gif_of(16, 12, frame=(65_535, 65_535)), TOO_LARGE),
    "GIF without frames": (lambda: b"GIF89a" + struct.pack("<HH", 4, 4) + b"\0\0\0;", DAMAGED),
    "WebP that claims 16,383 x 16,383": (lambda: webp_of(16_383, 16_383), TOO_LARGE),
    "WebP without a picture": (lambda: webp_of(4, 4), DAMAGED),
    "WebP of an unknown chunk": (lambda: b"RIFF\x10\0\0\0WEBPVP9 \0\0\0\0", DAMAGED),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name):
    check(lambda: decode_pixels(PICTURES[name]())[6, 8], Close(COLOR, 3))


@pytest.mark.parametrize("name", GRAYS)
def test_grays(name):
    check(lambda: decode_pixels(GRAYS[name]())[6, 8], Close([GRAY] * 3, 2))


@pytest.mark.parametrize("name", WHITES)
def test_whites(name):
    check(lambda: decode_pixels(WHITES[name]())[6, 8], Close([255] * 3, 0))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, expected = REFUSED[name]
    check(lambda: decode_pixels(make()), expected)
