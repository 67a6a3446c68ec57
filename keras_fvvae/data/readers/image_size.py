"""What an encoded image claims to be, read from its header before anything is decoded: a small file can claim more
pixels than memory holds."""

from collections.abc import Callable
from typing import Literal

import numpy as np

# An image of fewer pixels a side has no content to encode: most often a tracking pixel or a failed conversion.
MIN_SIDE = 2
# A file format can claim more pixels than memory holds.
MAX_PIXELS = 200_000_000
# Scans of a JPEG: a progressive one has about ten. Each goes over the whole picture again, and can take only 20 bytes.
MAX_SCANS = 100
# The formats that TensorFlow decodes, by the bytes that it tells them from. Other strings are no images to it.
_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    # Its header is a stream of bits that nothing here reads, so that its size is never known.
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
}
_GIF_FRAME, _GIF_END = 0x2C, 0x3B
# Markers that begin a frame of a JPEG (its size follows), and those without a length after them.
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_JPEG_LONE = {0x01, *range(0xD0, 0xD9)}
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_SCAN = np.frombuffer(bytes([0xFF, _JPEG_SCAN]), "uint16")[0]


def image_format(content: bytes) -> str:
    """`"JPEG"`, `"PNG"`, `"GIF"`, `"BMP"`, `"WebP"` or `"JPEG XL"` by the first bytes; "" for anything else.

    Example:
        >>> image_format(b"BM..."), image_format(b"text")
        ('BMP', '')
    """
    if content.startswith(b"RIFF") and content[8:12] != b"WEBP"[: max(0, len(content) - 8)]:
        return ""  # an AVI or a sound
    return next((name for magic, name in _MAGIC.items() if content.startswith(magic)), "")


def claimed_pixels(content: bytes) -> int | None:
    """Width times height from an image's header; of an animated GIF, of all its frames, as TensorFlow decodes them all.

    Args:
        content: bytes.

    Returns:
        The number of pixels; 0 for bytes that are no JPEG, PNG, GIF, BMP or WebP; `None` where the header of one is
        damaged, so that nothing is known of what decoding would do.

    Example:
        >>> claimed_pixels(b"not an image"), claimed_pixels(b"BM"), claimed_pixels(b"\\xff\\x0a")
        (0, None, None)
    """
    name = image_format(content)
    if not name:
        return 0
    try:
        return _PIXELS[name](content)
    except IndexError:  # the header ends early
        return None


def jpeg_sides(content: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG from its header; `None` for anything else, or where the header ends early.

    Example:
        >>> jpeg_sides(b"GIF89a and so on") is None
        True
    """
    try:
        return _largest_frame(content) if image_format(content) == "JPEG" else None
    except IndexError:
        return None


def jpeg_scans(content: bytes) -> int:
    """Scans of a JPEG, among them those of its thumbnail; 0 for anything else."""
    if image_format(content) != "JPEG":
        return 0
    # In the data of a scan no other byte than 0 or a restart marker's follows on 255. Two bytes at a time, from the
    # first byte on and from the second: four times as fast as `bytes.count`, which takes a twentieth of the decoder's
    # time.
    halves = (np.frombuffer(content, "uint16", (len(content) - start) // 2, start) for start in (0, 1))
    return sum(int(np.count_nonzero(half == _SCAN)) for half in halves)


def first_gif_frame(content: bytes) -> bytes:
    """A GIF that ends after its first frame, which is all that is taken of an animation; as it is where it has none."""
    try:
        _, end = next(_gif_frames(content))
    except (IndexError, StopIteration):
        return content
    return content[:end] + bytes([_GIF_END])


def _unsigned(content: bytes, position: int, size: int, order: Literal["little", "big"]) -> int:
    if len(content) < position + size:
        raise IndexError("the image ends in its header")
    return int.from_bytes(content[position : position + size], order)


def _jpeg_pixels(content):
    sides = _largest_frame(content)
    return None if sides is None else sides[0] * sides[1]


def _largest_frame(content):
    """Height and width of the largest frame before the first scan; `None` where there is none.

    libjpeg reads the same markers, and skips what is between them.
    """
    position, largest = 2, None
    while True:
        while content[position] != 0xFF:
            position += 1
        while content[position] == 0xFF:
            position += 1
        marker, position = content[position], position + 1
        if marker in (_JPEG_SCAN, _JPEG_END):
            return largest
        if marker == 0 or marker in _JPEG_LONE:
            continue
        if marker in _JPEG_FRAMES:
            sides = tuple(_unsigned(content, position + start, 2, "big") for start in (3, 5))
            if largest is None or sides[0] * sides[1] > largest[0] * largest[1]:
                largest = sides
        position += max(2, _unsigned(content, position, 2, "big"))


def _png_pixels(content):
    return _unsigned(content, 16, 4, "big") * _unsigned(content, 20, 4, "big")


def _bmp_pixels(content):
    if _unsigned(content, 14, 4, "little") == 12:  # the header of OS/2
        return _unsigned(content, 18, 2, "little") * _unsigned(content, 20, 2, "little")
    width, height = (_unsigned(content, start, 4, "little") for start in (18, 22))
    return _magnitude(width) * _magnitude(height)  # a negative height: the first row is the uppermost


def _magnitude(value):
    """Of 32 bits with a sign."""
    return min(value, 2**32 - value)


def _webp_pixels(content):
    kind, body = content[12:16], 20
    if kind == b"VP8X":
        return (1 + _unsigned(content, body + 4, 3, "little")) * (1 + _unsigned(content, body + 7, 3, "little"))
    if kind == b"VP8L":
        bits = _unsigned(content, body + 1, 4, "little")
        return (1 + (bits & 0x3FFF)) * (1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 ":
        return (_unsigned(content, body + 6, 2, "little") & 0x3FFF) * (
            _unsigned(content, body + 8, 2, "little") & 0x3FFF
        )
    return None


def _gif_pixels(content):
    """The area of the screen or of all frames, whichever is more: TensorFlow trusts the frames."""
    return max(_gif_area(content, 6), sum(area for area, _ in _gif_frames(content)))


def _gif_frames(content):
    """The area of every frame of a GIF, and where it ends."""
    position = 13 + _color_table(content[10])
    while content[position] != _GIF_END:
        is_frame, area = content[position] == _GIF_FRAME, 0
        if is_frame:
            area = _gif_area(content, position + 5)
            position += 11 + _color_table(content[position + 9])  # and the byte of LZW's code size
        else:
            position += 2  # an extension and its label
        while content[position]:
            position += content[position] + 1
        position += 1
        if is_frame:
            yield area, position


def _gif_area(content, position):
    return _unsigned(content, position, 2, "little") * _unsigned(content, position + 2, 2, "little")


def _color_table(flags):
    """Bytes of a color table, by the flags before it."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


_PIXELS: dict[str, Callable[[bytes], int | None]] = {
    "JPEG": _jpeg_pixels,
    "PNG": _png_pixels,
    "GIF": _gif_pixels,
    "BMP": _bmp_pixels,
    "WebP": _webp_pixels,
    "JPEG XL": lambda content: None,
}
