"""Compact bilinear pooling by Tensor Sketch."""

import keras
import numpy as np

from keras_fvvae.layers.bilinear_pooling import BilinearPooling
from keras_fvvae.layers.random_maclaurin import add_constant, check_projection, random_bits, random_signs
from keras_fvvae.ops import bilinear


@keras.saving.register_keras_serializable(package="keras_fvvae")
class TensorSketch(BilinearPooling):
    """Bilinear pooling in `dimension` instead of `C * C` numbers: the count sketch of the sum of outer products.

        phi_k = sum over i, j with (h1(i) + h2(j)) mod d = k of s1(i) s2(j) B_ij,    B = sum_t x_t y_t'
        E <phi, phi'> = <B, B'>

    by FFT, `phi = irfft(sum_t rfft(sketch1(x_t)) * rfft(sketch2(y_t)))`, for few descriptors; for many, or a number not
    known beforehand, `B` itself is sketched, which is faster then and gives the same numbers. The standard error of an
    inner product falls with `dimension^(-1/2)`. Its four vectors of length C take far less room than the projections of
    `RandomMaclaurin`. Fastest where `dimension` is a power of two.

    Args:
        dimension: positive integer, `d`, the length of a representation.
        seed: integer from which buckets `h` and signs `s` are drawn, the same on every backend and platform. They are
            weights that are not trained, saved with the layer. Vectors of different seeds must not be mixed.
        normalize: as in `BilinearPooling`.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: as in `BilinearPooling`.
        mask: as in `BilinearPooling`.

    Input shape:
        `(batch, T, C)`, or a pair `[(batch, T, C1), (batch, T, C2)]`.

    Output shape:
        `(batch, dimension)`.

    Raises:
        ValueError: for wrong arguments, and as `BilinearPooling` does.

    Example:
        >>> import numpy as np
        >>> descriptors = np.random.default_rng(0).random((2, 50, 16)).astype("float32")
        >>> TensorSketch(dimension=128)(descriptors).shape
        TensorShape([2, 128])

    Reference:
        Pham, Pagh: "Fast and scalable polynomial kernels via explicit feature maps", KDD 2013; Gao, Beijbom, Zhang,
        Darrell: "Compact bilinear pooling", CVPR 2016.
    """

    def __init__(self, dimension, seed=0, normalize=False, **kwargs):
        super().__init__(normalize=normalize, **kwargs)
        check_projection(dimension, seed)
        self.dimension = dimension
        self.seed = seed

    def build(self, input_shape):
        super().build(input_shape)
        channels = self.channels[0], self.channels[-1]
        buckets, signs = np.split(random_bits(self.seed, 2 * sum(channels)), 2)
        buckets = np.split(buckets % np.uint64(self.dimension), [channels[0]])
        signs = np.split(random_signs(signs), [channels[0]])
        self.x_hash, self.y_hash = (
            (add_constant(self, f"{stream}_buckets", bucket, "int64"), add_constant(self, f"{stream}_signs", sign))
            for stream, bucket, sign in zip("xy", buckets, signs, strict=True)
        )

    def get_config(self):
        return {**super().get_config(), "dimension": self.dimension, "seed": self.seed}

    def _pool(self, x, y, mask):
        return bilinear.tensor_sketch(x, y, self.x_hash, self.y_hash, self.dimension, mask)

    def _output_dimension(self, x_channels, y_channels):
        return self.dimension
