"""Fisher-information normalisation, signed square root and L2 normalisation of raw Fisher vectors."""

import keras
import numpy as np
from keras import ops

from keras_fvvae.fitting.fisher_statistics import FisherStatistics
from keras_fvvae.layers.descriptor_inputs import wide_dtype
from keras_fvvae.ops import normalization
from keras_fvvae.ops.tensors import at_least_float32, example_axes, holds_values
from keras_fvvae.utils.progress import track

INFORMATION = ("diagonal", "kronecker", "none")
# A mean square at or below this is a dead column. The authors' release clips column norms at 1e-10.
DEAD_MEAN_SQUARE = 1e-20
# An eigenvalue below this share of the largest is rounding noise of the float64 decomposition.
NULL_EIGENVALUE = 1e-12


@keras.saving.register_keras_serializable(package="keras_fvvae")
class FisherNormalization(keras.layers.Layer):
    """Turns raw Fisher vectors into representations: `F^(-1/2) G`, then signed square root, then unit L2 norm.

    The Fisher information `F = E[g g']` with `g = flatten(G)` (Eq. 12) is a matrix of 131,072 squared for the paper's
    sizes, which cannot be had; one of three approximations replaces it:

        "diagonal"   F_ii = mean of G_i^2 over the training set: every entry gets a mean square of one. This is what
                     the authors' release does, up to a constant that the L2 norm removes.
        "kronecker"  F ~ A (x) B with A = E[G G'], B = E[G' G]: whitens `A^(-1/2) G B^(-1/2)` on both sides. Closer to
                     the full matrix, but not more accurate in classification (docs/theory.md).
        "none"       F = I.

    What is zero for the whole training set carries no information and becomes exactly zero in every later vector, never
    NaN: single entries under "diagonal", whole rows (decoder units that never fire) and columns under "kronecker".

    Args:
        information: `"diagonal"` (default), `"kronecker"` or `"none"`.
        damping: for `"kronecker"`, the share of each factor's mean eigenvalue that is added to all of its eigenvalues,
            so that directions never seen in training are not blown up. Default 0.1.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Input shape:
        `(batch, C, D + 1)`; without `"kronecker"` also `(batch, n)`.

    Output shape:
        That of the input; the L2 norm over all but the first axis is one (or zero, for a zero vector).

    Raises:
        ValueError: for unknown arguments; when called eagerly before `adapt` or a load, unless `information="none"`.

    Example:
        >>> import numpy as np
        >>> raw = np.random.default_rng(0).normal(size=(8, 16, 4)).astype("float32")
        >>> layer = FisherNormalization()
        >>> layer.adapt([raw[:4], raw[4:]])
        >>> bool(np.allclose(np.linalg.norm(np.reshape(layer(raw), (8, -1)), axis=1), 1.0))
        True

    Reference:
        Qiu et al., CVPR 2017, Eq. 9, 12, 13 and Section 5.2; Perronnin et al., ECCV 2010 (square root and L2).
    """

    def __init__(self, information="diagonal", damping=0.1, **kwargs):
        # Raw vectors reach 1e5 and more: under mixed precision they must not be narrowed to float16 on the way in.
        super().__init__(autocast=False, **kwargs)
        if information not in INFORMATION:
            raise ValueError(f"`information` must be one of {INFORMATION}. Received: information={information!r}")
        if not damping >= 0:
            raise ValueError(f"`damping` must not be negative. Received: damping={damping}")
        self.information = information
        self.damping = damping

    def build(self, input_shape):
        if self.information == "kronecker" and len(input_shape) != 3:
            raise ValueError(
                f"`information='kronecker'` needs raw vectors (batch, C, D + 1). Received: shape={tuple(input_shape)}"
            )

        def constant(name, shape):
            return self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False, autocast=False)

        if self.information == "diagonal":
            self.scale = constant("scale", tuple(input_shape[1:]))
        elif self.information == "kronecker":
            self.left = constant("left", (input_shape[1],) * 2)
            self.right = constant("right", (input_shape[2],) * 2)
        # Number of vectors adapted to; 0 marks a layer without statistics. Saved, unlike a Python attribute.
        self.examples_seen = self.add_weight(
            name="examples_seen", shape=(), initializer="zeros", dtype="int64", trainable=False
        )
        self.built = True

    @property
    def is_adapted(self):
        """Whether the layer holds statistics (always true for `information="none"`)."""
        return self.information == "none" or (self.built and int(self.examples_seen) > 0)

    def adapt(self, data, verbose=0):
        """Computes the Fisher information of a training set in one pass.

        Args:
            data: raw vectors: an array `(n, C, D + 1)`, or a `tf.data.Dataset` or other iterable of batches. Use
                vectors of the TRAINING set only, one per image or video.
            verbose: 1 for a progress bar.

        Raises:
            ValueError: for an empty data set, and for NaN or infinite vectors.
        """
        statistics = FisherStatistics(kronecker=self.information == "kronecker")
        batches = [data] if hasattr(data, "shape") else data
        for batch in track(batches, "Fisher statistics", enabled=bool(verbose)):
            statistics.update(keras.ops.convert_to_numpy(batch))
        self.set_statistics(statistics)

    def set_statistics(self, statistics):
        """Installs statistics gathered elsewhere, for example merged over workers.

        Args:
            statistics: a `keras_fvvae.fitting.fisher_statistics.FisherStatistics`.
        """
        mean_square = statistics.mean_square
        if not self.built:
            self.build((None, *mean_square.shape))
        if self.information == "diagonal":
            self.scale.assign(_inverse_sqrt(mean_square))
        elif self.information == "kronecker":
            for weight, factor in zip((self.left, self.right), statistics.kronecker_factors(), strict=True):
                weight.assign(_damped_inverse_root(factor, self.damping))
        self.examples_seen.assign(statistics.count)

    def call(self, inputs):
        if holds_values(inputs) and not self.is_adapted:
            raise ValueError("This `FisherNormalization` has no statistics yet: call `adapt` on raw vectors first.")
        vectors = at_least_float32(inputs)
        if self.information == "diagonal":
            vectors = vectors * ops.cast(self.scale, vectors.dtype)
        elif self.information == "kronecker":
            left, right = (ops.cast(weight, vectors.dtype) for weight in (self.left, self.right))
            vectors = ops.matmul(ops.matmul(left, vectors), right)
        return normalization.l2_normalize(normalization.signed_sqrt(vectors), example_axes(vectors))

    def compute_output_spec(self, inputs):
        dtype = wide_dtype(self)
        return keras.KerasTensor(inputs.shape, dtype)

    def get_config(self):
        return {**super().get_config(), "information": self.information, "damping": self.damping}


def _inverse_sqrt(mean_square):
    alive = mean_square > DEAD_MEAN_SQUARE
    return np.where(alive, 1.0 / np.sqrt(np.where(alive, mean_square, 1.0)), 0.0)


def _damped_inverse_root(moment, damping):
    """Inverse square root of a positive semi-definite matrix, zero on rows and columns that are dead."""
    alive = np.diag(moment) > DEAD_MEAN_SQUARE
    result = np.zeros_like(moment)
    if not alive.any():
        return result
    values, vectors = np.linalg.eigh(moment[np.ix_(alive, alive)])
    # Null directions come out of the decomposition as rounding noise, of either sign; without damping they are dead.
    values = np.where(values > NULL_EIGENVALUE * values.max(), values, 0.0)
    inverse = _inverse_sqrt(values + damping * values.mean())
    result[np.ix_(alive, alive)] = (vectors * inverse) @ vectors.T
    return result
