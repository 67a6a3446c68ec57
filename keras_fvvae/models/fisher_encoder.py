"""The encoder: images or frames of videos in, Fisher vectors out."""

import keras
from keras import ops

from keras_fvvae.models.nested import NestedModel


@keras.saving.register_keras_serializable(package="keras_fvvae")
class FisherEncoder(NestedModel):
    """Represents images, or videos given as frames, by normalised Fisher vectors (Section 3.4 and 4).

    backbone -> descriptors -> Eq. 11 summed over the descriptors -> mean over a video's frames -> Fisher-information
    normalisation, signed square root, L2. Frames are averaged BEFORE the normalisation: Eq. 13 is linear in them.

    Args:
        descriptors: layer or model from activation maps to descriptors, shared with the trained `FVVAE`.
        head: a `keras_fvvae.layers.FisherVectorHead`.
        normalization: a `keras_fvvae.layers.FisherNormalization`, adapted on raw vectors of the training set.
        backbone: model from images to activation maps; `None`: the inputs are activation maps.
        **kwargs: `keras.Model` arguments (`name`, `dtype`).

    Call arguments:
        inputs: images, or videos of frames.
        mask: for videos, an optional boolean `(batch, frames)`; frames where it is false do not count.

    Input shape:
        Images `(batch, H, W, 3)` or videos `(batch, frames, H, W, 3)`.

    Output shape:
        `(batch, C * (latent_dim + 1))`; unit L2 norm.

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

    nested = ("descriptors", "head", "normalization", "backbone")

    def __init__(self, descriptors, head, normalization, backbone=None, **kwargs):
        super().__init__(**kwargs)
        self.descriptors = descriptors
        self.head = head
        self.normalization = normalization
        self.backbone = backbone
        self._raw_function = _CompiledByRank(self.encode_raw)
        self.supports_masking = True

    def build(self, input_shape):
        _check_rank(input_shape)
        image_shape = (input_shape[0], *input_shape[-3:])
        shape = self.descriptor_shape(image_shape)
        self.head.build(shape)
        if not self.normalization.built:
            self.normalization.build((None, shape[-1], self.head.fvvae.latent_dim + 1))
        self.built = True

    def encode_raw(self, inputs, mask=None):
        """Raw Fisher vectors `(batch, C, latent_dim + 1)`: sums over descriptors, means over frames. Additive."""
        _check_rank(inputs.shape)
        if len(inputs.shape) == 4:
            return self.head(self.compute_descriptors(inputs))
        batch, frames = ops.shape(inputs)[:2]
        images = ops.reshape(inputs, (-1, *ops.shape(inputs)[2:]))
        raw = self.head(self.compute_descriptors(images))  # (batch * frames, C, D + 1)
        raw = ops.reshape(raw, (batch, frames, *raw.shape[1:]))
        if mask is None:
            return ops.mean(raw, axis=1)
        keep = ops.reshape(ops.cast(mask, "bool"), (batch, frames, 1, 1))
        count = ops.sum(ops.cast(keep, raw.dtype), axis=1)
        # A masked frame is dropped, not multiplied by zero: it may hold anything, NaN included.
        return ops.sum(ops.where(keep, raw, ops.zeros_like(raw)), axis=1) / ops.maximum(count, 1)

    def call(self, inputs, mask=None):
        vectors = self.normalization(self.encode_raw(inputs, mask=mask))
        return ops.reshape(vectors, (-1, vectors.shape[1] * vectors.shape[2]))

    def predict_raw_on_batch(self, inputs):
        """`encode_raw` as a compiled function on a batch of images, videos or activation maps; returns an array."""
        return ops.convert_to_numpy(self._raw_function(ops.convert_to_tensor(inputs, self.compute_dtype)))

    @property
    def dimension(self):
        """Entries of a Fisher vector, once built."""
        decoder = self.head.fvvae.decoder
        return decoder.units * (self.head.fvvae.latent_dim + 1)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.dimension)

    def compute_output_spec(self, inputs, mask=None):
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype)


class _CompiledByRank:
    """A function compiled once for each rank of its input: TensorFlow would relax images and videos to none at all."""

    def __init__(self, function):
        self.function = function
        self.compiled = {}

    def __call__(self, inputs):
        rank = len(inputs.shape)
        if rank not in self.compiled:
            self.compiled[rank] = _compile(self.function)
        return self.compiled[rank](inputs)


def _compile(function):
    """The function as a TensorFlow graph; itself on other backends."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, reduce_retracing=True, autograph=False)


def _check_rank(shape):
    if len(shape) not in (4, 5):
        raise ValueError(
            f"`FisherEncoder` expects images (batch, height, width, channels) or videos (batch, frames, height, width, "
            f"channels). Received: shape={tuple(shape)}"
        )
