"""At which scale of its cosine transform a JPEG is decoded, where its pixels shrink anyway."""

from keras_fvvae.data.readers.image_size import MIN_SIDE, jpeg_sides

# How an image is decoded: as it is, or a JPEG no larger than it is needed.
EXACT, FAST = DECODERS = ("exact", "fast")
# What libjpeg, and so TensorFlow, divides a JPEG's sides by while it decodes, the cheapest first.
_DIVISORS = (8, 4, 2)


def jpeg_divisor(content: bytes, size: tuple[int, int], mode: str) -> int:
    """What a JPEG's sides can be divided by so that resizing it to a size still does not enlarge it.

    Args:
        content: bytes of an image whose header has been read (`claimed_pixels`).
        size: `(height, width)` that the image is resized to, in pixels.
        mode: of `resize_image`.

    Returns:
        8, 4 or 2; 1 for what is no JPEG, or not large enough.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (500, 375)).save(file, "JPEG")
        >>> [jpeg_divisor(file.getvalue(), (side, side), "squeeze") for side in (224, 160, 32)]
        [1, 2, 8]
    """
    sides = jpeg_sides(content)
    if sides is None:
        return 1
    # Padding fits the longer side; the others need both.
    enough = any if mode == "pad" else all
    for divisor in _DIVISORS:
        divided = [-(-side // divisor) for side in sides]  # libjpeg rounds up
        if min(divided) >= MIN_SIDE and enough(a >= b for a, b in zip(divided, size, strict=True)):
            return divisor
    return 1
