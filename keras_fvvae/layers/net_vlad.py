"""NetVLAD: residuals from centroids under a soft assignment, all of it trainable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fvvae.fitting.kmeans import descriptor_rows, draw_descriptors, kmeans, nearest_two
from keras_fvvae.layers.adapted import AdaptedLayer, fixed
from keras_fvvae.layers.descriptor_inputs import check_descriptors, check_normalization, require_built, wide_dtype
from keras_fvvae.layers.old_names import with_new_names
from keras_fvvae.ops import residuals
from keras_fvvae.ops.normalization import l2_normalize
from keras_fvvae.ops.tensors import clear_masked

# Descriptors per centroid that k-means sees: more do not move the centroids, and memory stays bounded.
SAMPLES_PER_CENTROID = 1000
# Share of the nearest centroid over that of the second, at the mean difference of their squared distances.
NEAREST_TO_SECOND = 100.0
# Sharpness of the random start of a layer whose `alpha` is to come from data; `adapt` replaces it.
START_ALPHA = 1.0


@keras.saving.register_keras_serializable(package="keras_fvvae")
class NetVLAD(AdaptedLayer):
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
        normalization: `"improved"` (default): intra-normalisation and unit norm follow; `None`: the sums V.
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

    fitted = "centroids"

    def __init__(
        self,
        num_centroids: int = 64,
        alpha: float | None = None,
        normalize_descriptors: bool = True,
        normalization: str | None = "improved",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        # Cast in `call`, to float32: a sharp assignment is a difference of large numbers, which float16 would decide.
        super().__init__(autocast=False, **kwargs)
        check_normalization(normalization)
        if not isinstance(num_centroids, int) or num_centroids < 1:
            raise ValueError(f"`num_centroids` must be a positive integer. Received: num_centroids={num_centroids!r}")
        if alpha is not None and not alpha > 0:
            raise ValueError(f"`alpha` must be positive, or `None` to take it from the data. Received: alpha={alpha!r}")
        self.num_centroids = num_centroids
        self.alpha = alpha
        self.normalize_descriptors = normalize_descriptors
        self.normalization = normalization
        self.seed = seed
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.check_shape(input_shape)
        channels = input_shape[-1]
        # Random centroids of about unit length, as the descriptors are.
        scale = 1.0 / math.sqrt(channels)
        centroids = np.random.default_rng(self.seed).normal(scale=scale, size=(self.num_centroids, channels))

        def trainable(name, values):
            return self.add_weight(name=name, shape=values.shape, initializer=fixed(values), autocast=False)

        kernel, bias = residuals.assignment_weights(centroids, self.alpha or START_ALPHA)
        self.kernel = trainable("kernel", kernel)
        self.bias = trainable("bias", bias)
        self.centroids = trainable("centroids", centroids)
        self.add_counter()
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes={-1: channels})
        self.built = True

    @property
    def output_dim(self) -> int:
        """Length of a representation; known once the layer is built."""
        require_built(self)
        return self.num_centroids * self.centroids.shape[1]

    @property
    def needs_adapt(self) -> bool:
        """With `alpha` given, the layer may start from random centroids by choice."""
        return self.alpha is None

    def adapt(self, data: Any, verbose: int = 0) -> None:
        """Starts assignment and centroids from k-means on a bounded, evenly drawn sample of descriptors, in one pass.

        Args:
            data: descriptors of the TRAINING set: an array of the layer's input shape, or a `tf.data.Dataset` or other
                iterable of batches of such. A batch is an array, a tuple `(inputs, *rest)` of which the rest is left
                aside, or `{"inputs": ..., "mask": ...}` with the boolean mask that `call` takes.
            verbose: 1 for a progress bar.

        Raises:
            ValueError: for an empty data set, fewer descriptors than centroids, NaN or infinite ones, and, with
                `alpha=None`, for descriptors so alike that they say nothing about it.
        """
        seen = 0

        def scaled():
            nonlocal seen
            for rows in descriptor_rows(data, "Drawing descriptors", verbose, self.check_shape):
                seen += len(rows)
                yield self._unit_length(rows) if self.normalize_descriptors else rows

        descriptors = draw_descriptors(scaled(), SAMPLES_PER_CENTROID * self.num_centroids, self.seed)
        centroids = kmeans(descriptors, self.num_centroids, self.seed, verbose=verbose).centroids
        alpha = self.alpha or _alpha_of(descriptors, centroids)
        if not self.built:
            self.build((*(None,) * (self.rank - 1), descriptors.shape[1]))
        kernel, bias = residuals.assignment_weights(centroids, alpha)
        for weight, values in ((self.kernel, kernel), (self.bias, bias), (self.centroids, centroids)):
            weight.assign(values)
        self.seen.assign(seen)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        return self.aggregate(inputs, mask)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, int]:
        self.check_shape(input_shape)
        return (input_shape[0], self.num_centroids * input_shape[-1])

    def compute_output_spec(self, inputs: Any, mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide_dtype(self))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_centroids": self.num_centroids,
            "alpha": self.alpha,
            "normalize_descriptors": self.normalize_descriptors,
            "normalization": self.normalization,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NetVLAD:
        return super().from_config(with_new_names(config))

    def aggregate(self, descriptors: Any, mask: Any) -> Any:
        """The vectors `(batch, K * C)` of bags of descriptors `(batch, T, C)`."""
        self.require_adapted(descriptors)
        descriptors = ops.cast(descriptors, wide_dtype(self))
        if self.normalize_descriptors:
            # Cleared first: a masked NaN would come back through the gradient of its norm.
            descriptors = clear_masked(descriptors, mask)
            descriptors = l2_normalize(descriptors, axis=-1)
        sums = residuals.sum_residuals(descriptors, self.kernel, self.bias, self.centroids, mask)
        if self.normalization is not None:
            return residuals.normalize_residuals(sums)
        return ops.reshape(sums, (-1, self.output_dim))

    @property
    def rank(self) -> int:
        """Axes of the input."""
        return 3

    def check_shape(self, input_shape: Sequence[int | None]) -> None:
        """Refuses inputs of another shape."""
        check_descriptors(self, input_shape)

    @property
    def not_adapted_message(self) -> str:
        """What a call before `adapt` is told."""
        return f"{super().not_adapted_message[:-1]}, or give `alpha` to start from random ones."

    @staticmethod
    def _unit_length(rows: np.ndarray) -> np.ndarray:
        """Descriptors scaled as `call` scales them."""
        norm = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.divide(rows, norm, out=np.zeros_like(rows), where=norm > 0)


def _alpha_of(descriptors: np.ndarray, centroids: np.ndarray) -> float:
    """Sharpness from the distances of descriptors to their nearest and second nearest centroids."""
    if len(centroids) == 1:
        return START_ALPHA  # one centroid takes everything, however sharp
    nearest, second = nearest_two(descriptors, centroids)
    gap = float(np.mean(second - nearest))
    if not gap > residuals.SQUARED_NORM_FLOOR:
        raise ValueError(
            "`alpha` cannot be taken from the data: all descriptors are as near to a second centroid as to the nearest "
            "one, as repeated descriptors are. Give `alpha`, fewer `num_centroids`, or other data."
        )
    return math.log(NEAREST_TO_SECOND) / gap
