"""The encoder: images or frames of videos in, Fisher vectors (or another representation) out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_fvvae.layers import GramPCA
from keras_fvvae.layers.adapted import AdaptedLayer
from keras_fvvae.layers.descriptor_inputs import wide_dtype
from keras_fvvae.models.nested import NestedModel, Reader, require_parts, require_reader
from keras_fvvae.utils.batches import read_arrays


@keras.saving.register_keras_serializable(package="keras_fvvae")
class FisherEncoder(NestedModel):
    """Represents images, or videos given as frames, by normalised Fisher vectors (Section 3.4 and 4).

    backbone -> descriptors -> Eq. 11 summed over the descriptors -> mean over a video's frames -> Fisher-information
    normalisation, signed square root, L2. Frames are averaged BEFORE the normalisation: Eq. 13 is linear in them.

    The representations that FV-VAE is compared with go the same way, with another head and normalisation:
    `keras_fvvae.recipes.registry` has them as a table.

    Args:
        descriptors: layer or model from activation maps to what the head takes, shared with the trained `FVVAE`.
        head: a `keras_fvvae.layers.FisherVectorHead`, or any layer whose output is a sum (or mean) over descriptors.
        normalization: a `keras_fvvae.layers.FisherNormalization`, adapted on raw vectors of the training set, or a
            `keras_fvvae.layers.VectorNormalization`.
        backbone: model from images to activation maps; `None`: the inputs are activation maps.
        compression: a `keras_fvvae.layers.GramPCA`, adapted on normalised vectors; `None` (default) for none.
        **kwargs: `keras.Model` arguments (`name`, `dtype`).

    Attributes:
        reader: how `encode` reads files, set by `keras_fvvae.zoo.load_encoder`; not saved with the model.

    Call arguments:
        inputs: images, or videos of frames.
        mask: for videos, an optional boolean `(batch, frames)`; frames where it is false do not count.
        training: whether a backbone with trainable layers and the sampling of descriptors are in training mode.

    Input shape:
        Images `(batch, H, W, 3)` or videos `(batch, frames, H, W, 3)`.

    Output shape:
        `(batch, output_dim)`, for Fisher vectors `C * (latent_dim + 1)`; unit L2 norm.

    Raises:
        TypeError: for parts that are no layers.
        ValueError: for inputs of another rank.

    Example:
        >>> import numpy as np
        >>> from keras_fvvae.layers import FisherNormalization, FisherVectorHead, FVVAELayer, SpatialPyramidPooling
        >>> encoder = FisherEncoder(
        ...     SpatialPyramidPooling(), FisherVectorHead(FVVAELayer(latent_dim=3)), FisherNormalization("none")
        ... )
        >>> maps = np.random.default_rng(0).random((2, 7, 7, 4)).astype("float32")
        >>> encoder(maps).shape
        TensorShape([2, 16])

    Reference:
        Qiu et al., CVPR 2017, Eq. 9, 11, 13.
    """

    nested = ("descriptors", "head", "normalization", "backbone", "compression")

    def __init__(
        self,
        descriptors: keras.layers.Layer,
        head: keras.layers.Layer,
        normalization: keras.layers.Layer,
        backbone: keras.Model | None = None,
        compression: GramPCA | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        layer = keras.layers.Layer
        require_parts(self, descriptors=(descriptors, layer), head=(head, layer), normalization=(normalization, layer))
        self.descriptors = descriptors
        self.head = head
        self.normalization = normalization
        self.backbone = backbone
        self.compression = compression
        self.reader: Reader | None = None
        self._raw_function = _CompiledByRank(self, self.encode_raw)
        self._normalize_function = _CompiledByRank(self, self.normalize_uncompressed)
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        _check_rank(input_shape)
        shape = self.descriptor_shape((input_shape[0], *input_shape[-3:]))
        if not self.head.built:
            self.head.build(shape)
        if not self.normalization.built:
            self.normalization.build((None, *self.head.compute_output_shape(shape)[1:]))
        if self.compression is not None and not self.compression.built:
            self.compression.build((None, self.head.output_dim))
        self.built = True

    def encode_raw(self, inputs: Any, mask: Any = None, training: bool = False) -> Any:
        """Raw vectors, for Fisher vectors `(batch, C, latent_dim + 1)`: sums over descriptors, means over frames."""
        _check_rank(inputs.shape)
        if len(inputs.shape) == 4:
            return self.head(self.compute_descriptors(inputs, training))
        batch, frames = ops.shape(inputs)[:2]
        images = ops.reshape(inputs, (-1, *ops.shape(inputs)[2:]))
        raw = self.head(self.compute_descriptors(images, training))  # (batch * frames, ...)
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

    def normalize_uncompressed(self, raw: Any) -> Any:
        """The same before the compression: `(batch, head.output_dim)`."""
        return ops.reshape(self.normalization(raw), (-1, self.head.output_dim))

    def adapt(self, data: Any, verbose: int = 0) -> None:
        """Fits what is fitted on data: a head's codebook, then the Fisher information.

        Args:
            data: inputs of the TRAINING set: an array, or a `tf.data.Dataset` or other iterable of batches, which is
                passed over once for each part to fit. A batch is an array, or a tuple `(inputs, *rest)` of which the
                rest is left aside.
            verbose: 1 for progress bars.

        Raises:
            ValueError: for an empty data set, NaN or infinite values, fewer descriptors than entries of a codebook.
        """
        self.adapt_head(_batches(data), verbose)
        if hasattr(self.normalization, "adapt"):
            self.normalization.adapt((self.predict_raw_on_batch(batch) for batch in _batches(data)), verbose=verbose)
        if self.compression is not None:
            raw = (self.predict_raw_on_batch(batch) for batch in _batches(data))
            flat = [self.normalize_on_batch(one, compress=False) for one in raw]
            self.compression.adapt(np.concatenate(flat), verbose=verbose)

    def adapt_head(self, batches: Iterable[Any], verbose: int = 0) -> None:
        """Fits the codebook of a head that has one (VLAD, GMM Fisher vector, NetVLAD, ...) on the training set.

        Args:
            batches: iterable of arrays, inputs of the TRAINING set.
            verbose: 1 for progress bars.

        Raises:
            ValueError: for fewer descriptors than entries of the codebook.
        """
        if hasattr(self.head, "adapt"):
            tensors = (ops.convert_to_tensor(batch, self.compute_dtype) for batch in batches)
            self.head.adapt((_to_numpy(self.compute_descriptors(one)) for one in tensors), verbose=verbose)

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
        if isinstance(self.normalization, AdaptedLayer):
            self.normalization.require_adapted(raw)  # the compiled function is traced, where nothing is checked
        vectors = self._normalize_function(raw)
        if compress and self.compression is not None:
            vectors = self.compression(vectors)
        return ops.convert_to_numpy(vectors)

    @property
    def output_dim(self) -> int:
        """Entries of a representation, once built."""
        return (self.head if self.compression is None else self.compression).output_dim

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, int]:
        return (input_shape[0], self.output_dim)

    def compute_output_spec(self, inputs: Any, mask: Any = None, training: bool = False) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide_dtype(self))


def _batches(data: Any) -> Iterator[np.ndarray]:
    return read_arrays(data, "FisherEncoder")


def _to_numpy(structure: Any) -> Any:
    return tree.map_structure(ops.convert_to_numpy, structure)


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


def _check_rank(shape: Sequence[int | None]) -> None:
    if len(shape) not in (4, 5):
        raise ValueError(
            f"`FisherEncoder` expects images (batch, height, width, channels) or videos (batch, frames, height, width, "
            f"channels). Received: shape={tuple(shape)}"
        )
