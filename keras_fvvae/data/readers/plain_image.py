"""Images that TensorFlow reads wrongly or not at all, as PNG: BMP of all kinds, WebP with transparency or animated."""

import io

import numpy as np
from PIL import Image

# Of BMP: the size of the header of OS/2, and how pixels are stored: as they are, or by masks of the channels' bits.
_OS2_HEADER = 12
_PLAIN, _MASKS, _MASKS_AND_ALPHA = 0, 3, 6
_DEFAULT_MASKS = {16: (0x7C00, 0x03E0, 0x001F), 32: (0xFF0000, 0x00FF00, 0x0000FF)}
_EMBEDDED = {4: "a JPEG", 5: "a PNG"}  # for printers: another format within
# Of WebP's extended header and of its lossless one.
_ANIMATED, _TRANSPARENT = 0x02, 0x10
_LOSSLESS_TRANSPARENT = 1 << 28


def plain_image(content: bytes) -> bytes:
    """The same picture in a form that TensorFlow's decoder reads as other programs do.

    TensorFlow takes the palette's indices of a BMP for gray values, ignores the masks of its channels, refuses 1, 4 and
    16 bits a pixel, and refuses WebP that is animated or has transparency. These become a PNG without transparency; of
    an animation, of its first frame. Anything else is returned as it is.

    Args:
        content: bytes of a file.

    Returns:
        bytes.

    Raises:
        ValueError: if it is such an image and damaged, or a BMP of a kind that is not read.

    Example:
        >>> plain_image(b"anything else")
        b'anything else'
    """
    if content.startswith(b"BM") and (kind := _unreadable_bmp(content)):
        raise ValueError(f"a BMP {kind}, which is not read: save it as PNG")
    try:
        if content.startswith(b"BM") and not _is_plain_bmp(content):
            return _png(_bmp(content))
        if content.startswith(b"RIFF") and not _is_plain_webp(content):
            return _png(_by_pillow(content, "WEBP"))
    except Exception as error:  # Pillow raises many classes for what is damaged
        raise ValueError("truncated or damaged") from error
    return content


def _number(content, position, size=4):
    return int.from_bytes(content[position : position + size], "little")


def _is_plain_bmp(content):
    """Whether it has 24 bits a pixel under a header of Windows, which TensorFlow reads right."""
    return _number(content, 14) > _OS2_HEADER and _number(content, 28, 2) == 24 and _number(content, 30) == _PLAIN


def _unreadable_bmp(content):
    """What kind of BMP it is, where it is whole and yet nothing here reads it; else nothing."""
    if _number(content, 14) <= _OS2_HEADER:
        bits = _number(content, 24, 2)
    elif (storage := _number(content, 30)) in _EMBEDDED:
        return f"with {_EMBEDDED[storage]} inside"
    else:
        bits = _number(content, 28, 2)
    return f"of {bits} bits a pixel" if bits in (2, 64) else ""


def _is_plain_webp(content):
    kind = content[12:16]
    if kind == b"VP8X":
        return not content[20] & (_ANIMATED | _TRANSPARENT)
    return kind != b"VP8L" or not _number(content, 21) & _LOSSLESS_TRANSPARENT


def _bmp(content):
    bits, storage = _number(content, 28, 2), _number(content, 30)
    if _number(content, 14) > _OS2_HEADER and bits in _DEFAULT_MASKS:
        if storage in (_MASKS, _MASKS_AND_ALPHA):
            # After the header that knows of none, or inside of one that does: the same place.
            return _masked_bmp(content, bits, [_number(content, start) for start in (54, 58, 62)])
        if storage == _PLAIN:
            return _masked_bmp(content, bits, _DEFAULT_MASKS[bits])
    return _by_pillow(content, "BMP")


def _masked_bmp(content, bits, masks):
    """Pixels `(height, width, 3)` of 16 or 32 bits each, of which every channel has some."""
    width, height = (int.from_bytes(content[start : start + 4], "little", signed=True) for start in (18, 22))
    stride = -(-width * bits // 32) * 4  # rows are padded to 4 bytes
    rows = np.frombuffer(content, "uint8", stride * abs(height), _number(content, 10)).reshape(abs(height), stride)
    values = rows[:, : width * bits // 8].copy().view(f"<u{bits // 8}")
    if height > 0:  # the first row is the lowest
        values = values[::-1]
    channels = []
    for mask in masks:
        shift = (mask & -mask).bit_length() - 1 if mask else 0
        largest = max(1, mask >> shift)
        channels.append((((values & mask) >> shift).astype("uint64") * 255 // largest).astype("uint8"))
    return np.stack(channels, axis=-1)


def _by_pillow(content, name):
    with Image.open(io.BytesIO(content), formats=(name,)) as image:
        return np.asarray(image.convert("RGB"))


def _png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
