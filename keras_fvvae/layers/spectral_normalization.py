"""Spectral normalisation of matrix-valued vectors: matrix square root, signed square root, unit length."""

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
        shape: `(rows, columns)` of the matrices where raw vectors are flat, such as `(C, C)` of bilinear pooling's.
            Default `None`: they are matrices already.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Input shape:
        `(batch, rows, columns)`, or `(batch, rows * columns)` with `shape`.

    Output shape:
        That of the input; the L2 norm over all but the first axis is one (or zero, for a zero matrix).

    Raises:
        ValueError: for a `shape` that is not two positive integers, and for inputs that it does not fit.

    Example:
        >>> import numpy as np
        >>> raw = np.random.default_rng(0).normal(size=(2, 16, 4)).astype("float32")
        >>> vectors = SpectralNormalization()(raw)
        >>> vectors.shape, bool(np.allclose(np.linalg.norm(np.reshape(vectors, (2, -1)), axis=1), 1.0))
        (TensorShape([2, 16, 4]), True)

    Reference:
        Lin and Maji, "Improved Bilinear Pooling with CNNs", BMVC 2017.
    """

    def __init__(self, shape=None, **kwargs):
        # Sums over descriptors exceed float16: under mixed precision they must not be narrowed on the way in.
        super().__init__(autocast=False, **kwargs)
        if shape is not None:
            shape = tuple(shape)
            if len(shape) != 2 or not all(isinstance(side, int) and side > 0 for side in shape):
                raise ValueError(f"`shape` must be (rows, columns), two positive integers. Received: shape={shape}")
        self.shape = shape

    def build(self, input_shape):
        self.matrix_shape(input_shape)
        self.built = True

    def matrix_shape(self, input_shape):
        """`(rows, columns)` of the matrices in inputs of a shape."""
        if self.shape is None and len(input_shape) == 3 and None not in input_shape[1:]:
            return tuple(input_shape[1:])
        if self.shape is not None and len(input_shape) == 2 and input_shape[1] == self.shape[0] * self.shape[1]:
            return self.shape
        wanted = "(batch, rows, columns)" if self.shape is None else f"(batch, {self.shape[0] * self.shape[1]})"
        raise ValueError(
            f"`SpectralNormalization` with `shape={self.shape}` expects raw vectors {wanted}. "
            f"Received: shape={tuple(input_shape)}"
        )

    def call(self, inputs):
        vectors = at_least_float32(ops.convert_to_tensor(inputs))
        matrices = ops.reshape(vectors, (-1, *self.matrix_shape(vectors.shape)))
        roots = normalization.signed_sqrt(spectral.matrix_square_root(matrices))
        return ops.reshape(normalization.l2_normalize(roots, example_axes(roots)), ops.shape(vectors))

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, at_least_float32_dtype(inputs.dtype))

    def get_config(self):
        return {**super().get_config(), "shape": None if self.shape is None else list(self.shape)}
