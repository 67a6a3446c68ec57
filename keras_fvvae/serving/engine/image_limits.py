"""Encoded images are looked at before they are decoded: too many pixels, and what TensorFlow would read wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_fvvae.data.readers.image_size import MAX_SCANS, claimed_pixels, jpeg_scans
from keras_fvvae.data.readers.plain_image import plain_image
from keras_fvvae.serving.errors import invalid

if TYPE_CHECKING:
    import numpy as np


def check_images(strings: np.ndarray, max_pixels: int, flagged: bool = False) -> None:
    """Refuses images of too many pixels, and makes PNG of what TensorFlow does not read as other programs do.

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
        elif (scans := jpeg_scans(content)) > MAX_SCANS:
            raise invalid(f"Image {index} of the request has {scans:,} scans; the limit is {MAX_SCANS:,}.")
        elif pixels:
            flat[index] = _plain(content, index, flagged)


def _plain(content, index, flagged):
    try:
        return plain_image(content)
    except ValueError as error:
        if flagged:
            return b""
        raise invalid(f"Image {index} of the request is {error}.") from error
