"""Spectral normalisation of matrix-valued vectors: matrix square root, signed square root, unit length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.ops import normalization, spectral
from keras_fvvae.ops.tensors import at_least_float32, at_least_float32_dtype, example_axes


@keras.saving.register_keras_serializable(package="keras_fvvae")
class SpectralNormalization(keras.layers.Layer):
    """Takes the square root of a raw matrix's singular values, then of its entries, then unit L2 norm.

        R = U S V',    M = U S^(1/2) V' = R (R'R)^(-1/4),    v = ssr(M) / |ssr(M)|

    A few strong directions, that all descriptors of an image share, no longer hide the others. No statistics of other
    images are taken, so there is nothing to adapt and nothing that few images could spoil. Of FV-VAE's raw vectors it
    takes those without the division by `sigma_x^2` (`FisherVectorHead(standardized=False)`): that multiplies rows by
    constants, which the singular values would see.

    Args:
        num_rows: of the matrices where raw vectors are flat, row by row, such as the C of bilinear pooling's `C * C`.
            Default `None`: they are matrices already.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Input shape:
        `(batch, rows, columns)`, or `(batch, num_rows * columns)`.

    Output shape:
        That of the input; the L2 norm over all but the first axis is one (or zero, for a zero matrix).

    Raises:
        ValueError: for a `num_rows` that is no positive integer, and for inputs that it does not divide.

    Example:
        >>> import numpy as np
        >>> raw = np.random.default_rng(0).normal(size=(2, 16, 4)).astype("float32")
        >>> vectors = SpectralNormalization()(raw)
        >>> vectors.shape, bool(np.allclose(np.linalg.norm(np.reshape(vectors, (2, -1)), axis=1), 1.0))
        (TensorShape([2, 16, 4]), True)

    Reference:
        Lin and Maji, "Improved Bilinear Pooling with CNNs", BMVC 2017.
    """

    def __init__(self, num_rows: int | None = None, **kwargs: Any) -> None:
        # Sums over descriptors exceed float16: under mixed precision they must not be narrowed on the way in.
        super().__init__(autocast=False, **kwargs)
        if num_rows is not None and (not isinstance(num_rows, int) or num_rows < 1):
            raise ValueError(f"`num_rows` must be a positive integer or None. Received: num_rows={num_rows!r}")
        self.num_rows = num_rows

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.matrix_shape(input_shape)
        self.built = True

    def matrix_shape(self, input_shape: Sequence[int | None]) -> tuple[int, int]:
        """`(rows, columns)` of the matrices in inputs of a shape."""
        rows, (_, *sides) = self.num_rows, input_shape
        if rows is None and len(sides) == 2 and None not in sides:
            return sides[0], sides[1]
        if rows is not None and len(sides) == 1 and sides[0] is not None and sides[0] % rows == 0:
            return rows, sides[0] // rows
        wanted = "(batch, rows, columns)" if rows is None else f"(batch, n), n a multiple of {rows}"
        raise ValueError(
            f"`SpectralNormalization` with `num_rows={rows}` expects raw vectors {wanted}. "
            f"Received: shape={tuple(input_shape)}"
        )

    def call(self, inputs: Any) -> Any:
        vectors, matrices = self._matrices(inputs)
        return _normalized(spectral.matrix_square_root(matrices), vectors)

    def normalize_and_multiplier(self, inputs: Any) -> tuple[Any, Callable[[Any], Any]]:
        """What `call` returns, and the `spectral_multiplier` that made the root."""
        vectors, matrices = self._matrices(inputs)
        multiply = spectral.spectral_multiplier(matrices)
        return _normalized(multiply(matrices), vectors), multiply

    def _matrices(self, inputs):
        vectors = at_least_float32(ops.convert_to_tensor(inputs))
        return vectors, ops.reshape(vectors, (-1, *self.matrix_shape(vectors.shape)))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Sequence[int | None]:
        return input_shape

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, at_least_float32_dtype(inputs.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_rows": self.num_rows}


def _normalized(roots, like):
    """Signed square root and unit length of matrices, in the shape of `like`."""
    roots = normalization.signed_sqrt(roots)
    return ops.reshape(normalization.l2_normalize(roots, example_axes(roots)), ops.shape(like))
