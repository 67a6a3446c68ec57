"""Fisher-information normalisation, signed square root and L2 normalisation of raw Fisher vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fvvae.fitting.fisher_statistics import FisherStatistics
from keras_fvvae.layers.adapted import AdaptedLayer, add_constant
from keras_fvvae.layers.descriptor_inputs import wide_dtype
from keras_fvvae.ops import normalization
from keras_fvvae.ops.tensors import at_least_float32, example_axes
from keras_fvvae.utils.batches import read_arrays

INFORMATION = ("diagonal", "kronecker", "none")
# A mean square at or below this is a dead column. The authors' release clips column norms at 1e-10.
DEAD_MEAN_SQUARE = 1e-20
# An eigenvalue below this share of the largest is rounding noise of the float64 decomposition.
NULL_EIGENVALUE = 1e-12


@keras.saving.register_keras_serializable(package="keras_fvvae")
class FisherNormalization(AdaptedLayer):
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

    counted = "examples"
    fitted = "statistics"
    adapted_to = "raw vectors"

    def __init__(self, information: str = "diagonal", damping: float = 0.1, **kwargs: Any) -> None:
        # Raw vectors reach 1e5 and more: under mixed precision they must not be narrowed to float16 on the way in.
        super().__init__(autocast=False, **kwargs)
        if information not in INFORMATION:
            raise ValueError(f"`information` must be one of {INFORMATION}. Received: information={information!r}")
        if not damping >= 0:
            raise ValueError(f"`damping` must not be negative. Received: damping={damping}")
        self.information = information
        self.damping = damping

    def build(self, input_shape: Sequence[int | None]) -> None:
        if self.information == "kronecker" and len(input_shape) != 3:
            raise ValueError(
                f"`information='kronecker'` needs raw vectors (batch, C, D + 1). Received: shape={tuple(input_shape)}"
            )

        if self.information == "diagonal":
            self.scale = add_constant(self, "scale", input_shape[1:])
        elif self.information == "kronecker":
            self.left = add_constant(self, "left", (input_shape[1],) * 2)
            self.right = add_constant(self, "right", (input_shape[2],) * 2)
        self.add_counter()
        self.built = True

    @property
    def needs_adapt(self) -> bool:
        """Only `information="none"` does without data."""
        return self.information != "none"

    def adapt(self, data: Any, verbose: int = 0) -> None:
        """Computes the Fisher information of a training set in one pass.

        Args:
            data: raw vectors: an array `(n, C, D + 1)`, or a `tf.data.Dataset` or other iterable of batches. A batch is
                an array, or a tuple `(inputs, *rest)` of which the rest is left aside. Use vectors of the TRAINING set
                only, one per image or video.
            verbose: 1 for a progress bar.

        Raises:
            ValueError: for an empty data set, and for NaN or infinite vectors.
        """
        statistics = FisherStatistics(kronecker=self.information == "kronecker")
        for vectors in read_arrays(data, "FisherNormalization", "Fisher statistics", verbose):
            statistics.update(vectors)
        self.set_statistics(statistics)

    def set_statistics(self, statistics: FisherStatistics) -> None:
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
        self.seen.assign(statistics.count)

    def call(self, inputs: Any) -> Any:
        self.require_adapted(inputs)
        vectors = at_least_float32(inputs)
        if self.information == "diagonal":
            vectors = vectors * ops.cast(self.scale, vectors.dtype)
        elif self.information == "kronecker":
            left, right = (ops.cast(weight, vectors.dtype) for weight in (self.left, self.right))
            vectors = ops.matmul(ops.matmul(left, vectors), right)
        return normalization.l2_normalize(normalization.signed_sqrt(vectors), example_axes(vectors))

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, wide_dtype(self))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "information": self.information, "damping": self.damping}


def _inverse_sqrt(mean_square: np.ndarray) -> np.ndarray:
    alive = mean_square > DEAD_MEAN_SQUARE
    return np.where(alive, 1.0 / np.sqrt(np.where(alive, mean_square, 1.0)), 0.0)


def _damped_inverse_root(moment: np.ndarray, damping: float) -> np.ndarray:
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
