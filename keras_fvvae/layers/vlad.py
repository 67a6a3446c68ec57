"""Vectors of locally aggregated descriptors (VLAD)."""

import keras

from keras_fvvae.fitting.kmeans import draw_descriptors, kmeans
from keras_fvvae.layers.descriptor_inputs import wide_dtype
from keras_fvvae.ops import codebooks

IMPROVED = ("square_root", "components", "l2")


@keras.saving.register_keras_serializable(package="keras_fvvae")
class VLAD(keras.layers.Layer):
    """Encodes an image as the residuals of its descriptors from their nearest centroids.

        V_k = sum_{t: nearest k} (x_t - c_k)

    The centroids come from k-means on descriptors of the training set (`adapt`) and are not trained further. The
    result is differentiable with respect to the descriptors, with their assignments held fixed.

    Args:
        num_centroids: K. Default 256, the paper's.
        normalization: `None` (default) for the bare sums; `"improved"` for signed square root, unit L2 norm of each
            centroid's residual and of the whole; or names of single steps, taken in VLFeat's order whatever order they
            are given in: `"mass"` (mean instead of sum), `"square_root"`, `"components"`, `"l2"`. VLFeat by itself
            (`vl_vlad`) does `"l2"` only.
        seed: integer for k-means and the draw of descriptors.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: descriptors `(batch, T, C)`.
        mask: optional boolean `(batch, T)`; descriptors where it is false contribute nothing.

    Input shape:
        `(batch, T, C)`.

    Output shape:
        `(batch, K * C)`, centroid by centroid.

    Raises:
        ValueError: for unknown arguments, other shapes, and when called before `adapt` or a load.

    Example:
        >>> import numpy as np
        >>> descriptors = np.random.default_rng(0).random((2, 50, 16)).astype("float32")
        >>> layer = VLAD(num_centroids=4, normalization="improved")
        >>> layer.adapt(descriptors)
        >>> layer(descriptors).shape, layer.output_dimension
        (TensorShape([2, 64]), 64)

    Reference:
        Jegou et al., "Aggregating local image descriptors into compact codes", PAMI 2012; Qiu et al., CVPR 2017,
        Section 5.2; VLFeat, `vl/vlad.c`.
    """

    def __init__(self, num_centroids=256, normalization=None, seed=0, **kwargs):
        # Sums over descriptors: under mixed precision they must not be narrowed to float16 on the way in.
        super().__init__(autocast=False, **kwargs)
        if not isinstance(num_centroids, int) or num_centroids < 1:
            raise ValueError(f"`num_centroids` must be a positive integer. Received: num_centroids={num_centroids!r}")
        self.steps = codebooks.normalization_steps(normalization, IMPROVED, codebooks.STEPS)
        self.num_centroids = num_centroids
        self.normalization = normalization
        self.seed = seed
        self.supports_masking = True

    def build(self, input_shape):
        codebooks.check_descriptors_shape(input_shape, "VLAD")
        shape = (self.num_centroids, input_shape[-1])
        self.centroids = self.add_weight(
            name="centroids", shape=shape, initializer="zeros", trainable=False, autocast=False
        )
        # Number of descriptors adapted to; 0 marks a layer without centroids. Saved, unlike a Python attribute.
        self.descriptors_seen = self.add_weight(
            name="descriptors_seen", shape=(), initializer="zeros", dtype="int64", trainable=False
        )
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: input_shape[-1]})
        self.built = True

    @property
    def is_adapted(self):
        """Whether the layer holds centroids."""
        return self.built and int(self.descriptors_seen) > 0

    @property
    def output_dimension(self):
        """Length of the vectors, `K * C`; known once the layer has seen a shape."""
        if not self.built:
            raise ValueError("`output_dimension` depends on the descriptors: call `adapt` or `build` first.")
        return self.num_centroids * self.centroids.shape[-1]

    def adapt(self, dataset, descriptors_per_centroid=1000, verbose=0):
        """Finds the centroids by k-means.

        Args:
            dataset: descriptors `(batch, T, C)` of the TRAINING set: an array, or a `tf.data.Dataset` or other iterable
                of batches or of tuples that start with them.
            descriptors_per_centroid: descriptors drawn evenly from the data set for each centroid, in one pass; k-means
                then runs on these in memory. `None` for all of the data set, in as many passes as k-means takes, with
                memory that does not grow with their number.
            verbose: 1 for a progress bar.

        Raises:
            ValueError: for fewer descriptors than centroids, an empty data set, and NaN or infinite descriptors.
        """
        if descriptors_per_centroid is not None:
            count = descriptors_per_centroid * self.num_centroids
            dataset = draw_descriptors(dataset, count, self.seed, verbose)
        clustering = kmeans(dataset, self.num_centroids, self.seed, verbose=verbose)
        if not self.built:
            self.build((None, None, clustering.centroids.shape[-1]))
        self.centroids.assign(clustering.centroids)
        self.descriptors_seen.assign(clustering.counts.sum())

    def call(self, inputs, mask=None):
        inputs = codebooks.require_fitted(inputs, self.descriptors_seen, "VLAD")
        inputs = keras.ops.cast(inputs, wide_dtype(self))
        centroids = keras.ops.cast(self.centroids, inputs.dtype)
        residuals = codebooks.vlad(inputs, centroids, mask, average="mass" in self.steps)
        return codebooks.normalize_encoding(residuals, self.steps)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        codebooks.check_descriptors_shape(input_shape, "VLAD")
        return (input_shape[0], self.num_centroids * input_shape[-1])

    def compute_output_spec(self, inputs, mask=None):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide_dtype(self))

    def get_config(self):
        config = {"num_centroids": self.num_centroids, "normalization": self.normalization, "seed": self.seed}
        return {**super().get_config(), **config}
