"""Compact bilinear pooling by Random Maclaurin features."""

import keras
import numpy as np

from keras_fvvae.layers.bilinear_pooling import BilinearPooling
from keras_fvvae.ops import bilinear


@keras.saving.register_keras_serializable(package="keras_fvvae")
class RandomMaclaurin(BilinearPooling):
    """Bilinear pooling in `dimension` instead of `C * C` numbers, with the same inner products on average.

        phi = m^(-1/2) sum_t (W1' x_t) * (W2' y_t),    W1, W2 random signs
        E <phi, phi'> = <B, B'>,                       B = sum_t x_t y_t'

    The standard error of an inner product falls with `dimension^(-1/2)`. The two streams may be any pair of factors of
    a sum of outer products: with `d_t` and `[z_t; 1]` of Eq. 11 it compresses the Fisher vector without forming it.

    Args:
        dimension: positive integer, `m`, the length of a representation.
        seed: integer from which the projections are drawn, the same on every backend and platform. They are weights
            that are not trained, saved with the layer. Vectors of different seeds must not be mixed.
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
        >>> RandomMaclaurin(dimension=100)(descriptors).shape
        TensorShape([2, 100])

    Reference:
        Kar, Karnick: "Random feature maps for dot product kernels", AISTATS 2012; Gao, Beijbom, Zhang, Darrell:
        "Compact bilinear pooling", CVPR 2016.
    """

    def __init__(self, dimension, seed=0, normalize=False, **kwargs):
        super().__init__(normalize=normalize, **kwargs)
        check_projection(dimension, seed)
        self.dimension = dimension
        self.seed = seed

    def build(self, input_shape):
        super().build(input_shape)
        channels = self.channels[0], self.channels[-1]
        bits = random_bits(self.seed, sum(channels) * self.dimension)
        drawn = np.split(random_signs(bits).reshape(-1, self.dimension), [channels[0]])
        self.x_signs, self.y_signs = (
            add_constant(self, name, signs) for name, signs in zip(("x_signs", "y_signs"), drawn, strict=True)
        )

    def get_config(self):
        return {**super().get_config(), "dimension": self.dimension, "seed": self.seed}

    def _pool(self, x, y, mask):
        return bilinear.random_maclaurin(x, y, self.x_signs, self.y_signs, mask)

    def _output_dimension(self, x_channels, y_channels):
        return self.dimension


def check_projection(dimension, seed):
    """Refuses what is not the size or the seed of a random projection."""
    if not isinstance(dimension, int) or dimension < 1:
        raise ValueError(f"`dimension` must be a positive integer. Received: dimension={dimension!r}")
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"`seed` must be an integer, 0 or more. Received: seed={seed!r}")


def random_bits(seed, count):
    """64-bit random numbers: the raw stream of PCG64, which NumPy keeps the same for good, unlike its distributions."""
    return np.random.PCG64(seed).random_raw(count)


def random_signs(bits):
    """-1 or 1 by the highest bit."""
    return np.where(bits >> np.uint64(63), 1.0, -1.0)


def add_constant(layer, name, values, dtype=None):
    """A weight that holds `values`, is not trained and is saved with the layer."""
    return layer.add_weight(
        name=name,
        shape=values.shape,
        initializer=lambda shape, dtype=None: keras.ops.convert_to_tensor(values, dtype),
        dtype=dtype,
        trainable=False,
        autocast=False,
    )
