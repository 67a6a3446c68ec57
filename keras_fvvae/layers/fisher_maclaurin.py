"""Compact Fisher vectors of FV-VAE by Random Maclaurin features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fvvae.fitting.fisher_statistics import FisherStatistics
from keras_fvvae.layers.adapted import AdaptedLayer, add_constant, fixed
from keras_fvvae.layers.compact_bilinear import check_projection, random_bits, random_signs
from keras_fvvae.layers.descriptor_inputs import check_descriptors, check_normalization, wide_dtype
from keras_fvvae.layers.fisher_normalization import DEAD_MEAN_SQUARE
from keras_fvvae.layers.fisher_vector_head import FisherVectorHead
from keras_fvvae.layers.fvvae_layer import FVVAELayer
from keras_fvvae.layers.old_names import with_new_names
from keras_fvvae.ops import bilinear
from keras_fvvae.utils.batches import one_array, read_batches

INFORMATION = ("none", "separable")
# The alternating fit of the separable information ends when no factor changes by more than this share, or here.
FIT_TOLERANCE = 1e-9
FIT_PASSES = 1000


@keras.saving.register_keras_serializable(package="keras_fvvae")
class FisherMaclaurin(AdaptedLayer):
    """FV-VAE in `output_dim` instead of `C * (D + 1)` numbers, with the same inner products on average.

        phi = m^(-1/2) sum_t (W1' a d_t) * (W2' b [z_t; 1]),    W1, W2 random signs
        E <phi, phi'> = <a G b, a G' b>,                        G = sum_t d_t [z_t; 1]' (Eq. 11)

    made from the two factors of Eq. 11 as `FisherVectorHead` has them (with attention, `d_t` is weighted; of a decoder
    with hidden layers, `z_t` is what goes into its last one). What is kept, classified and sent is `output_dim`
    numbers. The standard error of an inner product falls with `output_dim^(-1/2)`. Like the raw Fisher vector it is
    additive: a SUM over descriptors, to be averaged over a video's frames and normalised afterwards.

    The diagonal Fisher information of `FisherNormalization`, a scale for every entry of `G`, cannot be applied here: an
    entry of `phi` mixes all of them. What can, before the projection, is a scale for every row and one for every column
    of `G`, the diagonals `a` and `b`:

        "none"       a = b = 1.
        "separable"  a_c = r_c^(-1/2), b_d = s_d^(-1/2) with F_cd = E[G_cd^2] ~ r_c s_d: the rank-one approximation of
                     the diagonal information that has the largest likelihood if the entries of `G` are independent
                     Gaussians of variance `r_c s_d`. It is the one that gives every row and every column of `a G b` a
                     mean square of one.

    "separable" is not the diagonal information: single entries keep the mean square `F_cd / (r_c s_d)`, which is one
    only on average over a row or a column. It is exact where `F` is an outer product. Rows and columns that are zero
    for the whole training set (units that never fire) become zero. Signed square root after a random projection is not
    the one before it: `normalization` is a normalisation of its own, and no accuracy is claimed for it.

    Args:
        fvvae: an `FVVAELayer`, shared with the model that trains it, not copied.
        output_dim: positive integer, `m`, the length of a representation.
        information: `"none"` (default) or `"separable"`, which needs `adapt`.
        seed: integer from which the projections are drawn, as in `RandomMaclaurin`.
        normalization: `"improved"`: signed square root and unit L2 norm follow. Default `None`, the raw sum.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: descriptors `(batch, T, C)`.
        mask: optional boolean `(batch, T)`; descriptors where it is false contribute nothing.

    Input shape:
        `(batch, T, C)`.

    Output shape:
        `(batch, output_dim)`.

    Raises:
        TypeError: if `fvvae` is not an `FVVAELayer`.
        ValueError: for other wrong arguments; when called eagerly with `"separable"` before `adapt` or a load.

    Example:
        >>> import numpy as np
        >>> from keras_fvvae.layers import FVVAELayer
        >>> descriptors = np.random.default_rng(0).random((2, 50, 16)).astype("float32")
        >>> layer = FisherMaclaurin(FVVAELayer(latent_dim=7), output_dim=100, information="separable")
        >>> layer.adapt([descriptors])
        >>> layer(descriptors).shape, layer.output_dim
        (TensorShape([2, 100]), 100)

    Reference:
        Qiu et al., CVPR 2017, Eq. 11; Kar, Karnick: "Random feature maps for dot product kernels", AISTATS 2012;
        Dutilleul: "The MLE algorithm for the matrix normal distribution", 1999 (the alternating fit).
    """

    counted = "examples"
    fitted = "statistics"
    adapted_to = "descriptors"

    def __init__(
        self,
        fvvae: FVVAELayer,
        output_dim: int,
        information: str = "none",
        seed: int = 0,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.head = FisherVectorHead(fvvae, dtype=self.dtype_policy, name="head")
        check_projection(output_dim, seed)
        check_normalization(normalization)
        if information not in INFORMATION:
            raise ValueError(f"`information` must be one of {INFORMATION}. Received: information={information!r}")
        self.output_dim = output_dim
        self.information = information
        self.seed = seed
        self.normalization = normalization
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.head.build(input_shape)
        _, rows, columns = self.head.compute_output_shape(input_shape)
        bits = random_bits(self.seed, (rows + columns) * self.output_dim)
        signs = np.split(random_signs(bits).reshape(-1, self.output_dim), [rows])
        self.row_signs, self.column_signs = (
            add_constant(self, name, drawn.shape, fixed(drawn))
            for name, drawn in zip(("row_signs", "column_signs"), signs, strict=True)
        )
        if self.needs_adapt:
            self.row_scale = add_constant(self, "row_scale", (rows,))
            self.column_scale = add_constant(self, "column_scale", (columns,))
            self.add_counter()
        self.built = True

    @property
    def fvvae(self) -> FVVAELayer:
        """The `FVVAELayer` that the layer was given."""
        return self.head.fvvae

    @property
    def needs_adapt(self) -> bool:
        """Only `information="none"` does without data."""
        return self.information != "none"

    def adapt(self, data: Any, verbose: int = 0) -> None:
        """Fits the separable Fisher information to a training set in one pass; the `FVVAELayer` must be trained.

        Args:
            data: descriptors `(batch, T, C)` of the TRAINING set: an array, or a `tf.data.Dataset` or other iterable of
                batches. A batch is an array, a tuple `(inputs, *rest)` of which the rest is left aside, or
                `{"inputs": ..., "mask": ...}` with a boolean mask `(batch, T)`.
            verbose: 1 for a progress bar.

        Raises:
            ValueError: for an empty data set, and for NaN or infinite vectors.
        """
        if not self.needs_adapt:
            return  # nothing to fit, and the layer without data has nowhere to count them
        statistics = FisherStatistics()
        for inputs, mask in read_batches(data, "Fisher statistics", verbose):
            descriptors = one_array(inputs, "FisherMaclaurin")
            check_descriptors(self, descriptors.shape)
            if not self.built:
                self.build(descriptors.shape)
            rows, columns = self.head.factors(ops.convert_to_tensor(descriptors, self.compute_dtype), mask)[0]
            statistics.update(ops.convert_to_numpy(bilinear.bilinear_pool(rows, columns)).reshape(-1, *self._sides))
        row_variances, column_variances = _separable_fit(statistics.mean_square)
        self.row_scale.assign(_inverse_root(row_variances))
        self.column_scale.assign(_inverse_root(column_variances))
        self.seen.assign(statistics.count)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        self.require_adapted(inputs)
        rows, columns = self.head.factors(inputs, mask)[0]
        if self.needs_adapt:
            rows = rows * ops.cast(self.row_scale, rows.dtype)
            columns = columns * ops.cast(self.column_scale, columns.dtype)
        vectors = bilinear.random_maclaurin(rows, columns, self.row_signs, self.column_signs)
        return vectors if self.normalization is None else bilinear.normalize_bilinear(vectors)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, int]:
        return (input_shape[0], self.output_dim)

    def compute_output_spec(self, inputs: Any, mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide_dtype(self))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "fvvae": keras.saving.serialize_keras_object(self.fvvae),
            "output_dim": self.output_dim,
            "information": self.information,
            "seed": self.seed,
            "normalization": self.normalization,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FisherMaclaurin:
        config = with_new_names(config)
        return cls(**{**config, "fvvae": keras.saving.deserialize_keras_object(config["fvvae"])})

    @property
    def _sides(self) -> tuple[int, int]:
        return self.row_signs.shape[0], self.column_signs.shape[0]


def _separable_fit(mean_square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factors `r` `(C,)` and `s` `(D + 1,)` for which every row and column of `F_cd / (r_c s_d)` has a mean of one.

    Each pass gives one of them the value that is best for the other; the likelihood rises to its only maximum. Rows and
    columns without any live entry get 0.
    """
    live: Any = mean_square > DEAD_MEAN_SQUARE
    rows, columns = live.any(axis=1), live.any(axis=0)
    r, s = np.zeros(len(rows)), np.zeros(len(columns))
    if not live.any():
        return r, s
    block = mean_square[np.ix_(rows, columns)]
    column_variances = block.mean(axis=0)
    for _ in range(FIT_PASSES):
        row_variances = (block / column_variances).mean(axis=1)
        update = (block / row_variances[:, np.newaxis]).mean(axis=0)
        change = np.abs(update / column_variances - 1).max()
        column_variances = update
        if change < FIT_TOLERANCE:
            break
    r[rows], s[columns] = row_variances, column_variances
    return r, s


def _inverse_root(variances: np.ndarray) -> np.ndarray:
    return np.where(variances > 0, 1 / np.sqrt(np.where(variances > 0, variances, 1)), 0)
