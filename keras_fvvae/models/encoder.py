"""What encoders share: vectors of images or videos, whatever the raw vector of an image is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fvvae.layers import GramPCA
from keras_fvvae.layers.descriptor_inputs import wide_dtype
from keras_fvvae.models.nested import NestedModel, Reader, require_reader


class Encoder(NestedModel):
    """A model from images, or videos of frames, to vectors: the base of `FisherEncoder` and `JoinedEncoder`.

    An encoder says what the raw vector of an image is (`raw_of_images`, `raw_shape`) and how raw vectors are normalised
    (`normalize_uncompressed`). Frames are averaged in between, and a compression may follow.

    Attributes:
        backbone: model from images to activation maps; `None`: the inputs are activation maps.
        compression: a `keras_fvvae.layers.GramPCA`, or `None`.
        raw_shape: of the raw vector of an image, once built.
        reader: how `encode` reads files, set by `keras_fvvae.zoo.load_encoder`; not saved with the model.
    """

    backbone: keras.Model | None
    compression: GramPCA | None
    raw_shape: tuple[int, ...]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reader: Reader | None = None
        self._raw_function = _CompiledByRank(self, self.encode_raw)
        self._normalize_function = _CompiledByRank(self, self.normalize_uncompressed)
        self.supports_masking = True

    def raw_of_images(self, images: Any, training: bool = False) -> Any:
        """Raw vectors `(batch, *raw_shape)` of images."""
        raise NotImplementedError

    def normalize_uncompressed(self, raw: Any) -> Any:
        """Vectors `(batch, uncompressed_dim)` of raw vectors, before the compression."""
        raise NotImplementedError

    def require_adapted(self, raw: Any) -> None:
        """Raises a `ValueError` where what normalises raw vectors was not adapted."""
        raise NotImplementedError

    @property
    def heads(self) -> list[keras.layers.Layer]:
        """The layers whose outputs are the raw vectors."""
        raise NotImplementedError

    @property
    def uncompressed_dim(self) -> int:
        """Entries of a representation before the compression, once built."""
        raise NotImplementedError

    def with_compression(self, compression: GramPCA) -> Encoder:
        """A built encoder of the same layers whose vectors are compressed."""
        raise NotImplementedError

    def encode_raw(self, inputs: Any, mask: Any = None, training: bool = False) -> Any:
        """Raw vectors `(batch, *raw_shape)`: sums over descriptors, means over frames."""
        self.check_rank(inputs.shape)
        if len(inputs.shape) == 4:
            return self.raw_of_images(inputs, training)
        batch, frames = ops.shape(inputs)[:2]
        images = ops.reshape(inputs, (-1, *ops.shape(inputs)[2:]))
        raw = self.raw_of_images(images, training)  # (batch * frames, ...)
        raw = ops.reshape(raw, (batch, frames, *raw.shape[1:]))
        if mask is None:
            return ops.mean(raw, axis=1)
        keep = ops.reshape(ops.cast(mask, "bool"), (batch, frames, *[1] * (len(raw.shape) - 2)))
        count = ops.sum(ops.cast(keep, raw.dtype), axis=1)
        # A masked frame is dropped, not multiplied by zero: it may hold anything, NaN included.
        return ops.sum(ops.where(keep, raw, ops.zeros_like(raw)), axis=1) / ops.maximum(count, 1)

    def call(self, inputs: Any, mask: Any = None, training: bool = False) -> Any:
        return self.normalize(self.encode_raw(inputs, mask=mask, training=training))

    def encode(self, items: Any) -> np.ndarray:
        """Vectors of images or videos as they come, read, resized and cropped as in the training.

        For models from `keras_fvvae.zoo.load_encoder`. All vectors are held in memory; `keras-fvvae encode` writes
        those of any number of files to disk.

        Args:
            items: paths, a folder, arrays of any size, Pillow images, or a `tf.data.Dataset`; see
                `keras_fvvae.data.items.item_collection`.

        Returns:
            float32 array `(n, output_dim)`.

        Raises:
            DataError: naming the first item that cannot be read.
            ValueError: for a model without a `reader`.
        """
        return require_reader(self).vectors(self, items)

    def normalize(self, raw: Any) -> Any:
        """Representations `(batch, output_dim)` of raw vectors from `encode_raw`."""
        vectors = self.normalize_uncompressed(raw)
        return vectors if self.compression is None else self.compression(vectors)

    def predict_raw_on_batch(self, inputs: Any) -> np.ndarray:
        """`encode_raw` as a compiled function on a batch of images, videos or activation maps; returns an array."""
        return ops.convert_to_numpy(self._raw_function(ops.convert_to_tensor(inputs, self.compute_dtype)))

    def normalize_on_batch(self, raw: Any, compress: bool = True) -> np.ndarray:
        """`normalize` as a compiled function on a batch of raw vectors; returns an array.

        Args:
            raw: array of raw vectors.
            compress: whether the `compression` is applied, where there is one.

        Raises:
            ValueError: if the normalisation or the compression was not adapted.
        """
        raw = ops.convert_to_tensor(raw)
        self.require_adapted(raw)  # the compiled function is traced, where nothing is checked
        vectors = self._normalize_function(raw)
        if compress and self.compression is not None:
            vectors = self.compression(vectors)
        return ops.convert_to_numpy(vectors)

    @property
    def output_dim(self) -> int:
        """Entries of a representation, once built."""
        return self.uncompressed_dim if self.compression is None else self.compression.output_dim

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, int]:
        return (input_shape[0], self.output_dim)

    def compute_output_spec(self, inputs: Any, mask: Any = None, training: bool = False) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide_dtype(self))

    def check_rank(self, shape: Sequence[int | None]) -> None:
        """Raises a `ValueError` for the shape of neither images nor videos."""
        if len(shape) not in (4, 5):
            raise ValueError(
                f"`{type(self).__name__}` expects images (batch, height, width, channels) or videos (batch, frames, "
                f"height, width, channels). Received: shape={tuple(shape)}"
            )


class _CompiledByRank:
    """A function of a model, compiled once for each rank of its input.

    TensorFlow would relax the shapes of images and videos to none at all.
    """

    def __init__(self, model: keras.Model, function: Callable) -> None:
        self.model = model
        self.function = function
        self.compiled: dict[int, Callable] = {}

    def __call__(self, inputs: Any) -> Any:
        rank = len(inputs.shape)
        if rank not in self.compiled:
            self.compiled[rank] = _compile(self.model, self.function)
        return self.compiled[rank](inputs)


def _compile(model: keras.Model, function: Callable) -> Callable:
    """The function as a TensorFlow graph or compiled by JAX; itself on PyTorch."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # A `partial` has no code: of a method TensorFlow would count the traces over all encoders, and warn of many.
        return tf.function(functools.partial(function), reduce_retracing=True, autograph=False)
    if keras.backend.backend() == "jax":
        import jax

        @jax.jit
        def call(values, inputs):
            # Weights are arguments: as constants they would be compiled in, and never change.
            with keras.StatelessScope(list(zip(model.variables, values, strict=True))):
                return function(inputs)

        return lambda inputs: call([variable.value for variable in model.variables], inputs)
    return function
