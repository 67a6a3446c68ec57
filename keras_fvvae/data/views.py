"""What a network sees of an image or a video: its frames or their optical flow, resized and cropped."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_fvvae.data.crops import TEN_CROPS, center_crop, ten_crops
from keras_fvvae.data.readers.flow import (
    STACK,
    ZERO,
    FlowFolder,
    FlowSettings,
    flow_at,
    flow_image,
    has_flow,
)
from keras_fvvae.data.readers.image import RESIZE_MODES, decode_pixels, resize_pixels
from keras_fvvae.data.readers.video import every_position, read_video, uniform_positions
from keras_fvvae.errors import DataError

if TYPE_CHECKING:
    from keras_fvvae.data.collection import Collection

MODALITIES = ("rgb", "flow", "flow_stack")
CROPS = ("center", "ten")
# Frames a video (Section 5.2).
FRAMES = 25
# Every k-th frame of an hour-long video would not fit in memory.
MAX_FRAMES = 1024
# An image of fewer pixels has no content to encode: most often a tracking pixel or a failed conversion.
MIN_SIDE = 2


@dataclasses.dataclass(frozen=True)
class Views:
    """How views are taken from an image or a video.

    A view is what goes through the backbone at once. An image gives one, or ten with `crops="ten"`; a video gives as
    many for each of its frames. The representation of an item is the mean of its views' raw Fisher vectors.

    Args:
        size: `(height, width)` of a view in pixels.
        resize_to: `(height, width)` that images and frames are brought to before they are cropped to `size`; the
            paper's videos: 240x320, cropped to 224x224. `None`: `size`.
        resize: `"squeeze"`, `"crop"` or `"pad"`, see `resize_image`.
        crops: `"center"`, or `"ten"` for the corners and the centre, mirrored too.
        modality: `"rgb"`; `"flow"`: optical flow from a frame to the next as an image of x, y and magnitude;
            `"flow_stack"`: x and y of ten consecutive pairs, 20 channels.
        frames: frames of a video, uniformly spaced.
        frame_step: every so many-th frame of a video, instead of `frames`.
        flow: `FlowSettings`.

    Raises:
        ValueError: for a value out of range.

    Example:
        >>> views = Views((224, 224), resize_to=(240, 320), crops="ten")
        >>> views.per_item("video"), views.channels
        (250, 3)
    """

    size: tuple
    resize_to: tuple | None = None
    resize: str = "squeeze"
    crops: str = "center"
    modality: str = "rgb"
    frames: int = FRAMES
    frame_step: int | None = None
    flow: FlowSettings = dataclasses.field(default_factory=FlowSettings)

    def __post_init__(self):
        object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "resize_to", tuple(self.resize_to or self.size))
        for name, options in (("resize", RESIZE_MODES), ("crops", CROPS), ("modality", MODALITIES)):
            if getattr(self, name) not in options:
                raise ValueError(f"`{name}` must be one of {options}. Received: {name}={getattr(self, name)!r}")
        if any(outer < inner for outer, inner in zip(self.resize_to, self.size, strict=True)):
            raise ValueError(f"`resize_to` {self.resize_to} must be at least as large as the crop, {self.size}.")
        if self.frames < 1 or (self.frame_step is not None and self.frame_step < 1):
            raise ValueError(f"`frames` and `frame_step` must be positive: {self.frames}, {self.frame_step}")

    @property
    def channels(self) -> int:
        return 2 * STACK if self.modality == "flow_stack" else 3

    @property
    def pairs(self) -> int:
        """Consecutive pairs of frames that one view of optical flow needs; 0 for RGB."""
        return {"rgb": 0, "flow": 1, "flow_stack": STACK}[self.modality]

    @property
    def is_flow(self) -> bool:
        return self.modality != "rgb"

    def per_item(self, kind: str) -> int:
        """Views of one item of a kind of collection, at most; with `frame_step` a guess."""
        crops = TEN_CROPS if self.crops == "ten" else 1
        return crops * (self.frames if kind == "video" else 1)

    def settings(self, kind: str) -> dict:
        """Everything that the views' pixels depend on, JSON-serialisable, for the digest of a store."""
        settings: dict[str, Any] = {
            "size": self.size,
            "resize_to": self.resize_to,
            "resize": self.resize,
            "crops": self.crops,
        }
        if kind == "video":
            settings |= {"modality": self.modality, "frames": self.frames, "frame_step": self.frame_step}
            if self.is_flow:
                settings["flow"] = dataclasses.asdict(self.flow)
        return settings

    def crop(self, images: tf.Tensor) -> tf.Tensor:
        """The test views of resized images `(n, *resize_to, channels)`: float32 `(n * crops, *size, channels)`."""
        images = tf.cast(images, tf.float32)
        return ten_crops(images, self.size, self.is_flow) if self.crops == "ten" else center_crop(images, self.size)

    def positions(self, total: int, random: float | None = None) -> np.ndarray:
        """Positions of the frames, or of the first frames of the pairs, in a video of `total` frames.

        Args:
            total: frames of the video.
            random: a number in [0, 1): one position only, at this part of the video.
        """
        # Stacks that would reach beyond the end are not begun while there are others.
        starts = max(total - self.pairs, min(1, total - 1)) if self.pairs else total
        if random is not None:
            return np.array([int(random * starts)] if starts > 0 else [], int)
        if self.frame_step is None:
            return uniform_positions(starts, min(self.frames, MAX_FRAMES + 1))
        return every_position(starts, self.frame_step)[: MAX_FRAMES + 1]


def dtype_of(kind: str) -> np.dtype:
    """What `read_resized` gives: float32 for images, exactly as a served model resizes them; uint8 for frames."""
    return np.dtype("float32" if kind == "image" else "uint8")


def read_resized(
    collection: Collection,
    index: int,
    views: Sequence[Views],
    random: float | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> list[np.ndarray]:
    """Images or frames of an item, resized to `resize_to`; a video is decoded once for all `views`.

    Args:
        collection: a `Collection`.
        index: position in it.
        views: sequence of `Views`.
        random: a number in [0, 1): of a video the one frame at this part of its length instead of `Views.frames`.
        watch: see `read_video`.

    Returns:
        List of one array `(n, *resize_to, channels)` for each of the views: values 0 to 255, of dtype
        `dtype_of(collection.kind)`.

    Raises:
        OSError: if the file cannot be opened.
        DataError, ValueError: why it is not an image or a video, without its path.
    """
    if collection.kind == "image":
        pixels = read_image(collection, index)
        return [resize_pixels(pixels, one.resize_to, one.resize)[np.newaxis].astype("float32") for one in views]
    source: Any = collection.sources[index]
    folder = not isinstance(source, np.ndarray) and Path(source).is_dir()
    stored = {one for one in views if one.is_flow and folder and has_flow(source)}
    decoded, damage = _decode(source, [one for one in views if one not in stored], random, watch)
    if damage and random is None:  # a random frame is read from a part of the video only
        collection.damage[index] = damage
    return [_stored_flow(source, one, random) if one in stored else decoded[one] for one in views]


def read_image(collection: Collection, index: int) -> np.ndarray:
    """Pixels of an image of a collection, cut out where it has boxes.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: why it is not an image.
    """
    content = collection.read(index)
    pixels = content if isinstance(content, np.ndarray) else decode_pixels(content)
    if collection.boxes is not None:
        pixels = _cut_out(pixels, collection.boxes[index])
    if min(pixels.shape[:2]) < MIN_SIDE:
        raise ValueError(f"{pixels.shape[1]}x{pixels.shape[0]} pixels are too few to hold content")
    return pixels


def _cut_out(pixels, box):
    """The part of an image inside a box `(x, y, width, height)`; what leaves the image is clipped."""
    height, width = pixels.shape[:2]
    x, y, box_width, box_height = box
    left, top = (int(np.clip(np.floor(value), 0, side)) for value, side in ((x, width), (y, height)))
    right, bottom = (
        int(np.clip(np.ceil(end), 0, side)) for end, side in ((x + box_width, width), (y + box_height, height))
    )
    if right - left < MIN_SIDE or bottom - top < MIN_SIDE:
        raise ValueError(f"its box {[float(value) for value in box]} lies outside of its {width}x{height} pixels")
    return pixels[top:bottom, left:right]


def _resized_frame(pixels, size, mode):
    """Frames stay 8-bit, a quarter of the memory: a rounding is nothing beside their compression."""
    return np.round(resize_pixels(pixels, size, mode)).astype("uint8")


def _decode(source, views, random, watch=None):
    """Dictionary from each of the views to its frames or flow images, from one pass over the video; and its damage."""
    if not views:
        return {}, ""
    sizes = {(one.resize_to, one.resize) for one in views}

    def wanted(total):
        starts = ((one, int(start)) for one in views for start in one.positions(total, random))
        return {start + step for one, start in starts for step in range(one.pairs + 1) if start + step < total}

    def resized(pixels):
        return {size: _resized_frame(pixels, *size) for size in sizes}

    video = read_video(source, wanted, resized, to_the_end=random is None, watch=watch)
    result = {}
    for one in views:
        frames = {position: images[one.resize_to, one.resize] for position, images in video.frames.items()}
        starts = [int(start) for start in one.positions(video.total, random)]
        check_count(one, starts, video.total)
        images = (_view(frames, start, one) for start in starts)
        result[one] = _stacked([image for image in images if image is not None])
    return result, video.damage


def _view(frames, start, views):
    if not views.is_flow:
        return frames.get(start)
    if start not in frames or start + 1 not in frames:
        return None
    flow = flow_at(frames, start, views.flow, views.pairs)
    return flow_image(flow, views.flow.bound) if views.modality == "flow" else flow


def _stored_flow(folder, views, random):
    """Flow images from flow frames computed beforehand; a folder of `n` pairs stands for a video of `n + 1` frames."""
    stored = FlowFolder(folder)
    starts = views.positions(stored.pairs + 1, random)
    check_count(views, starts, stored.pairs + 1)
    images = []
    for start in starts:
        positions = (min(int(start) + step, stored.pairs - 1) for step in range(views.pairs))
        pairs = [stored.read(position) for position in positions]
        if all(pair is not None for pair in pairs):
            flow = np.concatenate(pairs, axis=-1)
            image = flow_image(flow, views.flow.bound) if views.modality == "flow" else flow
            # Around no motion, so that padding adds none.
            resized = resize_pixels(image.astype("float32") - ZERO, views.resize_to, views.resize) + ZERO
            images.append(np.round(resized).astype("uint8"))
    return _stacked(images)


def check_count(views: Views, starts: Sequence[int] | np.ndarray, total: int) -> None:
    """Refuses a video with too few frames for optical flow, or of which too many are asked for.

    Raises:
        DataError: saying which.
    """
    if views.is_flow and total == 1:
        raise DataError("it has a single frame; optical flow needs two")
    if len(starts) > MAX_FRAMES:
        raise DataError(
            f"more than {MAX_FRAMES} of its {total} frames are asked for: lower `frames` or raise `frame_step`"
        )


def _stacked(images):
    if not images:
        raise DataError("none of the frames asked for can be decoded")
    return np.stack(images)
