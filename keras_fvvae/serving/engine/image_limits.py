"""Encoded images are looked at before they are decoded: a small file can claim more pixels than memory holds."""

import io
import re
import warnings

from PIL import Image

from keras_fvvae.serving.errors import invalid

# The formats that TensorFlow decodes, by the bytes that it tells them from. Other strings are no images to it.
_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WEBP",
    # Pillow does not read JPEG XL, so that its size is never known.
    b"\xff\x0a": "JXL",
    b"\0\0\0\x0cJXL ": "JXL",
}
_GIF_FRAME, _GIF_END = 0x2C, 0x3B


def claimed_pixels(content):
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
    kind = next((kind for magic, kind in _MAGIC.items() if content.startswith(magic)), None)
    if kind is None:
        return 0
    try:
        if kind == "GIF":
            return _gif_pixels(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=(kind,)) as image:  # reads the header alone
                return image.width * image.height
    except Image.DecompressionBombError as error:  # "Image size (400000000 pixels) exceeds limit ..."
        return int(re.search(r"\d+", str(error))[0])
    except Exception:  # IndexError where the GIF ends; Pillow raises many classes for damaged headers
        return None


def _gif_pixels(content):
    """The area of the screen or of all frames, whichever is more; Pillow trusts the screen, TensorFlow the frames."""
    screen = _area(content, 6)
    position = 13 + _color_table(content[10])
    frames = 0
    while content[position] != _GIF_END:
        if content[position] == _GIF_FRAME:
            frames += _area(content, position + 5)
            position += 11 + _color_table(content[position + 9])  # and the byte of LZW's code size
        else:
            position += 2  # an extension and its label
        while content[position]:
            position += content[position] + 1
        position += 1
    return max(screen, frames)


def _area(content, position):
    if len(content) < position + 4:
        raise IndexError("the GIF ends in a header")
    width, height = content[position : position + 2], content[position + 2 : position + 4]
    return int.from_bytes(width, "little") * int.from_bytes(height, "little")


def _color_table(flags):
    """Bytes of a color table, by the flags before it."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def check_images(strings, max_pixels, flagged=False):
    """Refuses images of too many pixels.

    Args:
        strings: object array of bytes, changed in place.
        max_pixels: the limit.
        flagged: whether the signature flags undecodable images in an output `valid`. An image with a damaged header is
            then replaced by no bytes, which is flagged; else it fails the request.

    Raises:
        ServingError: INVALID_ARGUMENT, with the position of the image.
    """
    flat = strings.reshape(-1)
    for index, content in enumerate(flat):
        pixels = claimed_pixels(content)
        if pixels is None and not flagged:
            raise invalid(f"Image {index} of the request is damaged: its header cannot be read.")
        if pixels is None:
            flat[index] = b""
        elif pixels > max_pixels:
            raise invalid(f"Image {index} of the request claims {pixels:,} pixels; the limit is {max_pixels:,}.")
