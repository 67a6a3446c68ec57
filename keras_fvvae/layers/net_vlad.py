"""NetVLAD: residuals from centroids under a soft assignment, all of it trainable."""

import math
import warnings

import keras
import numpy as np
from keras import ops

from keras_fvvae.fitting.kmeans import draw_descriptors
from keras_fvvae.layers.descriptor_inputs import check_descriptors, require_built, wide_dtype
from keras_fvvae.ops import normalization, residuals
from keras_fvvae.ops.tensors import clear_masked, holds_values

# Descriptors per centroid that k-means sees: more do not move the centroids, and memory stays bounded.
SAMPLES_PER_CENTROID = 1000
# Share of the nearest centroid over that of the second, at the mean difference of their squared distances.
NEAREST_TO_SECOND = 100.0
# Sharpness of the random start of a layer whose `alpha` is to come from data; `adapt` replaces it.
START_ALPHA = 1.0
# k-means runs, of which the best is kept, and descriptors per step.
KMEANS_RUNS = 3
KMEANS_BATCH = 4096


@keras.saving.register_keras_serializable(package="keras_fvvae")
class NetVLAD(keras.layers.Layer):
    """Represents an image by residuals of its descriptors from centroids, summed under a soft assignment.

        a_tk = softmax_k(w_k . x_t + b_k),    V_k = sum_t a_tk (x_t - c_k)

    Descriptors are brought to unit length first; each V_k is then brought to unit length (intra-normalisation), then
    the whole. `w`, `b` and `c` are trained independently of one another; `adapt` starts them from k-means with

        w_k = 2 alpha c_k,    b_k = -alpha |c_k|^2,    so that a_tk = softmax_k(-alpha |x_t - c_k|^2)

    and, unless given, `alpha = ln(100) / mean(d2^2 - d1^2)` with a descriptor's distances `d1`, `d2` to its nearest and
    second nearest centroid: the nearest then takes about a hundred times the share of the second.

    Args:
        num_centroids: positive integer K. Default 64, the paper's.
        alpha: sharpness of the assignment at the start; `None` (default) takes it from the data in `adapt`. With a
            number the layer also works without `adapt`, from random centroids.
        normalize_descriptors: whether descriptors are brought to unit length, as the paper does. Default `True`.
        normalize: whether intra-normalisation and unit norm follow. Default `True`; `False` returns the sums V.
        seed: integer, for k-means, the sample it sees and the random start.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: descriptors `(batch, T, C)`.
        mask: optional boolean `(batch, T)`; descriptors where it is false contribute nothing.

    Input shape:
        `(batch, T, C)`.

    Output shape:
        `(batch, K * C)`, centroid by centroid, of unit L2 norm (zero where nothing was aggregated).

    Raises:
        ValueError: for wrong arguments and inputs; when called eagerly with `alpha=None` before `adapt` or a load.

    Example:
        >>> import numpy as np
        >>> descriptors = np.random.default_rng(0).random((8, 50, 16)).astype("float32")
        >>> layer = NetVLAD(num_centroids=4)
        >>> layer.adapt([descriptors])
        >>> layer(descriptors).shape
        TensorShape([8, 64])

    Reference:
        Arandjelovic, Gronat, Torii, Pajdla, Sivic: "NetVLAD: CNN architecture for weakly supervised place recognition",
        CVPR 2016, Eq. 1-4.
    """

    def __init__(self, num_centroids=64, alpha=None, normalize_descriptors=True, normalize=True, seed=0, **kwargs):
        # Cast in `call`, to float32: a sharp assignment is a difference of large numbers, which float16 would decide.
        super().__init__(autocast=False, **kwargs)
        if not isinstance(num_centroids, int) or num_centroids < 1:
            raise ValueError(f"`num_centroids` must be a positive integer. Received: num_centroids={num_centroids!r}")
        if alpha is not None and not alpha > 0:
            raise ValueError(f"`alpha` must be positive, or `None` to take it from the data. Received: alpha={alpha!r}")
        self.num_centroids = num_centroids
        self.alpha = alpha
        self.normalize_descriptors = normalize_descriptors
        self.normalize = normalize
        self.seed = seed
        self.supports_masking = True

    def build(self, input_shape):
        self._check_shape(input_shape)
        channels = input_shape[-1]
        # Random centroids of about unit length, as the descriptors are.
        scale = 1.0 / math.sqrt(channels)
        centroids = np.random.default_rng(self.seed).normal(scale=scale, size=(self.num_centroids, channels))

        def trainable(name, values):
            def start(shape, dtype=None):
                return ops.convert_to_tensor(values, dtype)

            return self.add_weight(name=name, shape=values.shape, initializer=start, autocast=False)

        kernel, bias = residuals.assignment_weights(centroids, self.alpha or START_ALPHA)
        self.kernel = trainable("kernel", kernel)
        self.bias = trainable("bias", bias)
        self.centroids = trainable("centroids", centroids)
        # Number of descriptors k-means has seen; 0 marks a layer without statistics. Saved, unlike an attribute.
        self.descriptors_seen = self.add_weight(
            name="descriptors_seen", shape=(), initializer="zeros", dtype="int64", trainable=False
        )
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes={-1: channels})
        self.built = True

    @property
    def output_dimension(self):
        """Length of a representation; known once the layer is built."""
        require_built(self)
        return self.num_centroids * self.centroids.shape[1]

    @property
    def is_adapted(self):
        """Whether the weights come from data (or the start is random by choice, with `alpha` given)."""
        return self.alpha is not None or (self.built and int(self.descriptors_seen) > 0)

    def adapt(self, data, verbose=0):
        """Starts assignment and centroids from k-means on a bounded, evenly drawn sample of descriptors, in one pass.

        Args:
            data: descriptors: an array of the layer's input shape, or a `tf.data.Dataset` or other iterable of batches
                of such, each an array or a pair `(descriptors, mask)`. Use the TRAINING set only.
            verbose: 1 for a progress bar.

        Raises:
            ValueError: for fewer descriptors than centroids, for NaN or infinite ones, and, with `alpha=None`, for
                descriptors so alike that they say nothing about it.
        """
        seen = 0

        def kept():
            nonlocal seen
            for batch in [data] if hasattr(data, "shape") else data:
                descriptors = self._kept_descriptors(batch)
                seen += len(descriptors)
                yield descriptors
            if seen < self.num_centroids:
                raise ValueError(
                    f"`adapt` needs at least as many descriptors as `num_centroids={self.num_centroids}`. "
                    f"Received: {seen} descriptors"
                )

        descriptors = draw_descriptors(kept(), SAMPLES_PER_CENTROID * self.num_centroids, self.seed, verbose)
        centroids, squared_distances = _k_means(descriptors, self.num_centroids, self.seed)
        alpha = self.alpha or _alpha_of(squared_distances)
        if not self.built:
            self.build((*(None,) * (self._rank() - 1), descriptors.shape[1]))
        kernel, bias = residuals.assignment_weights(centroids, alpha)
        for weight, values in ((self.kernel, kernel), (self.bias, bias), (self.centroids, centroids)):
            weight.assign(values)
        self.descriptors_seen.assign(seen)

    def call(self, inputs, mask=None):
        return self._aggregate(inputs, mask)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        self._check_shape(input_shape)
        return (input_shape[0], self.num_centroids * input_shape[-1])

    def compute_output_spec(self, inputs, mask=None):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide_dtype(self))

    def get_config(self):
        return {
            **super().get_config(),
            "num_centroids": self.num_centroids,
            "alpha": self.alpha,
            "normalize_descriptors": self.normalize_descriptors,
            "normalize": self.normalize,
            "seed": self.seed,
        }

    def _aggregate(self, descriptors, mask):
        """The vectors `(batch, K * C)` of bags of descriptors `(batch, T, C)`."""
        if holds_values(descriptors) and not self.is_adapted:
            raise ValueError(
                f"This `{type(self).__name__}` has no centroids yet: call `adapt` on descriptors first, or give "
                "`alpha` to start from random ones."
            )
        descriptors = ops.cast(descriptors, wide_dtype(self))
        if self.normalize_descriptors:
            # Cleared first: a masked NaN would come back through the gradient of its norm.
            descriptors = clear_masked(descriptors, mask)
            descriptors = normalization.l2_normalize(descriptors, axis=-1)
        sums = residuals.sum_residuals(descriptors, self.kernel, self.bias, self.centroids, mask)
        if self.normalize:
            return residuals.normalize_residuals(sums)
        return ops.reshape(sums, (-1, self.output_dimension))

    def _rank(self):
        return 3

    def _check_shape(self, input_shape):
        check_descriptors(self, input_shape)

    def _kept_descriptors(self, batch):
        """Descriptors `(n, C)` of a batch, or of a pair of a batch and its mask, scaled as `call` scales them."""
        inputs, mask = batch if isinstance(batch, (tuple, list)) else (batch, None)
        inputs = ops.convert_to_numpy(inputs).astype("float32")
        self._check_shape(inputs.shape)
        if mask is not None:
            mask = ops.convert_to_numpy(mask)
            if mask.shape != inputs.shape[:2]:
                raise ValueError(
                    "`adapt` takes batches of descriptors, or pairs of descriptors and a boolean mask over their first "
                    f"two axes; drop labels first. Received: shapes={inputs.shape} and {mask.shape}"
                )
            inputs = inputs[mask.astype(bool)]
        descriptors = inputs.reshape(-1, inputs.shape[-1])
        if not np.isfinite(descriptors).all():
            raise ValueError("`adapt` received descriptors with NaN or infinite entries.")
        if self.normalize_descriptors:
            norm = np.linalg.norm(descriptors, axis=1, keepdims=True)
            descriptors = np.divide(descriptors, norm, out=np.zeros_like(descriptors), where=norm > 0)
        return descriptors


def _k_means(descriptors, num_centroids, seed):
    """Centroids `(K, C)` in float64 and squared distances `(n, K)` of descriptors to them."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    kmeans = MiniBatchKMeans(num_centroids, random_state=seed, n_init=KMEANS_RUNS, batch_size=KMEANS_BATCH)
    with warnings.catch_warnings():
        # Fewer distinct descriptors than centroids: some centroids coincide, which is no error here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans.fit(descriptors)
    return kmeans.cluster_centers_.astype("float64"), np.square(kmeans.transform(descriptors).astype("float64"))


def _alpha_of(squared_distances):
    if squared_distances.shape[1] == 1:
        return START_ALPHA  # one centroid takes everything, however sharp
    nearest, second = np.partition(squared_distances, 1, axis=1)[:, :2].T
    gap = float(np.mean(second - nearest))
    if not gap > residuals.SQUARED_NORM_FLOOR:
        raise ValueError(
            "`alpha` cannot be taken from the data: all descriptors are as near to a second centroid as to the nearest "
            "one, as repeated descriptors are. Give `alpha`, fewer `num_centroids`, or other data."
        )
    return math.log(NEAREST_TO_SECOND) / gap
