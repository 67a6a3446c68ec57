"""Compact bilinear pooling by Random Maclaurin features."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_fvvae.layers.adapted import add_constant, fixed
from keras_fvvae.layers.compact_bilinear import CompactBilinearPooling, random_bits, random_signs
from keras_fvvae.ops import bilinear


@keras.saving.register_keras_serializable(package="keras_fvvae")
class RandomMaclaurin(CompactBilinearPooling):
    """Bilinear pooling in `output_dim` instead of `C * C` numbers, with the same inner products on average.

        phi = m^(-1/2) sum_t (W1' x_t) * (W2' y_t),    W1, W2 random signs
        E <phi, phi'> = <B, B'>,                       B = sum_t x_t y_t'

    The standard error of an inner product falls with `output_dim^(-1/2)`. The two streams may be any pair of factors of
    a sum of outer products: with `d_t` and `[z_t; 1]` of Eq. 11 it compresses the Fisher vector without forming it.

    Args:
        output_dim: positive integer, `m`, the length of a representation.
        seed: integer from which the projections are drawn, the same on every backend and platform. They are weights
            that are not trained, saved with the layer. Vectors of different seeds must not be mixed.
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
        >>> RandomMaclaurin(output_dim=100)(descriptors).shape
        TensorShape([2, 100])

    Reference:
        Kar, Karnick: "Random feature maps for dot product kernels", AISTATS 2012; Gao, Beijbom, Zhang, Darrell:
        "Compact bilinear pooling", CVPR 2016.
    """

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        channels = self.channels[0], self.channels[-1]
        bits = random_bits(self.seed, sum(channels) * self.output_dim)
        drawn = np.split(random_signs(bits).reshape(-1, self.output_dim), [channels[0]])
        self.x_signs, self.y_signs = (
            add_constant(self, name, signs.shape, fixed(signs))
            for name, signs in zip(("x_signs", "y_signs"), drawn, strict=True)
        )

    def pool(self, x: Any, y: Any, mask: Any) -> Any:
        return bilinear.random_maclaurin(x, y, self.x_signs, self.y_signs, mask)
