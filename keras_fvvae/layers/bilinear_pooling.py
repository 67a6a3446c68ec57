"""Bilinear pooling: the sum of outer products of an image's descriptors."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_fvvae.layers.descriptor_inputs import check_descriptors, check_normalization, require_built, wide_dtype
from keras_fvvae.layers.old_names import with_new_names
from keras_fvvae.ops import bilinear


@keras.saving.register_keras_serializable(package="keras_fvvae")
class BilinearPooling(keras.layers.Layer):
    """Represents an image by the second moment of its descriptors, of one stream or between two.

        B = sum_t x_t y_t',    y_t = x_t for one stream

    A SUM over descriptors, computed and returned in at least float32. Classifiers take it after signed square root and
    L2 norm: `normalization="improved"`, or `FisherNormalization(information="none")` on the raw vectors.

    Args:
        normalization: `"improved"`: signed square root and unit L2 norm follow; zero entries stay exactly zero and pass
            no gradient. Default `None`, the raw sum.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: descriptors `(batch, T, C)`, or a pair `[(batch, T, C1), (batch, T, C2)]` of the same positions.
        mask: optional boolean `(batch, T)`; descriptors where it is false contribute nothing.

    Input shape:
        `(batch, T, C)`, or a pair of such.

    Output shape:
        `(batch, C * C)`, or `(batch, C1 * C2)`: entry `i * C2 + j` is that of `x_i y_j`.

    Raises:
        ValueError: for inputs that are not descriptors, or streams that differ in their number.

    Example:
        >>> import numpy as np
        >>> descriptors = np.random.default_rng(0).random((2, 50, 16)).astype("float32")
        >>> BilinearPooling()(descriptors).shape
        TensorShape([2, 256])
        >>> BilinearPooling()([descriptors, descriptors[..., :4]]).shape
        TensorShape([2, 64])

    Reference:
        Lin, RoyChowdhury, Maji: "Bilinear CNN models for fine-grained visual recognition", ICCV 2015.
    """

    def __init__(self, normalization: str | None = None, **kwargs: Any) -> None:
        # Cast in `call`, to float32: squares of activations overflow float16.
        super().__init__(autocast=False, **kwargs)
        check_normalization(normalization)
        self.normalization = normalization
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self._check_streams(input_shape)
        shapes = _streams(input_shape)
        specs = [keras.layers.InputSpec(ndim=3, axes={-1: shape[-1]}) for shape in shapes]
        self.channels = tuple(shape[-1] for shape in shapes)
        self.input_spec = specs if _is_pair(input_shape) else specs[0]
        self.built = True

    @property
    def output_dim(self) -> int:
        """Length of a representation; known once the layer is built."""
        require_built(self)
        return self.length_of(self.channels[0], self.channels[-1])

    def call(self, inputs: Any, mask: Any = None) -> Any:
        self._check_streams([x.shape for x in _streams(inputs)] if _is_pair(inputs) else inputs.shape)
        streams = [ops.cast(x, wide_dtype(self)) for x in _streams(inputs)]
        vectors = self.pool(streams[0], streams[-1], _joint_mask(mask))
        return vectors if self.normalization is None else bilinear.normalize_bilinear(vectors)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        self._check_streams(input_shape)
        first, last = _streams(input_shape)[0], _streams(input_shape)[-1]
        return (first[0], self.length_of(first[-1], last[-1]))

    def compute_output_spec(self, inputs: Any, mask: Any = None) -> keras.KerasTensor:
        shapes = [x.shape for x in _streams(inputs)]
        return keras.KerasTensor(self.compute_output_shape(shapes if _is_pair(inputs) else shapes[0]), wide_dtype(self))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "normalization": self.normalization}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BilinearPooling:
        return super().from_config(with_new_names(config))

    def pool(self, x: Any, y: Any, mask: Any) -> Any:
        """The raw vectors of two streams; compact forms of the same kernel replace it."""
        return bilinear.bilinear_pool(x, y, mask)

    def length_of(self, x_channels: int, y_channels: int) -> int:
        """Length of a representation of streams with so many channels."""
        return x_channels * y_channels

    def _check_streams(self, input_shape: Any) -> None:
        shapes = _streams(input_shape)
        if len(shapes) > 2:
            raise ValueError(f"`{type(self).__name__}` takes one stream or a pair. Received: {len(shapes)} streams")
        for shape in shapes:
            check_descriptors(self, shape)
        counts = {shape[1] for shape in shapes} - {None}
        if len(counts) > 1:
            raise ValueError(
                f"`{type(self).__name__}` pairs descriptors of the same positions, so both streams must have the same "
                f"number T. Received: shapes={[tuple(shape) for shape in shapes]}"
            )


def _is_pair(structure: Any) -> bool:
    """Whether inputs, or their shapes, are given for several streams."""
    if not isinstance(structure, (list, tuple)):
        return False
    return not all(side is None or isinstance(side, int) for side in structure)


def _streams(structure: Any) -> list:
    return list(structure) if _is_pair(structure) else [structure]


def _joint_mask(mask: Any) -> Any:
    """One mask of all streams: Keras collects those of a pair into a list, in which each may be missing."""
    if not isinstance(mask, (list, tuple)):
        return mask
    present = [ops.cast(one, "bool") for one in mask if one is not None]
    if not present:
        return None
    return present[0] if len(present) == 1 else ops.logical_and(*present)
