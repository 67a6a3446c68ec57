"""The encoder: images or frames of videos in, Fisher vectors (or another representation) out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_fvvae.layers import GramPCA
from keras_fvvae.layers.adapted import AdaptedLayer
from keras_fvvae.models.encoder import Encoder
from keras_fvvae.models.nested import require_parts
from keras_fvvae.utils.batches import read_arrays


@keras.saving.register_keras_serializable(package="keras_fvvae")
class FisherEncoder(Encoder):
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

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.check_rank(input_shape)
        shape = self.descriptor_shape((input_shape[0], *input_shape[-3:]))
        if not self.head.built:
            self.head.build(shape)
        self.raw_shape = tuple(self.head.compute_output_shape(shape)[1:])
        if not self.normalization.built:
            self.normalization.build((None, *self.raw_shape))
        if self.compression is not None and not self.compression.built:
            self.compression.build((None, self.head.output_dim))
        self.built = True

    def raw_of_images(self, images: Any, training: bool = False) -> Any:
        """Raw vectors of images, for Fisher vectors `(batch, C, latent_dim + 1)`: sums over descriptors."""
        return self.head(self.compute_descriptors(images, training))

    def normalize_uncompressed(self, raw: Any) -> Any:
        """Representations of raw vectors before the compression: `(batch, head.output_dim)`."""
        return ops.reshape(self.normalization(raw), (-1, self.head.output_dim))

    def require_adapted(self, raw: Any) -> None:
        """Raises a `ValueError` where the normalisation was not adapted."""
        if isinstance(self.normalization, AdaptedLayer):
            self.normalization.require_adapted(raw)

    @property
    def heads(self) -> list[keras.layers.Layer]:
        """The head."""
        return [self.head]

    @property
    def uncompressed_dim(self) -> int:
        """Entries of a representation before the compression, once built."""
        return self.head.output_dim

    def with_compression(self, compression: GramPCA) -> FisherEncoder:
        """A built encoder of the same layers, behind a backbone, whose vectors are compressed."""
        encoder = FisherEncoder(self.descriptors, self.head, self.normalization, self.backbone, compression)
        encoder.build((None, *self.backbone.input.shape[1:]))
        return encoder

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


def _batches(data: Any) -> Iterator[np.ndarray]:
    return read_arrays(data, "FisherEncoder")


def _to_numpy(structure: Any) -> Any:
    return tree.map_structure(ops.convert_to_numpy, structure)
