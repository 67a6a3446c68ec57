"""The files of an index's items, read by their position where the index says, and only while they are the same."""

from __future__ import annotations

import functools
import hashlib
import io
import os
from typing import TYPE_CHECKING

import numpy as np

from keras_fvvae.data.readers.regular_file import require_regular
from keras_fvvae.errors import DataError
from keras_fvvae.serving.engine.image_limits import check_images
from keras_fvvae.serving.errors import ServingError
from keras_fvvae.serving.media import NUM_FRAMES, frames_batch, read_frames
from keras_fvvae.utils.files import sha256

if TYPE_CHECKING:
    from keras_fvvae.serving.searching.interface import ServedIndex

# Larger files are not read for a picture.
MAX_FILE_BYTES = 256 << 20
# Pixels of the longer side of a thumbnail, and how many of them, some 20 kB each, are kept.
LONGEST_SIDE = 320
KEPT = 256
_QUALITY = 85


class ItemFiles:
    """Thumbnails of items, and what a signature takes of them.

    Nothing but what was indexed is read: the path is the index's, and the SHA-256 has to be the one in the index.

    Args:
        index: the index.
        allowed: whether files are read at all.
        max_pixels: of an image, from its header.
        max_frames: of a video.
    """

    def __init__(self, index: ServedIndex, allowed: bool, max_pixels: int, max_frames: int):
        self._index = index
        self._allowed = allowed
        self._max_pixels = max_pixels
        self._max_frames = max_frames
        encoding = index.encoding or {}
        self._is_video = encoding.get("kind") == "video"
        self._views = encoding.get("views", {})
        self._drawn = functools.lru_cache(KEPT)(self._draw)

    def known(self, position: int) -> bool:
        """Whether the index says where an item's file was, and what was in it."""
        items = self._index.items
        return self._allowed and items.paths[position] is not None and items.digests[position] is not None

    def thumbnail(self, position: int) -> bytes:
        """A JPEG of an item: of a video, the one in the middle of the frames that are encoded.

        Raises:
            ServingError: NOT_FOUND, with the item's name.
        """
        return self._drawn(position, self._state(position))

    def inputs(self, position: int, names: list[str]) -> dict[str, np.ndarray]:
        """An item as inputs of a signature, of one example.

        Args:
            position: of the item.
            names: of the signature's inputs.

        Raises:
            ServingError: NOT_FOUND, with the item's name.
        """
        self._state(position)
        if self._is_video:
            return frames_batch([self._frames(position)])
        content = np.empty(1, object)
        content[0] = self._content(position)
        return {names[0]: content}

    def _state(self, position):
        """What changes with a file; refuses what is none that could be read."""
        if not self.known(position):
            raise self._missing(position, "is not shown")
        path = self._index.items.paths[position]
        try:
            require_regular(path)
            found = os.stat(path)
        except (OSError, DataError) as error:
            raise self._missing(position, "is not there any more") from error
        if found.st_size > MAX_FILE_BYTES:
            raise self._missing(position, f"is larger than {MAX_FILE_BYTES:,} bytes")
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _draw(self, position, _):
        from PIL import Image

        content = self._content(position) if not self._is_video else self._middle(self._frames(position))
        try:
            with Image.open(io.BytesIO(self._checked(content))) as image:
                image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
                small = image.convert("RGB")
            small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=_QUALITY)
        except Exception as error:  # Pillow raises many classes for what is damaged
            raise self._missing(position, "cannot be decoded") from error
        return buffer.getvalue()

    def _checked(self, content):
        """An image of few pixels, in a form that every decoder reads alike."""
        strings = np.empty(1, object)
        strings[0] = content
        check_images(strings, self._max_pixels)
        return strings[0]

    def _content(self, position):
        items = self._index.items
        try:
            with open(items.paths[position], "rb") as file:
                content = file.read(MAX_FILE_BYTES)
        except OSError as error:
            raise self._missing(position, "cannot be read") from error
        if hashlib.sha256(content).hexdigest() != items.digests[position]:
            raise self._missing(position, "was altered after it was indexed")
        return content

    def _frames(self, position):
        items = self._index.items
        if self._views.get("modality", "rgb") != "rgb":
            raise self._missing(position, "would have to be made optical flow of")
        try:
            if sha256(items.paths[position]) != items.digests[position]:
                raise self._missing(position, "was altered after it was indexed")
            count, step = self._views.get("frames", NUM_FRAMES), self._views.get("frame_step")
            frames = read_frames(items.paths[position], count, lossless=True, step=step)
        except (OSError, DataError, ValueError, TypeError) as error:  # the index may ask for any number of frames
            raise self._missing(position, "cannot be read") from error
        if len(frames) > self._max_frames:
            raise self._missing(position, f"has more than {self._max_frames:,} frames")
        return frames

    def _missing(self, position, what):
        return ServingError("NOT_FOUND", f"The file of {self._index.items.names[position]!r} {what}.")

    @staticmethod
    def _middle(frames):
        return frames[len(frames) // 2]
