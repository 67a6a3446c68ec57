"""The encoder: images or frames of videos in, Fisher vectors (or another representation) out."""

import functools

import keras
import numpy as np
from keras import ops, tree

from keras_fvvae.layers.descriptor_inputs import wide_dtype
from keras_fvvae.models.nested import NestedModel


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

    Call arguments:
        inputs: images, or videos of frames.
        mask: for videos, an optional boolean `(batch, frames)`; frames where it is false do not count.
        training: whether a backbone with trainable layers and the sampling of descriptors are in training mode.

    Input shape:
        Images `(batch, H, W, 3)` or videos `(batch, frames, H, W, 3)`.

    Output shape:
        `(batch, dimension)`, for Fisher vectors `C * (latent_dim + 1)`; unit L2 norm.

    Raises:
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

    def __init__(self, descriptors, head, normalization, backbone=None, compression=None, **kwargs):
        super().__init__(**kwargs)
        self.descriptors = descriptors
        self.head = head
        self.normalization = normalization
        self.backbone = backbone
        self.compression = compression
        self._raw_function = _CompiledByRank(self, self.encode_raw)
        self._normalize_function = _CompiledByRank(self, self.normalize_uncompressed)
        self.supports_masking = True

    def build(self, input_shape):
        _check_rank(input_shape)
        shape = self.descriptor_shape((input_shape[0], *input_shape[-3:]))
        if not self.head.built:
            self.head.build(shape)
        if not self.normalization.built:
            self.normalization.build((None, *self.head.compute_output_shape(shape)[1:]))
        if self.compression is not None and not self.compression.built:
            self.compression.build((None, self.head.output_dimension))
        self.built = True

    def encode_raw(self, inputs, mask=None, training=False):
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

    def call(self, inputs, mask=None, training=False):
        return self.normalize(self.encode_raw(inputs, mask=mask, training=training))

    def normalize(self, raw):
        """Representations `(batch, dimension)` of raw vectors from `encode_raw`."""
        vectors = self.normalize_uncompressed(raw)
        return vectors if self.compression is None else self.compression(vectors)

    def normalize_uncompressed(self, raw):
        """The same before the compression: `(batch, head.output_dimension)`."""
        return ops.reshape(self.normalization(raw), (-1, self.head.output_dimension))

    def adapt(self, data, verbose=0):
        """Fits what is fitted on data: a head's codebook, then the Fisher information.

        Args:
            data: inputs of the TRAINING set: an array, a list of batches or a `tf.data.Dataset` (of inputs, or of
                tuples that start with them).
            verbose: 1 for progress bars.

        Raises:
            ValueError: for an empty data set, NaN or infinite values, fewer descriptors than entries of a codebook.
        """
        if hasattr(self.head, "adapt"):
            tensors = (ops.convert_to_tensor(batch, self.compute_dtype) for batch in _batches(data))
            self.head.adapt((_to_numpy(self.compute_descriptors(one)) for one in tensors), verbose=verbose)
        if hasattr(self.normalization, "adapt"):
            self.normalization.adapt((self.predict_raw_on_batch(batch) for batch in _batches(data)), verbose=verbose)
        if self.compression is not None:
            raw = (self.predict_raw_on_batch(batch) for batch in _batches(data))
            flat = [self.normalize_on_batch(one, compress=False) for one in raw]
            self.compression.adapt(np.concatenate(flat), verbose=verbose)

    def predict_raw_on_batch(self, inputs):
        """`encode_raw` as a compiled function on a batch of images, videos or activation maps; returns an array."""
        return ops.convert_to_numpy(self._raw_function(ops.convert_to_tensor(inputs, self.compute_dtype)))

    def normalize_on_batch(self, raw, compress=True):
        """`normalize` as a compiled function on a batch of raw vectors; returns an array.

        Args:
            raw: array of raw vectors.
            compress: whether the `compression` is applied, where there is one.

        Raises:
            ValueError: if the normalisation or the compression was not adapted.
        """
        raw = ops.convert_to_tensor(raw)
        if not getattr(self.normalization, "is_adapted", True):
            self.normalization(raw[:1])  # raises: a compiled function cannot
        vectors = self._normalize_function(raw)
        if compress and self.compression is not None:
            vectors = self.compression(vectors)
        return ops.convert_to_numpy(vectors)

    @property
    def dimension(self):
        """Entries of a representation, once built."""
        return self.head.output_dimension if self.compression is None else self.compression.components

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.dimension)

    def compute_output_spec(self, inputs, mask=None, training=False):
        dtype = wide_dtype(self)
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype)


def _batches(data):
    batches = [data] if hasattr(data, "shape") else data
    return (batch[0] if isinstance(batch, tuple | list) else batch for batch in batches)


def _to_numpy(structure):
    return tree.map_structure(ops.convert_to_numpy, structure)


class _CompiledByRank:
    """A function of a model, compiled once for each rank of its input.

    TensorFlow would relax the shapes of images and videos to none at all.
    """

    def __init__(self, model, function):
        self.model = model
        self.function = function
        self.compiled = {}

    def __call__(self, inputs):
        rank = len(inputs.shape)
        if rank not in self.compiled:
            self.compiled[rank] = _compile(self.model, self.function)
        return self.compiled[rank](inputs)


def _compile(model, function):
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


def _check_rank(shape):
    if len(shape) not in (4, 5):
        raise ValueError(
            f"`FisherEncoder` expects images (batch, height, width, channels) or videos (batch, frames, height, width, "
            f"channels). Received: shape={tuple(shape)}"
        )
