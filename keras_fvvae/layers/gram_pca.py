"""Principal component analysis of vectors that are longer than they are many."""

import tempfile

import keras
import numpy as np
from keras import ops

from keras_fvvae.fitting.principal_components import gram_components
from keras_fvvae.layers.descriptor_inputs import wide_dtype
from keras_fvvae.ops import normalization
from keras_fvvae.ops.tensors import holds_values


@keras.saving.register_keras_serializable(package="keras_fvvae")
class GramPCA(keras.layers.Layer):
    """Projects vectors on the principal components of a training set: compression of any representation.

        y = V' (x - mean),    then y_k / sqrt(variance_k) with `whiten`,    then y / |y| with `normalize`

    The directions V come from the centred Gram matrix of the N training vectors, N x N, not from their covariance,
    D x D, which cannot be had for the lengths D of Fisher vectors. The result is that of `sklearn.decomposition.PCA`,
    signs included. The layer's weights are not trained; the directions take `D * components` numbers.

    Args:
        components: positive integer, at most N - 1 for N training vectors.
        whiten: whether every component is divided by its standard deviation over the training set. Default `False`,
            which keeps inner products (of centred vectors, as far as the components go).
        normalize: whether the result is brought to unit L2 norm. Default `False`; a linear SVM wants `True`.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Input shape:
        `(batch, D)`; flatten Fisher vectors `(batch, C, D + 1)` first.

    Output shape:
        `(batch, components)`.

    Raises:
        ValueError: for wrong arguments and inputs; when called eagerly before `adapt` or a load.

    Example:
        >>> import numpy as np
        >>> vectors = np.random.default_rng(0).normal(size=(8, 100)).astype("float32")
        >>> layer = GramPCA(components=7)
        >>> layer.adapt(vectors)
        >>> layer(vectors[:2]).shape
        TensorShape([2, 7])

    Reference:
        Turk, Pentland: "Eigenfaces for recognition", 1991 (the N x N matrix); Jegou, Chum: "Negative evidences and
        co-occurrences in image retrieval", ECCV 2012 (whitening, then unit norm).
    """

    def __init__(self, components, whiten=False, normalize=False, **kwargs):
        # Vectors before normalisation exceed float16: they must not be narrowed on the way in.
        super().__init__(autocast=False, **kwargs)
        if not isinstance(components, int) or components < 1:
            raise ValueError(f"`components` must be a positive integer. Received: components={components!r}")
        self.components = components
        self.whiten = whiten
        self.normalize = normalize

    def build(self, input_shape):
        if len(input_shape) != 2 or input_shape[-1] is None:
            raise ValueError(
                f"`GramPCA` expects vectors (batch, D) of known length; flatten others first. "
                f"Received: shape={tuple(input_shape)}"
            )

        def constant(name, shape, dtype=None):
            return self.add_weight(
                name=name, shape=shape, initializer="zeros", dtype=dtype, trainable=False, autocast=False
            )

        self.mean = constant("mean", (input_shape[-1],))
        self.directions = constant("directions", (input_shape[-1], self.components))
        self.variances = constant("variances", (self.components,))
        # Vectors adapted to; 0 marks a layer without components. Saved, unlike a Python attribute.
        self.examples_seen = constant("examples_seen", (), "int64")
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: input_shape[-1]})
        self.built = True

    @property
    def is_adapted(self):
        """Whether the layer holds principal components."""
        return self.built and int(self.examples_seen) > 0

    @property
    def output_dimension(self):
        """Length of a representation."""
        return self.components

    def adapt(self, data, verbose=0):
        """Finds the principal components of a training set.

        Args:
            data: vectors `(N, D)` of the TRAINING set: an array or a memory map, which is read in blocks of columns and
                never copied; or a `tf.data.Dataset` or other iterable of batches or of tuples that start with them,
                which is written to a temporary file first. Memory is that of N^2 numbers, of the directions and of one
                block.
            verbose: 1 for progress bars.

        Raises:
            ValueError: for fewer than `components + 1` vectors, for vectors that vary in fewer directions, for NaN or
                infinite ones, and for an empty data set. The layer stays as it was.
        """
        if hasattr(data, "shape"):
            self._adapt(data if isinstance(data, np.ndarray) else ops.convert_to_numpy(data), verbose)
            return
        with tempfile.TemporaryFile(prefix="keras_fvvae_pca_") as file:
            self._adapt(_spooled(data, file), verbose)

    def call(self, inputs):
        if holds_values(inputs) and not self.is_adapted:
            raise ValueError("This `GramPCA` has no principal components yet: call `adapt` on vectors first.")
        vectors = ops.cast(inputs, wide_dtype(self))
        vectors = ops.matmul(vectors - ops.cast(self.mean, vectors.dtype), ops.cast(self.directions, vectors.dtype))
        if self.whiten:
            variances = ops.cast(self.variances, vectors.dtype)
            # Zero in a graph that was made before `adapt`, where there is nothing to divide either.
            vectors = vectors * ops.rsqrt(ops.where(variances > 0, variances, ops.ones_like(variances)))
        return normalization.l2_normalize(vectors, axis=-1) if self.normalize else vectors

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.components)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide_dtype(self))

    def get_config(self):
        config = {"components": self.components, "whiten": self.whiten, "normalize": self.normalize}
        return {**super().get_config(), **config}

    def _adapt(self, vectors, verbose):
        _check_batch(vectors)
        found = gram_components(vectors, self.components, verbose)
        if not self.built:
            self.build((None, vectors.shape[1]))
        self.mean.assign(found.mean)
        self.directions.assign(found.directions)
        self.variances.assign(found.variances)
        self.examples_seen.assign(len(vectors))


def _spooled(batches, file):
    """Batches of vectors as one memory map of float32 numbers in an open file."""
    length, count = None, 0
    for batch in batches:
        rows = ops.convert_to_numpy(batch[0] if isinstance(batch, tuple) else batch)
        _check_batch(rows, length)
        length, count = rows.shape[1], count + len(rows)
        file.write(np.ascontiguousarray(rows, "float32").data)
    if not count:
        raise ValueError("No vectors were given: an empty data set has no principal components.")
    file.flush()
    return np.memmap(file, "float32", "r", shape=(count, length))


def _check_batch(rows, length=None):
    if rows.ndim != 2 or length not in (None, rows.shape[1]):
        raise ValueError(
            f"`GramPCA` adapts to vectors (N, D){'' if length is None else f' with D = {length}'}. "
            f"Received: shape={rows.shape}"
        )
