"""Compact Fisher vectors of FV-VAE by Random Maclaurin features."""

import keras
import numpy as np
from keras import ops

from keras_fvvae.fitting.fisher_statistics import FisherStatistics
from keras_fvvae.layers.descriptor_inputs import wide_dtype
from keras_fvvae.layers.fisher_normalization import DEAD_MEAN_SQUARE
from keras_fvvae.layers.fisher_vector_head import FisherVectorHead
from keras_fvvae.layers.random_maclaurin import add_constant, check_projection, random_bits, random_signs
from keras_fvvae.ops import bilinear
from keras_fvvae.ops.tensors import holds_values
from keras_fvvae.utils.progress import track

INFORMATION = ("none", "separable")
# The alternating fit of the separable information ends when no factor changes by more than this share, or here.
FIT_TOLERANCE = 1e-9
FIT_PASSES = 1000


@keras.saving.register_keras_serializable(package="keras_fvvae")
class FisherMaclaurin(keras.layers.Layer):
    """FV-VAE in `dimension` instead of `C * (D + 1)` numbers, with the same inner products on average.

        phi = m^(-1/2) sum_t (W1' a d_t) * (W2' b [z_t; 1]),    W1, W2 random signs
        E <phi, phi'> = <a G b, a G' b>,                        G = sum_t d_t [z_t; 1]' (Eq. 11)

    made from the two factors of Eq. 11 as `FisherVectorHead` has them (with attention, `d_t` is weighted; of a decoder
    with hidden layers, `z_t` is what goes into its last one). What is kept, classified and sent is `dimension` numbers.
    The standard error of an inner product falls with `dimension^(-1/2)`. Like the raw Fisher vector it is additive: a
    SUM over descriptors, to be averaged over a video's frames and normalised afterwards.

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
    the one before it: `normalize` is a normalisation of its own, and no accuracy is claimed for it.

    Args:
        fvvae: an `FVVAELayer`, shared with the model that trains it, not copied.
        dimension: positive integer, `m`, the length of a representation.
        information: `"none"` (default) or `"separable"`, which needs `adapt`.
        seed: integer from which the projections are drawn, as in `RandomMaclaurin`.
        normalize: whether signed square root and unit L2 norm follow. Default `False`, the raw sum.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: descriptors `(batch, T, C)`.
        mask: optional boolean `(batch, T)`; descriptors where it is false contribute nothing.

    Input shape:
        `(batch, T, C)`.

    Output shape:
        `(batch, dimension)`.

    Raises:
        TypeError: if `fvvae` is not an `FVVAELayer`.
        ValueError: for other wrong arguments; when called eagerly with `"separable"` before `adapt` or a load.

    Example:
        >>> import numpy as np
        >>> from keras_fvvae.layers import FVVAELayer
        >>> descriptors = np.random.default_rng(0).random((2, 50, 16)).astype("float32")
        >>> layer = FisherMaclaurin(FVVAELayer(latent_dim=7), dimension=100, information="separable")
        >>> layer.adapt([descriptors])
        >>> layer(descriptors).shape, layer.output_dimension
        (TensorShape([2, 100]), 100)

    Reference:
        Qiu et al., CVPR 2017, Eq. 11; Kar, Karnick: "Random feature maps for dot product kernels", AISTATS 2012;
        Dutilleul: "The MLE algorithm for the matrix normal distribution", 1999 (the alternating fit).
    """

    def __init__(self, fvvae, dimension, information="none", seed=0, normalize=False, **kwargs):
        super().__init__(**kwargs)
        self.head = FisherVectorHead(fvvae, dtype=self.dtype_policy, name="head")
        check_projection(dimension, seed)
        if information not in INFORMATION:
            raise ValueError(f"`information` must be one of {INFORMATION}. Received: information={information!r}")
        self.dimension = dimension
        self.information = information
        self.seed = seed
        self.normalize = normalize
        self.supports_masking = True

    def build(self, input_shape):
        self.head.build(input_shape)
        _, rows, columns = self.head.compute_output_shape(input_shape)
        bits = random_bits(self.seed, (rows + columns) * self.dimension)
        signs = np.split(random_signs(bits).reshape(-1, self.dimension), [rows])
        self.row_signs, self.column_signs = (
            add_constant(self, name, drawn) for name, drawn in zip(("row_signs", "column_signs"), signs, strict=True)
        )
        if self.information == "separable":
            self.row_scale, self.column_scale = (
                add_constant(self, name, np.zeros(size))
                for name, size in (("row_scale", rows), ("column_scale", columns))
            )
            # Images adapted to; 0 marks a layer without statistics. Saved, unlike a Python attribute.
            self.examples_seen = add_constant(self, "examples_seen", np.array(0), "int64")
        self.built = True

    @property
    def fvvae(self):
        """The `FVVAELayer` that the layer was given."""
        return self.head.fvvae

    @property
    def is_adapted(self):
        """Whether the layer holds statistics (always true for `information="none"`)."""
        return self.information == "none" or (self.built and int(self.examples_seen) > 0)

    @property
    def output_dimension(self):
        """Length of a representation."""
        return self.dimension

    def adapt(self, dataset, verbose=0):
        """Fits the separable Fisher information to a training set in one pass; the `FVVAELayer` must be trained.

        Args:
            dataset: descriptors `(batch, T, C)` of the TRAINING set: an array, or a `tf.data.Dataset` or other iterable
                of batches or of tuples that start with them.
            verbose: 1 for a progress bar.

        Raises:
            ValueError: for an empty data set, and for NaN or infinite vectors.
        """
        if self.information == "none":
            return  # nothing to fit, as in `FisherNormalization`
        statistics = FisherStatistics()
        for batch in track(
            [dataset] if hasattr(dataset, "shape") else dataset, "Fisher statistics", enabled=bool(verbose)
        ):
            descriptors = ops.convert_to_tensor(batch[0] if isinstance(batch, tuple) else batch)
            if not self.built:
                self.build(descriptors.shape)
            rows, columns = self.head.factors(ops.cast(descriptors, self.compute_dtype))[0]
            statistics.update(ops.convert_to_numpy(bilinear.bilinear_pool(rows, columns)).reshape(-1, *self._sides))
        row_variances, column_variances = _separable_fit(statistics.mean_square)
        self.row_scale.assign(_inverse_root(row_variances))
        self.column_scale.assign(_inverse_root(column_variances))
        self.examples_seen.assign(statistics.count)

    def call(self, inputs, mask=None):
        if holds_values(inputs) and not self.is_adapted:
            raise ValueError("This `FisherMaclaurin` has no statistics yet: call `adapt` on descriptors first.")
        rows, columns = self.head.factors(inputs, mask)[0]
        if self.information == "separable":
            rows = rows * ops.cast(self.row_scale, rows.dtype)
            columns = columns * ops.cast(self.column_scale, columns.dtype)
        vectors = bilinear.random_maclaurin(rows, columns, self.row_signs, self.column_signs)
        return bilinear.normalize_bilinear(vectors) if self.normalize else vectors

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.dimension)

    def compute_output_spec(self, inputs, mask=None):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide_dtype(self))

    def get_config(self):
        return {
            **super().get_config(),
            "fvvae": keras.saving.serialize_keras_object(self.fvvae),
            "dimension": self.dimension,
            "information": self.information,
            "seed": self.seed,
            "normalize": self.normalize,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "fvvae": keras.saving.deserialize_keras_object(config["fvvae"])})

    @property
    def _sides(self):
        return self.row_signs.shape[0], self.column_signs.shape[0]


def _separable_fit(mean_square):
    """Factors `r` `(C,)` and `s` `(D + 1,)` for which every row and column of `F_cd / (r_c s_d)` has a mean of one.

    Each pass gives one of them the value that is best for the other; the likelihood rises to its only maximum. Rows and
    columns without any live entry get 0.
    """
    live = mean_square > DEAD_MEAN_SQUARE
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


def _inverse_root(variances):
    return np.where(variances > 0, 1 / np.sqrt(np.where(variances > 0, variances, 1)), 0)
