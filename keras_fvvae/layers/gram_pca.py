"""Principal component analysis of vectors that are longer than they are many."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import IO, Any

import keras
import numpy as np
from keras import ops

from keras_fvvae.fitting.principal_components import gram_components
from keras_fvvae.layers.adapted import AdaptedLayer, add_constant
from keras_fvvae.layers.descriptor_inputs import check_normalization, wide_dtype
from keras_fvvae.layers.old_names import with_new_names
from keras_fvvae.ops.normalization import l2_normalize
from keras_fvvae.utils.batches import read_arrays, whole_array


@keras.saving.register_keras_serializable(package="keras_fvvae")
class GramPCA(AdaptedLayer):
    """Projects vectors on the principal components of a training set: compression of any representation.

        y = V' (x - mean),    then y_k / sqrt(variance_k) with `whiten`,    then y / |y| with `normalization="l2"`

    The directions V come from the centred Gram matrix of the N training vectors, N x N, not from their covariance,
    D x D, which cannot be had for the lengths D of Fisher vectors. The result is that of `sklearn.decomposition.PCA`,
    signs included. The layer's weights are not trained; the directions take `D * num_components` numbers.

    Args:
        num_components: positive integer, at most N - 1 for N training vectors.
        whiten: whether every component is divided by its standard deviation over the training set. Default `False`,
            which keeps inner products (of centred vectors, as far as the components go).
        normalization: `"l2"` brings the result to unit L2 norm, as a linear SVM wants it. Default `None`.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Input shape:
        `(batch, D)`; flatten Fisher vectors `(batch, C, D + 1)` first.

    Output shape:
        `(batch, num_components)`.

    Raises:
        ValueError: for wrong arguments and inputs; when called eagerly before `adapt` or a load.

    Example:
        >>> import numpy as np
        >>> vectors = np.random.default_rng(0).normal(size=(8, 100)).astype("float32")
        >>> layer = GramPCA(num_components=7)
        >>> layer.adapt(vectors)
        >>> layer(vectors[:2]).shape
        TensorShape([2, 7])

    Reference:
        Turk, Pentland: "Eigenfaces for recognition", 1991 (the N x N matrix); Jegou, Chum: "Negative evidences and
        co-occurrences in image retrieval", ECCV 2012 (whitening, then unit norm).
    """

    counted = "examples"
    fitted = "principal components"
    adapted_to = "vectors"

    def __init__(
        self, num_components: int, whiten: bool = False, normalization: str | None = None, **kwargs: Any
    ) -> None:
        # Vectors before normalisation exceed float16: they must not be narrowed on the way in.
        super().__init__(autocast=False, **kwargs)
        if not isinstance(num_components, int) or num_components < 1:
            raise ValueError(
                f"`num_components` must be a positive integer. Received: num_components={num_components!r}"
            )
        check_normalization(normalization, "l2")
        self.num_components = num_components
        self.whiten = whiten
        self.normalization = normalization

    def build(self, input_shape: Sequence[int | None]) -> None:
        if len(input_shape) != 2 or input_shape[-1] is None:
            raise ValueError(
                f"`GramPCA` expects vectors (batch, D) of known length; flatten others first. "
                f"Received: shape={tuple(input_shape)}"
            )
        self.mean = add_constant(self, "mean", (input_shape[-1],))
        self.directions = add_constant(self, "directions", (input_shape[-1], self.num_components))
        self.variances = add_constant(self, "variances", (self.num_components,))
        self.add_counter()
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: input_shape[-1]})
        self.built = True

    @property
    def output_dim(self) -> int:
        """Length of a representation."""
        return self.num_components

    def adapt(self, data: Any, verbose: int = 0) -> None:
        """Finds the principal components of a training set.

        Args:
            data: vectors `(N, D)` of the TRAINING set: an array or a memory map, which is read in blocks of columns and
                never copied; or a `tf.data.Dataset` or other iterable of batches, which is written to a temporary file
                first. A batch is an array, or a tuple `(inputs, *rest)` of which the rest is left aside. Memory is that
                of N^2 numbers, of the directions and of one block.
            verbose: 1 for progress bars.

        Raises:
            ValueError: for fewer than `num_components + 1` vectors, for vectors that vary in fewer directions, for NaN
                or infinite ones, and for an empty data set. The layer stays as it was.
        """
        vectors = whole_array(data)
        if vectors is not None:
            self._adapt(vectors, verbose)
            return
        with tempfile.TemporaryFile(prefix="keras_fvvae_pca_") as file:
            self._adapt(_spooled(data, file), verbose)

    def call(self, inputs: Any) -> Any:
        self.require_adapted(inputs)
        vectors = ops.cast(inputs, wide_dtype(self))
        vectors = ops.matmul(vectors - ops.cast(self.mean, vectors.dtype), ops.cast(self.directions, vectors.dtype))
        if self.whiten:
            variances = ops.cast(self.variances, vectors.dtype)
            # Zero in a graph that was made before `adapt`, where there is nothing to divide either.
            vectors = vectors * ops.rsqrt(ops.where(variances > 0, variances, ops.ones_like(variances)))
        return vectors if self.normalization is None else l2_normalize(vectors, axis=-1)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, int]:
        return (input_shape[0], self.num_components)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide_dtype(self))

    def get_config(self) -> dict[str, Any]:
        settings = {
            "num_components": self.num_components,
            "whiten": self.whiten,
            "normalization": self.normalization,
        }
        return {**super().get_config(), **settings}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> GramPCA:
        return super().from_config(with_new_names(config, normalization="l2"))

    def _adapt(self, vectors: np.ndarray, verbose: int) -> None:
        _check_batch(vectors)
        found = gram_components(vectors, self.num_components, verbose)
        if not self.built:
            self.build((None, vectors.shape[1]))
        self.mean.assign(found.mean)
        self.directions.assign(found.directions)
        self.variances.assign(found.variances)
        self.seen.assign(len(vectors))


def _spooled(batches: Any, file: IO[bytes]) -> np.ndarray:
    """Batches of vectors as one memory map of float32 numbers in an open file."""
    length, count = None, 0
    for rows in read_arrays(batches, "GramPCA"):
        _check_batch(rows, length)
        length, count = rows.shape[1], count + len(rows)
        file.write(np.ascontiguousarray(rows, "float32").data)
    file.flush()
    return np.memmap(file, "float32", "r", shape=(count, length))


def _check_batch(rows: np.ndarray, length: int | None = None) -> None:
    if rows.ndim != 2 or length not in (None, rows.shape[1]):
        raise ValueError(
            f"`GramPCA` adapts to vectors (N, D){'' if length is None else f' with D = {length}'}. "
            f"Received: shape={rows.shape}"
        )
