"""VLAD and the Fisher vector of a Gaussian mixture: descriptors described by what they are assigned to."""

import math

import keras
from keras import ops

from keras_fvvae.ops import normalization
from keras_fvvae.ops.tensors import at_least_float32, clear_masked, example_axes, holds_values

# VLFeat's: a component of a smaller prior is empty, and dividing by the root of its prior would blow up noise.
EMPTY_PRIOR = 1e-6
# Stands for a prior of zero, whose logarithm does not exist; still a normal number in float32.
SMALLEST_PRIOR = 1e-30
# What VLFeat can do to an encoding, in its order (vl/vlad.c, vl/fisher.c).
STEPS = ("mass", "square_root", "components", "l2")


def hard_assignments(descriptors, centroids, mask=None):
    """One-hot vectors of the nearest centroid; the first of equally near ones.

    Args:
        descriptors: tensor `(batch, T, C)`.
        centroids: tensor `(K, C)`.
        mask: optional boolean tensor `(batch, T)`; where it is false, the descriptor belongs to no centroid.

    Returns:
        Tensor `(batch, T, K)` of zeros and ones.
    """
    descriptors, centroids = _centered(descriptors, centroids, ops.mean(at_least_float32(centroids), axis=0), mask)
    assignments = ops.one_hot(_nearest(descriptors, centroids), centroids.shape[0], dtype=descriptors.dtype)
    return _cleared(assignments, mask)


def vlad(descriptors, centroids, mask=None, average=False):
    """Sums of the residuals of the descriptors nearest to each centroid.

        V_k = sum_{t: nearest k} (x_t - c_k)

    Args:
        descriptors: tensor `(batch, T, C)`, `x_t`.
        centroids: tensor `(K, C)`, `c_k`.
        mask: optional boolean tensor `(batch, T)`; descriptors where it is false contribute nothing, whatever they
            hold (NaN included).
        average: whether to divide by the number of descriptors at each centroid (VLFeat's `NormalizeMass`).

    Returns:
        Tensor `(batch, K, C)`; float32 even from half-precision inputs.
    """
    # Both relative to one center: with a large common offset the two sums would cancel to rounding noise.
    descriptors, centroids = _centered(descriptors, centroids, ops.mean(at_least_float32(centroids), axis=0), mask)
    count, channels = centroids.shape
    batch = ops.shape(descriptors)[0]
    # Every image has segments of its own, one for each centroid: sums by index, at half the time of a product with
    # one-hot assignments.
    nearest = ops.cast(_nearest(descriptors, centroids), "int32")
    segments = ops.reshape(nearest + count * ops.expand_dims(ops.arange(batch, dtype="int32"), -1), (-1,))
    present = ops.ones_like(descriptors[..., 0])
    present = ops.reshape(present if mask is None else present * ops.cast(mask, present.dtype), (-1,))
    sums = ops.segment_sum(ops.reshape(descriptors, (-1, channels)), segments, batch * count)  # masked ones are zero
    counts = ops.reshape(ops.segment_sum(present, segments, batch * count), (-1, count, 1))
    residuals = ops.reshape(sums, (-1, count, channels)) - counts * centroids
    return residuals / ops.maximum(counts, 1.0) if average else residuals


def _nearest(descriptors, centroids):
    """Indices `(batch, T)` of the nearest centroids of centered descriptors; the first of equally near ones."""
    # |x - c|^2 / 2 without |x|^2 / 2, which is the same for all centroids.
    distances = ops.sum(ops.square(centroids), axis=-1) / 2 - ops.matmul(descriptors, ops.transpose(centroids))
    return ops.argmin(distances, axis=-1)


def mixture_log_densities(descriptors, priors, means, variances, mask=None):
    """`log(pi_k N(x_t; m_k, diag(s_k^2)))`, whose log-sum-exp over `k` is the log-likelihood of a descriptor.

    Args:
        descriptors: tensor `(batch, T, C)`.
        priors: tensor `(K,)`, `pi_k`; zeros are taken for `SMALLEST_PRIOR`.
        means: tensor `(K, C)`.
        variances: tensor `(K, C)`, positive.
        mask: optional boolean tensor `(batch, T)`; where it is false the result is finite and meaningless.

    Returns:
        Tensor `(batch, T, K)`.
    """
    descriptors, means = _centered(descriptors, means, _mixture_mean(priors, means), mask)
    precisions = 1.0 / variances
    mahalanobis = (
        ops.matmul(ops.square(descriptors), ops.transpose(precisions))
        - 2.0 * ops.matmul(descriptors, ops.transpose(means * precisions))
        + ops.sum(ops.square(means) * precisions, axis=-1)
    )
    normalizer = ops.sum(ops.log(variances), axis=-1) + means.shape[-1] * math.log(2.0 * math.pi)
    log_priors = ops.log(ops.maximum(priors, SMALLEST_PRIOR))
    return log_priors - (normalizer + mahalanobis) / 2.0


def soft_assignments(descriptors, priors, means, variances, mask=None):
    """Posterior probabilities `q_tk` of the components of a Gaussian mixture given each descriptor.

    Arguments as for `mixture_log_densities`; a descriptor that the mask excludes belongs to no component.

    Returns:
        Tensor `(batch, T, K)`.
    """
    return _cleared(ops.softmax(mixture_log_densities(descriptors, priors, means, variances, mask), axis=-1), mask)


def gmm_fisher_vector(descriptors, priors, means, variances, mask=None):
    """Gradient of the mean log-likelihood with respect to means and standard deviations, times `F^(-1/2)`.

        u_k = 1 / (T sqrt(pi_k))   sum_t q_tk (x_t - m_k) / s_k
        v_k = 1 / (T sqrt(2 pi_k)) sum_t q_tk [((x_t - m_k) / s_k)^2 - 1]

    with the posteriors `q_tk` and the diagonal Fisher information `F = pi_k / s_k^2` of `m_k` and `2 pi_k / s_k^2` of
    `s_k`. The weight block is left out, as in VLFeat.

    Args:
        descriptors: tensor `(batch, T, C)`, `x_t`.
        priors: tensor `(K,)`, `pi_k`; components below 1e-6 contribute nothing.
        means: tensor `(K, C)`, `m_k`.
        variances: tensor `(K, C)`, `s_k^2`.
        mask: optional boolean tensor `(batch, T)`; descriptors where it is false contribute nothing, whatever they
            hold (NaN included), and are not counted in `T`.

    Returns:
        Tensor `(batch, 2 K, C)`, `u_1..u_K, v_1..v_K`; float32 even from half-precision inputs.
    """
    posteriors = soft_assignments(descriptors, priors, means, variances, mask)
    descriptors, means = _centered(descriptors, means, _mixture_mean(priors, means), mask)
    transposed = ops.swapaxes(posteriors, 1, 2)  # (batch, K, T)
    mass = ops.expand_dims(ops.sum(posteriors, axis=1), -1)  # (batch, K, 1)
    first = ops.matmul(transposed, descriptors)  # (batch, K, C)
    second = ops.matmul(transposed, ops.square(descriptors))
    deviations = ops.sqrt(variances)
    by_mean = (first - mass * means) / deviations
    by_deviation = (second - 2.0 * means * first + mass * ops.square(means)) / variances - mass
    # (batch, 1, 1): the number of descriptors; the posteriors of each add up to one.
    count = ops.maximum(ops.sum(mass, axis=1, keepdims=True), 1.0)
    alive = priors >= EMPTY_PRIOR
    scale = ops.where(alive, ops.rsqrt(ops.where(alive, priors, ops.ones_like(priors))), ops.zeros_like(priors))
    scale = ops.expand_dims(scale, -1) / count
    return ops.concatenate([scale * by_mean, scale * by_deviation / 2.0**0.5], axis=1)


def normalize_encoding(blocks, steps):
    """Applies VLFeat's normalisations to an encoding, in VLFeat's order, and flattens it. Zeros stay zeros.

    Args:
        blocks: tensor `(batch, K, C)`, one row per centroid (or per component and moment).
        steps: names of `STEPS`: `"square_root"` signed square root, `"components"` unit L2 norm of each row, `"l2"`
            unit L2 norm of the whole. `"mass"` is part of `vlad` and ignored here.

    Returns:
        Tensor `(batch, K * C)`.
    """
    if "square_root" in steps:
        blocks = normalization.signed_sqrt(blocks)
    if "components" in steps:
        blocks = normalization.l2_normalize(blocks, -1)
    if "l2" in steps:
        blocks = normalization.l2_normalize(blocks, example_axes(blocks))
    return ops.reshape(blocks, (-1, math.prod(blocks.shape[1:])))


def normalization_steps(normalization, improved, allowed):
    """The steps a layer's argument `normalization` stands for, in the order they are taken.

    Args:
        normalization: `None`, `"improved"`, the name of a step or a sequence of names.
        improved: what `"improved"` stands for.
        allowed: names that the layer has.

    Raises:
        ValueError: for other names.
    """
    names = improved if normalization == "improved" else normalization
    names = () if names is None else (names,) if isinstance(names, str) else tuple(names)
    if unknown := set(names) - set(allowed):
        raise ValueError(
            f"`normalization` must be None, 'improved' or names of {tuple(allowed)}. Received: {sorted(unknown)}"
        )
    return tuple(step for step in STEPS if step in names)


def require_fitted(inputs, seen, message):
    """Passes `inputs` on once `adapt` has been called: checked at once if possible, at run time in a graph.

    Args:
        inputs: tensor.
        seen: integer variable, zero before `adapt`.
        message: what the caller is told.

    Raises:
        ValueError: in eager mode; `tf.errors.InvalidArgumentError` out of a graph (TensorFlow backend; JAX has no
            such check).
    """
    if holds_values(inputs):
        if int(seen) == 0:
            raise ValueError(message)
        return inputs
    if keras.backend.backend() != "tensorflow":
        return inputs
    import tensorflow as tf

    check = tf.debugging.assert_positive(ops.convert_to_tensor(seen), message)
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(inputs)


def _mixture_mean(priors, means):
    return ops.sum(ops.expand_dims(priors, -1) * means, axis=0) / ops.maximum(ops.sum(priors), EMPTY_PRIOR)


def _centered(descriptors, rows, center, mask):
    """Descriptors and rows of a codebook relative to `center`; masked descriptors lie on it, whatever they hold."""
    return clear_masked(at_least_float32(descriptors) - center, mask), at_least_float32(rows) - center


def _cleared(assignments, mask):
    if mask is None:
        return assignments
    return assignments * ops.expand_dims(ops.cast(mask, assignments.dtype), -1)
