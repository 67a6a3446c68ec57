"""The Fisher vector of a mixture of Gaussians."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fvvae.fitting.gaussian_mixture import fit_gaussian_mixture
from keras_fvvae.layers.adapted import add_constant
from keras_fvvae.layers.codebook_layer import CodebookLayer
from keras_fvvae.layers.descriptor_inputs import check_descriptors
from keras_fvvae.ops import codebooks

IMPROVED = ("square_root", "l2")


@keras.saving.register_keras_serializable(package="keras_fvvae")
class GMMFisherVector(CodebookLayer):
    """Encodes an image as the gradient of its descriptors' log-likelihood under a mixture of diagonal Gaussians.

        u_k = 1 / (T sqrt(pi_k))   sum_t q_tk (x_t - m_k) / s_k
        v_k = 1 / (T sqrt(2 pi_k)) sum_t q_tk [((x_t - m_k) / s_k)^2 - 1]

    with `q_tk` the posterior of component `k`: the gradients with respect to means and standard deviations, divided by
    the root of their diagonal Fisher information. The mixture is fitted by EM on descriptors of the training set
    (`adapt`) and not trained further; the vectors are differentiable with respect to the descriptors.

    Args:
        num_components: K. Default 128, the paper's.
        normalization: `None` (default); `"improved"` for signed square root and unit L2 norm (VLFeat's `Improved`,
            Perronnin 2010); or names of single steps, `"square_root"`, `"l2"`.
        seed: integer for k-means and the draw of descriptors.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: descriptors `(batch, T, C)`.
        mask: optional boolean `(batch, T)`; descriptors where it is false do not count.

    Input shape:
        `(batch, T, C)`.

    Output shape:
        `(batch, 2 * K * C)`, laid out `u_1..u_K, v_1..v_K`; there is no block for the weights.

    Raises:
        ValueError: for unknown arguments, other shapes, and when called before `adapt` or a load.

    Example:
        >>> import numpy as np
        >>> descriptors = np.random.default_rng(0).random((2, 50, 16)).astype("float32")
        >>> layer = GMMFisherVector(num_components=3, normalization="improved")
        >>> layer.adapt(descriptors)
        >>> layer(descriptors).shape, layer.output_dim
        (TensorShape([2, 96]), 96)

    Reference:
        Perronnin, Sanchez and Mensink, "Improving the Fisher kernel for large-scale image classification", ECCV 2010;
        Qiu et al., CVPR 2017, Section 5.2; VLFeat, `vl/fisher.c`.
    """

    def __init__(
        self,
        num_components: int = 128,
        normalization: str | Sequence[str] | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_components, "num_components", normalization, IMPROVED, IMPROVED, seed, **kwargs)
        self.num_components = num_components

    def build(self, input_shape: Sequence[int | None]) -> None:
        check_descriptors(self, input_shape)
        shape = (self.num_components, input_shape[-1])
        self.priors = add_constant(self, "priors", shape[:1])
        self.means = add_constant(self, "means", shape)
        self.variances = add_constant(self, "variances", shape, "ones")
        self.finish_build(input_shape)

    @property
    def num_rows(self) -> int:
        """Two rows for each component."""
        return 2 * self.num_components

    def adapt(
        self,
        data: Any,
        verbose: int = 0,
        *,
        descriptors_per_component: int | None = 1000,
        max_iterations: int = 100,
        repetitions: int = 1,
    ) -> None:
        """Fits the mixture by EM, started by k-means.

        Args:
            data: descriptors `(batch, T, C)` of the TRAINING set: an array, or a `tf.data.Dataset` or other iterable of
                batches. A batch is an array, a tuple `(inputs, *rest)` of which the rest is left aside, or
                `{"inputs": ..., "mask": ...}` with a boolean mask `(batch, T)`.
            verbose: 1 for a progress bar.
            descriptors_per_component: descriptors drawn evenly from the data set for each component, in one pass; EM
                then runs on these in memory. `None` for all of the data set, one pass for each iteration, with memory
                that does not grow with their number.
            max_iterations: most EM iterations.
            repetitions: number of starts; the mixture of the highest likelihood is kept.

        Raises:
            ValueError: for fewer descriptors than components, an empty data set, and NaN or infinite descriptors.
        """
        count = None if descriptors_per_component is None else descriptors_per_component * self.num_components
        mixture = fit_gaussian_mixture(
            self.drawn_or_all(data, count, verbose),
            self.num_components,
            self.seed,
            max_iterations,
            repetitions,
            verbose=verbose,
        )
        self.set_mixture(mixture.priors, mixture.means, mixture.variances, mixture.count)

    def set_mixture(self, priors: Any, means: Any, variances: Any, count: int = 1) -> None:
        """Installs a mixture fitted elsewhere, for example by VLFeat or scikit-learn.

        Args:
            priors: `(K,)`, not negative, adding up to one.
            means: `(K, C)`.
            variances: `(K, C)`, positive.
            count: number of descriptors it was fitted on.
        """
        priors, means, variances = (np.asarray(values, np.float64) for values in (priors, means, variances))
        shape = (self.num_components, means.shape[-1])
        if priors.shape != shape[:1] or means.shape != shape or variances.shape != shape:
            raise ValueError(
                f"A mixture of {self.num_components} components has priors (K,), means (K, C) and variances (K, C). "
                f"Received: shapes {priors.shape}, {means.shape} and {variances.shape}"
            )
        if not (np.isfinite(means).all() and (variances > 0).all() and (priors >= 0).all()):
            raise ValueError("A mixture needs finite means, positive variances and priors that are not negative.")
        if not self.built:
            self.build((None, None, shape[1]))
        self.priors.assign(priors)
        self.means.assign(means)
        self.variances.assign(variances)
        self.seen.assign(count)

    def encode(self, descriptors: Any, mask: Any) -> Any:
        """The gradients `(batch, 2 * K, C)`."""
        weights = (self.priors, self.means, self.variances)
        priors, means, variances = (ops.cast(weight, descriptors.dtype) for weight in weights)
        return codebooks.gmm_fisher_vector(descriptors, priors, means, variances, mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_components": self.num_components}
