"""Compact bilinear pooling by Tensor Sketch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_fvvae.layers.adapted import add_constant, fixed
from keras_fvvae.layers.compact_bilinear import CompactBilinearPooling, random_bits, random_signs
from keras_fvvae.ops import bilinear


@keras.saving.register_keras_serializable(package="keras_fvvae")
class TensorSketch(CompactBilinearPooling):
    """Bilinear pooling in `output_dim` instead of `C * C` numbers: the count sketch of the sum of outer products.

        phi_k = sum over i, j with (h1(i) + h2(j)) mod d = k of s1(i) s2(j) B_ij,    B = sum_t x_t y_t'
        E <phi, phi'> = <B, B'>

    by FFT, `phi = irfft(sum_t rfft(sketch1(x_t)) * rfft(sketch2(y_t)))`, for few descriptors; for many, or a number not
    known beforehand, `B` itself is sketched, which is faster then and gives the same numbers. The standard error of an
    inner product falls with `output_dim^(-1/2)`. Its four vectors of length C take far less room than the projections
    of `RandomMaclaurin`. Fastest where `output_dim` is a power of two.

    Args:
        output_dim: positive integer, `d`, the length of a representation.
        seed: integer from which buckets `h` and signs `s` are drawn, the same on every backend and platform. They are
            weights that are not trained, saved with the layer. Vectors of different seeds must not be mixed.
        normalization: as in `BilinearPooling`.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: as in `BilinearPooling`.
        mask: as in `BilinearPooling`.

    Input shape:
        `(batch, T, C)`, or a pair `[(batch, T, C1), (batch, T, C2)]`.

    Output shape:
        `(batch, output_dim)`.

    Raises:
        ValueError: for wrong arguments, and as `BilinearPooling` does.

    Example:
        >>> import numpy as np
        >>> descriptors = np.random.default_rng(0).random((2, 50, 16)).astype("float32")
        >>> TensorSketch(output_dim=128)(descriptors).shape
        TensorShape([2, 128])

    Reference:
        Pham, Pagh: "Fast and scalable polynomial kernels via explicit feature maps", KDD 2013; Gao, Beijbom, Zhang,
        Darrell: "Compact bilinear pooling", CVPR 2016.
    """

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        channels = self.channels[0], self.channels[-1]
        bits, sign_bits = np.split(random_bits(self.seed, 2 * sum(channels)), 2)
        buckets = np.split(bits % np.uint64(self.output_dim), [channels[0]])
        signs = np.split(random_signs(sign_bits), [channels[0]])
        self.x_hash, self.y_hash = (
            (
                add_constant(self, f"{stream}_buckets", bucket.shape, fixed(bucket), "int64"),
                add_constant(self, f"{stream}_signs", sign.shape, fixed(sign)),
            )
            for stream, bucket, sign in zip("xy", buckets, signs, strict=True)
        )

    def pool(self, x: Any, y: Any, mask: Any) -> Any:
        return bilinear.tensor_sketch(x, y, self.x_hash, self.y_hash, self.output_dim, mask)
