"""The Fisher vector of a mixture of Gaussians."""

import keras
import numpy as np
from keras import ops

from keras_fvvae.fitting.gaussian_mixture import fit_gaussian_mixture
from keras_fvvae.fitting.kmeans import draw_descriptors
from keras_fvvae.layers.descriptor_inputs import wide_dtype
from keras_fvvae.ops import codebooks

IMPROVED = ("square_root", "l2")


@keras.saving.register_keras_serializable(package="keras_fvvae")
class GMMFisherVector(keras.layers.Layer):
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
        >>> layer(descriptors).shape, layer.output_dimension
        (TensorShape([2, 96]), 96)

    Reference:
        Perronnin, Sanchez and Mensink, "Improving the Fisher kernel for large-scale image classification", ECCV 2010;
        Qiu et al., CVPR 2017, Section 5.2; VLFeat, `vl/fisher.c`.
    """

    def __init__(self, num_components=128, normalization=None, seed=0, **kwargs):
        # Divided by variances, values leave float16's range: they must not be narrowed under mixed precision.
        super().__init__(autocast=False, **kwargs)
        if not isinstance(num_components, int) or num_components < 1:
            raise ValueError(
                f"`num_components` must be a positive integer. Received: num_components={num_components!r}"
            )
        self.steps = codebooks.normalization_steps(normalization, IMPROVED, IMPROVED)
        self.num_components = num_components
        self.normalization = normalization
        self.seed = seed
        self.supports_masking = True

    def build(self, input_shape):
        codebooks.check_descriptors_shape(input_shape, "GMMFisherVector")

        def constant(name, shape, initializer):
            return self.add_weight(name=name, shape=shape, initializer=initializer, trainable=False, autocast=False)

        self.priors = constant("priors", (self.num_components,), "zeros")
        self.means = constant("means", (self.num_components, input_shape[-1]), "zeros")
        self.variances = constant("variances", (self.num_components, input_shape[-1]), "ones")
        # Number of descriptors adapted to; 0 marks a layer without a mixture. Saved, unlike a Python attribute.
        self.descriptors_seen = self.add_weight(
            name="descriptors_seen", shape=(), initializer="zeros", dtype="int64", trainable=False
        )
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: input_shape[-1]})
        self.built = True

    @property
    def is_adapted(self):
        """Whether the layer holds a mixture."""
        return self.built and int(self.descriptors_seen) > 0

    @property
    def output_dimension(self):
        """Length of the vectors, `2 * K * C`; known once the layer has seen a shape."""
        if not self.built:
            raise ValueError("`output_dimension` depends on the descriptors: call `adapt` or `build` first.")
        return 2 * self.num_components * self.means.shape[-1]

    def adapt(self, dataset, descriptors_per_component=1000, max_iterations=100, repetitions=1, verbose=0):
        """Fits the mixture by EM, started by k-means.

        Args:
            dataset: descriptors `(batch, T, C)` of the TRAINING set: an array, or a `tf.data.Dataset` or other iterable
                of batches or of tuples that start with them.
            descriptors_per_component: descriptors drawn evenly from the data set for each component, in one pass; EM
                then runs on these in memory. `None` for all of the data set, one pass for each iteration, with memory
                that does not grow with their number.
            max_iterations: most EM iterations.
            repetitions: number of starts; the mixture of the highest likelihood is kept.
            verbose: 1 for a progress bar.

        Raises:
            ValueError: for fewer descriptors than components, an empty data set, and NaN or infinite descriptors.
        """
        if descriptors_per_component is not None:
            count = descriptors_per_component * self.num_components
            dataset = draw_descriptors(dataset, count, self.seed, verbose)
        mixture = fit_gaussian_mixture(
            dataset, self.num_components, self.seed, max_iterations, repetitions, verbose=verbose
        )
        self.set_mixture(mixture.priors, mixture.means, mixture.variances, mixture.count)

    def set_mixture(self, priors, means, variances, count=1):
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
        self.descriptors_seen.assign(count)

    def call(self, inputs, mask=None):
        inputs = codebooks.require_fitted(inputs, self.descriptors_seen, "GMMFisherVector")
        inputs = ops.cast(inputs, wide_dtype(self))
        mixture = (ops.cast(weight, inputs.dtype) for weight in (self.priors, self.means, self.variances))
        return codebooks.normalize_encoding(codebooks.gmm_fisher_vector(inputs, *mixture, mask), self.steps)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        codebooks.check_descriptors_shape(input_shape, "GMMFisherVector")
        return (input_shape[0], 2 * self.num_components * input_shape[-1])

    def compute_output_spec(self, inputs, mask=None):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide_dtype(self))

    def get_config(self):
        config = {"num_components": self.num_components, "normalization": self.normalization, "seed": self.seed}
        return {**super().get_config(), **config}
