"""Images and frames as a served model takes them, encoded or as pixels: decoded, resized and cropped in the graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import tensorflow as tf

from keras_fvvae.data.readers.flow import ZERO
from keras_fvvae.data.readers.image import antialiased, decode_image, resize_image
from keras_fvvae.explanations.positions import on_picture

if TYPE_CHECKING:
    from keras_fvvae.data.views import Views


@dataclasses.dataclass(frozen=True)
class ImageInput:
    """One image an example.

    Args:
        views: `keras_fvvae.data.Views` of the training.
        flagged: whether what cannot be decoded is flagged; else it fails the call.
    """

    views: Views
    flagged: bool = False

    @property
    def specs(self) -> list[tf.TensorSpec]:
        return [tf.TensorSpec((None,), tf.string, name="image")]

    def pixels(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor | None]:
        """Views, mask and flags of encoded images.

        Returns:
            Tuple: `(N, *size, 3)`, or `(N, crops, *size, 3)` where there are several crops, whose raw vectors are
            averaged; `None`; and bool `(N,)`, `None` if not `flagged`.
        """
        decoded, valid = _decoded(image, self.views, self.flagged)
        return self._cropped(decoded), None, valid

    def pixel_specs(self, size: tuple[int | None, int | None] = (None, None)) -> list[tf.TensorSpec]:
        """Inputs of callers that decode themselves: RGB of a height and width; `None`: of any."""
        return [tf.TensorSpec((None, *size, 3), tf.uint8, name="pixels")]

    def of_pixels(
        self, pixels: tf.Tensor, scale: Callable = antialiased
    ) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor | None]:
        """As `pixels`, of decoded images `(N, height, width, 3)`; `scale` as for `resize_image`."""
        valid = tf.ones(tf.shape(pixels)[:1], tf.bool) if self.flagged else None
        return self._cropped(_resized(pixels, self.views, scale)), None, valid

    def _cropped(self, images):
        pixels = self.views.crop(images)
        crops = self.views.per_item("image")
        return pixels if crops == 1 else tf.reshape(pixels, (-1, crops, *self.views.size, 3))

    def on_picture(self, maps: tf.Tensor) -> tf.Tensor:
        """Maps `(N, h, w)` of views as maps of the resized pictures, `(N, H, W)`."""
        return on_picture(tf.reshape(maps, (-1, self.views.per_item("image"), *maps.shape[-2:])), self.views)

    def example(self) -> dict[str, tf.Tensor]:
        """Inputs of one example, for warming up."""
        return {"image": tf.constant([gray_image(self.views)])}

    def pixel_example(self) -> dict[str, tf.Tensor]:
        """The same as pixels."""
        return {"pixels": _gray(self.views)[tf.newaxis]}


@dataclasses.dataclass(frozen=True)
class FrameInput:
    """The frames of one video an example; or its flow frames: images of x, y and magnitude.

    Args:
        views: `keras_fvvae.data.Views` of the training; of optical flow, flow frames are taken.
        flagged: whether what cannot be decoded is flagged; else it fails the call.
    """

    views: Views
    flagged: bool = False

    @property
    def names(self) -> tuple[str, str]:
        return ("flow_frames", "num_flow_frames") if self.views.is_flow else ("frames", "num_frames")

    @property
    def specs(self) -> list[tf.TensorSpec]:
        frames, count = self.names
        return [tf.TensorSpec((None, None), tf.string, name=frames), tf.TensorSpec((None,), tf.int32, name=count)]

    def pixel_specs(self, size: tuple[int | None, int | None] = (None, None)) -> list[tf.TensorSpec]:
        """Inputs of callers that decode themselves: RGB frames of a height and width; `None`: of any."""
        pixels = tf.TensorSpec((None, None, *size, 3), tf.uint8, name="pixels")
        return [pixels, tf.TensorSpec((None,), tf.int32, name=self.names[1])]

    def pixels(self, frames: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor | None]:
        """Views, mask and flags of videos; what follows after the first `count` frames may be anything.

        Returns:
            Tuple: `(N, T * crops, *size, 3)`; bool `(N, T * crops)`; and bool `(N,)`, `None` if not `flagged`: whether
            all frames of a video could be decoded, and there are 1 to T.
        """
        count, mask, in_range = self._counted(count, tf.shape(frames)[1])
        # Padding may be anything, an empty string too: the first frame stands in its place and is masked.
        contents = tf.where(mask, frames, frames[:, :1])
        decoded, valid = _decoded(tf.reshape(contents, (-1,)), self.views, self.flagged)
        if self.flagged:
            valid = tf.reduce_all(tf.reshape(valid, tf.shape(frames)), axis=1) & in_range
        return *self._cropped(decoded, mask), valid

    def of_pixels(
        self, pixels: tf.Tensor, count: tf.Tensor, scale: Callable = antialiased
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
        """As `pixels`, of decoded frames `(N, T, height, width, 3)`; `scale` as for `resize_image`."""
        shape = tf.shape(pixels)
        _, mask, in_range = self._counted(count, shape[1])
        frames = tf.reshape(pixels, (-1, *(s or shape[2 + i] for i, s in enumerate(pixels.shape[2:4])), 3))
        cropped = self._cropped(_resized(frames, self.views, scale), mask)
        return *cropped, in_range if self.flagged else None

    def _counted(self, count, length):
        """The number of frames, their mask `(N, T)`, and whether there are so many."""
        in_range = (count >= 1) & (count <= length)
        if not self.flagged:
            message = f"{self.names[1]} must be from 1 to the second dimension of {self.names[0]}."
            with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(in_range), [message, count])]):
                count = tf.identity(count)
        return count, tf.sequence_mask(count, length), in_range

    def _cropped(self, images, mask):
        crops = self.views.per_item("image")
        length = tf.shape(mask)[1]
        pixels = tf.reshape(self.views.crop(images), (-1, length * crops, *self.views.size, 3))
        return pixels, mask if crops == 1 else tf.repeat(mask, crops, axis=1)

    def on_picture(self, maps: tf.Tensor) -> tf.Tensor:
        """Maps `(N, T * crops, h, w)` of views as maps of the resized frames, `(N, T, H, W)`."""
        placed = on_picture(tf.reshape(maps, (-1, self.views.per_item("image"), *maps.shape[-2:])), self.views)
        return tf.reshape(placed, (tf.shape(maps)[0], -1, *placed.shape[1:]))

    def example(self) -> dict[str, tf.Tensor]:
        """Inputs of one example, for warming up."""
        frames, count = self.names
        return {frames: tf.constant([[gray_image(self.views)] * 2]), count: tf.constant([2])}

    def pixel_example(self) -> dict[str, tf.Tensor]:
        """The same as pixels."""
        return {"pixels": tf.stack([[_gray(self.views)] * 2]), self.names[1]: tf.constant([2])}


def where_valid(valid: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Rows of `value` `(N, ...)` where `valid` `(N,)`; the others are NaN, or empty texts."""
    nothing = tf.constant("") if value.dtype == tf.string else tf.constant(float("nan"), value.dtype)
    return tf.where(tf.reshape(valid, (-1, *[1] * (len(value.shape) - 1))), value, nothing)


def gray_image(views: Views) -> bytes:
    """A gray image of the size that images are resized to, as JPEG bytes."""
    return tf.io.encode_jpeg(_gray(views)).numpy()


def _gray(views):
    return tf.fill((*views.resize_to, 3), tf.constant(ZERO, tf.uint8))


def _resized(pixels, views, scale):
    """Decoded images of one size, `(n, height, width, 3)`, as `(n, *resize_to, 3)`."""
    if tuple(pixels.shape[1:3]) == views.resize_to:
        return tf.cast(pixels, tf.float32)
    resized = resize_image(tf.cast(pixels, tf.float32), views.resize_to, views.resize, scale)
    return tf.ensure_shape(resized, (None, *views.resize_to, 3))


def _decoded(contents, views, flagged):
    """Resized images `(n, *resize_to, 3)`, and bool `(n,)` or `None`."""
    shape = (*views.resize_to, 3)

    def prepared(one):
        image = decode_image(one)
        if views.is_flow:
            # As flow frames are read in training: around no motion, so that padding adds none, then 8 bits.
            resized = resize_image(tf.cast(image, tf.float32) - ZERO, views.resize_to, views.resize)
            return tf.ensure_shape(tf.round(resized + ZERO), shape)
        return tf.ensure_shape(resize_image(image, views.resize_to, views.resize), shape)

    def attempted(one):
        # Nothing in a graph catches an error but a data set: what cannot be decoded is left out of this one.
        images = tf.data.Dataset.from_tensors(one).map(lambda content: (prepared(content), True)).ignore_errors()
        fallback = tf.data.Dataset.from_tensors((tf.zeros(shape), False))
        return images.concatenate(fallback).take(1).get_single_element()

    # map_fn keeps dimension 0 the number of requests' examples, which TensorFlow Serving's batching needs.
    spec = tf.TensorSpec(shape, tf.float32)
    if flagged:
        return tf.map_fn(attempted, contents, fn_output_signature=(spec, tf.TensorSpec((), tf.bool)))
    return tf.map_fn(prepared, contents, fn_output_signature=spec), None
