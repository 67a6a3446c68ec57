"""Vectors of locally aggregated descriptors (VLAD)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.fitting.kmeans import kmeans
from keras_fvvae.layers.adapted import add_constant
from keras_fvvae.layers.codebook_layer import CodebookLayer
from keras_fvvae.layers.descriptor_inputs import check_descriptors
from keras_fvvae.ops import codebooks

IMPROVED = ("square_root", "components", "l2")


@keras.saving.register_keras_serializable(package="keras_fvvae")
class VLAD(CodebookLayer):
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
        >>> layer(descriptors).shape, layer.output_dim
        (TensorShape([2, 64]), 64)

    Reference:
        Jegou et al., "Aggregating local image descriptors into compact codes", PAMI 2012; Qiu et al., CVPR 2017,
        Section 5.2; VLFeat, `vl/vlad.c`.
    """

    def __init__(
        self,
        num_centroids: int = 256,
        normalization: str | Sequence[str] | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_centroids, "num_centroids", normalization, IMPROVED, codebooks.STEPS, seed, **kwargs)
        self.num_centroids = num_centroids

    def build(self, input_shape: Sequence[int | None]) -> None:
        check_descriptors(self, input_shape)
        self.centroids = add_constant(self, "centroids", (self.num_centroids, input_shape[-1]))
        self.finish_build(input_shape)

    @property
    def num_rows(self) -> int:
        """One row for each centroid."""
        return self.num_centroids

    def adapt(self, data: Any, verbose: int = 0, *, descriptors_per_centroid: int | None = 1000) -> None:
        """Finds the centroids by k-means.

        Args:
            data: descriptors `(batch, T, C)` of the TRAINING set: an array, or a `tf.data.Dataset` or other iterable of
                batches. A batch is an array, a tuple `(inputs, *rest)` of which the rest is left aside, or
                `{"inputs": ..., "mask": ...}` with a boolean mask `(batch, T)`.
            verbose: 1 for a progress bar.
            descriptors_per_centroid: descriptors drawn evenly from the data set for each centroid, in one pass; k-means
                then runs on these in memory. `None` for all of the data set, in as many passes as k-means takes, with
                memory that does not grow with their number.

        Raises:
            ValueError: for fewer descriptors than centroids, an empty data set, and NaN or infinite descriptors.
        """
        count = None if descriptors_per_centroid is None else descriptors_per_centroid * self.num_centroids
        clustering = kmeans(self.drawn_or_all(data, count, verbose), self.num_centroids, self.seed, verbose=verbose)
        if not self.built:
            self.build((None, None, clustering.centroids.shape[-1]))
        self.centroids.assign(clustering.centroids)
        self.seen.assign(clustering.counts.sum())

    def encode(self, descriptors: Any, mask: Any) -> Any:
        """The residuals `(batch, K, C)`."""
        centroids = ops.cast(self.centroids, descriptors.dtype)
        return codebooks.vlad(descriptors, centroids, mask, average="mass" in self.steps)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_centroids": self.num_centroids}
