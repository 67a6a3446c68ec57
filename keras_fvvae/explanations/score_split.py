"""Where a score comes from: its exact split over descriptors, frames and positions."""

from keras import ops

from keras_fvvae import layers
from keras_fvvae.explanations.positions import on_map
from keras_fvvae.ops import codebooks
from keras_fvvae.ops.tensors import at_least_float32


def descriptor_contributions(classifier, inputs, class_index=None, mask=None):
    """How much every descriptor, of every frame, contributes to a class's score.

    The raw vector is a sum over descriptors, `G = sum_t G_t`. What follows is a linear map `v = A G` (the Fisher
    information) and the representation `u = ssr(v) / n` with the signed square root `ssr` and the norm `n = |ssr(v)|`,
    and the score is `s = w . u + b`. With `n` held at its value, `w . u` is homogeneous of degree 1/2 in `G`, so by
    Euler's theorem

        s - b = 2 <ds/dG, G> = sum_t 2 <ds/dG, G_t> = sum_t sum_i w_i u_i v_ti / v_i,    v_t = A G_t

    Every entry `w_i u_i` of the score is divided among the descriptors in proportion to their shares of `v_i`. The
    parts add up to the score without its bias exactly. An entry with `v_i = 0` is zero in the score and contributes
    nothing, whatever its derivative. (Without holding `n` the score would be of degree 0 and the parts would add up to
    nothing.) In the form on the right this holds for every normalisation that multiplies entries by positive numbers:
    unit blocks too, or none. `G_t` is never made for all `t`: for `G_t = d_t [z_t; 1]'` the part is `d_t' M [z_t; 1]`
    with one matrix `M` an image.

    A large part is evidence as the linear classifier weighs it. It is not what the score would lose without the
    descriptor: that would change `n`, and the shares of an entry in which large parts of both signs cancel are large.
    Such shares follow the rounding of the activations too: the same image in another graph or batch can have single
    parts that differ by some 1e-4 of the largest, in the worst of cases 1e-2, while their sum is the same to 1e-5.

    Args:
        classifier: a built `keras_fvvae.models.Classifier` whose representation `can_explain` accepts.
        inputs: images, or videos of frames, as for the classifier.
        class_index: integer, or integers `(batch,)`. Default: the class of the largest score.
        mask: for videos, an optional boolean `(batch, frames)`.

    Returns:
        Tensor `(batch, T)`, or `(batch, frames, T)` for videos, zero for masked frames. Its sum over all but the first
        axis is the score minus the bias (of a compressed representation: minus its constant part, see
        `ScoreSplit.split`). Sum over the last axis for a curve over time;
        `keras_fvvae.explanations.positions.on_map` gives a map.

    Raises:
        TypeError: for a representation whose score is not split.

    Example:
        >>> import numpy as np
        >>> from keras_fvvae.models import Classifier, FisherEncoder
        >>> head = layers.FisherVectorHead(layers.FVVAELayer(latent_dim=3))
        >>> encoder = FisherEncoder(layers.SpatialPyramidPooling(), head, layers.FisherNormalization("none"))
        >>> classifier = Classifier(encoder, class_names=["cat", "dog"])
        >>> maps = np.random.default_rng(0).random((2, 7, 7, 4)).astype("float32")
        >>> classifier.build(maps.shape)
        >>> classifier.svm.set_weights([np.random.default_rng(1).normal(size=(16, 2)), np.array([0.5, 0.25])])
        >>> parts = descriptor_contributions(classifier, maps, class_index=1)
        >>> parts.shape, bool(np.allclose(np.sum(parts, axis=1) + 0.25, classifier(maps)[:, 1], atol=1e-5))
        (TensorShape([2, 50]), True)

    Reference:
        Qiu et al., CVPR 2017, Eq. 11 and 13.
    """
    split = ScoreSplit(classifier.encoder, inputs, mask)
    kernel = ops.convert_to_tensor(classifier.svm.kernel)
    if class_index is None:
        class_index = ops.argmax(classifier.svm(split.vectors), axis=-1)
    class_index = ops.broadcast_to(ops.cast(class_index, "int32"), ops.shape(split.vectors)[:1])
    weights = ops.take(ops.transpose(kernel), class_index, axis=0)
    return split.split(weights)[0]


def can_explain(head):
    """Whether scores of representations made by this layer can be split: a known sum, not normalised by the layer."""
    return type(head) in _TERMS and not getattr(head, "normalization", None)


class ScoreSplit:
    """Encodes inputs once, and splits any linear score of their vectors over descriptors.

    Args:
        encoder: a built `keras_fvvae.models.FisherEncoder`.
        inputs: images `(batch, H, W, 3)`, or videos `(batch, frames, H, W, 3)`.
        mask: for videos, an optional boolean `(batch, frames)`.
        raw: raw vectors `(batch, ...)` of the items that the inputs, which are images then, are views of: the frames of
            a long video piece by piece, for example. Divide the parts by the number of all views of the item. Default:
            the inputs' own.

    Raises:
        TypeError: for a representation whose score is not split.
    """

    def __init__(self, encoder, inputs, mask=None, raw=None):
        if not can_explain(encoder.head):
            known = ", ".join(kind.__name__ for kind in _TERMS)
            raise TypeError(
                f"Scores of `{type(encoder.head).__name__}` are not split over descriptors; those of {known} are, "
                "where the layer itself does not normalise."
            )
        self.encoder = encoder
        shape = tuple(inputs.shape)
        self.frames = ops.shape(inputs)[1] if len(shape) == 5 else None
        images = ops.reshape(inputs, (-1, *shape[-3:])) if self.frames is not None else inputs
        self.descriptors = encoder.compute_descriptors(images)
        self.map_shape = shape[-3:-1] if encoder.backbone is None else tuple(encoder.backbone.output.shape[1:3])
        raw = encoder.head(self.descriptors) if raw is None else ops.convert_to_tensor(raw)
        self.keep = None
        if self.frames is not None:
            raw = ops.reshape(raw, (-1, self.frames, *raw.shape[1:]))
            # Shares of the frames in the video's mean.
            self.keep = ops.ones(ops.shape(raw)[:2], raw.dtype) if mask is None else ops.cast(mask, raw.dtype)
            self.shares = self.keep / ops.maximum(ops.sum(self.keep, axis=1, keepdims=True), 1)
            raw = ops.sum(_where_kept(self.keep, _scaled(raw, self.shares)), axis=1)
        self.raw = raw
        self.vectors = encoder.normalize(raw)

    def split(self, weights):
        """The parts of the scores `weights . vectors`.

        Args:
            weights: tensor `(batch, dimension)`: each example's weights, those of its class.

        Returns:
            Tuple: parts `(batch, T)` or `(batch, frames, T)`, and `(batch,)` the constant part of the score that no
            descriptor makes: zero, but for representations compressed by PCA, which subtracts a mean. Both together add
            up to the score without the bias.
        """
        weights, constant = self._before_compression(ops.cast(weights, self.vectors.dtype))
        multipliers = self._multipliers(weights)  # (batch, entries of a raw vector)
        parts = 0
        for left, right, matrix in _TERMS[type(self.encoder.head)](self.encoder.head, self.descriptors, multipliers):
            if self.frames is not None:
                left, right = (ops.reshape(x, (-1, self.frames * x.shape[1], x.shape[2])) for x in (left, right))
            parts += ops.sum(left * ops.matmul(right, ops.swapaxes(matrix, 1, 2)), axis=-1)
        if self.frames is not None:
            parts = ops.reshape(parts, (-1, self.frames, _count(self.descriptors)))
            parts = _where_kept(self.keep, _scaled(parts, self.shares))
        return parts, constant

    def maps(self, parts):
        """Parts of descriptors `(..., T)` as maps `(..., H, W)`, see `keras_fvvae.explanations.positions.on_map`."""
        descriptors = self.encoder.descriptors
        chain = getattr(descriptors, "layers", None) or [descriptors]
        levels = next((one.levels for one in chain if isinstance(one, layers.SpatialPyramidPooling)), None)
        return on_map(parts, self.map_shape, levels)

    def _before_compression(self, weights):
        """Weights of the uncompressed representation that give the same score, and the constant beside it."""
        pca = self.encoder.compression
        if pca is None:
            return weights, ops.zeros_like(weights[:, 0])
        vectors = ops.reshape(self.encoder.normalization(self.raw), (-1, self.encoder.head.output_dim))
        directions, mean = (ops.cast(one, vectors.dtype) for one in (pca.directions, pca.mean))
        projected = ops.matmul(vectors - mean, directions)
        weights = ops.matmul(weights * _ratio(self.vectors, projected), ops.transpose(directions))
        return weights, -ops.matmul(weights, mean)

    def _multipliers(self, weights):
        """What every entry of a raw vector is multiplied with to give its part of the score."""
        normalization = self.encoder.normalization
        raw = at_least_float32(self.raw)
        weights = ops.reshape(weights, ops.shape(raw))
        normalized = normalization(raw)
        information = getattr(normalization, "information", None)
        if information == "diagonal":
            scale = ops.cast(normalization.scale, raw.dtype)
            multipliers = weights * _ratio(normalized, raw * scale) * scale
        elif information == "kronecker":
            left, right = (ops.cast(one, raw.dtype) for one in (normalization.left, normalization.right))
            whitened = ops.matmul(ops.matmul(left, raw), right)
            ratio = weights * _ratio(normalized, whitened)
            multipliers = ops.matmul(ops.matmul(ops.transpose(left), ratio), ops.transpose(right))
        else:
            multipliers = weights * _ratio(normalized, raw)
        return ops.reshape(multipliers, (-1, self.encoder.head.output_dim))


def _ratio(after, before):
    """`after / before`, and 0 where there is nothing."""
    is_zero = before == 0
    return ops.where(is_zero, ops.zeros_like(after), after / ops.where(is_zero, ops.ones_like(before), before))


def _scaled(values, shares):
    return values * ops.reshape(shares, (*ops.shape(shares), *[1] * (len(values.shape) - 2)))


def _where_kept(keep, values):
    """Values of frames that count; others may hold anything, NaN included, and become 0."""
    keep = ops.reshape(keep > 0, (*ops.shape(keep), *[1] * (len(values.shape) - 2)))
    return ops.where(keep, values, ops.zeros_like(values))


def _count(descriptors):
    """T of descriptors `(batch, T, C)`, or positions of a map `(batch, H, W, C)`."""
    first = descriptors[0] if isinstance(descriptors, list | tuple) else descriptors
    return first.shape[1] if len(first.shape) == 3 else first.shape[1] * first.shape[2]


# Every head's representation is a sum of outer products x_t y_t' (or linear in it). A function of the table takes the
# head, the descriptors (n, T, C) and the multipliers (batch, entries) and gives triples (x, y, matrix) such that a
# descriptor's part is the sum of x_t' matrix y_t over them.


def _fisher_terms(head, descriptors, multipliers):
    start = 0
    for gradient, extended in head.factors(descriptors):
        rows, columns = gradient.shape[-1], extended.shape[-1]
        block = multipliers[:, start : start + rows * columns]
        start += rows * columns
        yield gradient, extended, ops.reshape(block, (-1, rows, columns))


def _maclaurin_terms(head, descriptors, multipliers):
    gradient, extended = head.head.factors(descriptors)[0]
    row_signs, column_signs = head.row_signs, head.column_signs
    if head.information == "separable":
        row_signs = ops.expand_dims(head.row_scale, 1) * row_signs
        column_signs = ops.expand_dims(head.column_scale, 1) * column_signs
    yield gradient, extended, _projected(multipliers, row_signs, column_signs)


def _bilinear_terms(head, descriptors, multipliers):
    x, y = _pair(descriptors)
    yield x, y, ops.reshape(multipliers, (-1, x.shape[-1], y.shape[-1]))


def _random_maclaurin_terms(head, descriptors, multipliers):
    x, y = _pair(descriptors)
    yield x, y, _projected(multipliers, head.x_signs, head.y_signs)


def _average_terms(head, descriptors, multipliers):
    descriptors = at_least_float32(descriptors)
    shares = ops.ones_like(descriptors[..., :1]) / descriptors.shape[1]
    yield shares, descriptors, ops.expand_dims(multipliers, 1)


def _vlad_terms(head, descriptors, multipliers):
    descriptors = at_least_float32(descriptors)
    centroids = ops.cast(head.centroids, descriptors.dtype)
    assignments = codebooks.hard_assignments(descriptors, centroids)
    # x_t - c_k = [I, -c_k] [x_t; 1]
    extended = ops.concatenate([descriptors, ops.ones_like(descriptors[..., :1])], axis=-1)
    matrix = ops.reshape(multipliers, (-1, *centroids.shape))
    constants = -ops.sum(matrix * centroids, axis=-1, keepdims=True)
    yield assignments, extended, ops.concatenate([matrix, constants], axis=-1)


def _pair(descriptors):
    pair = descriptors if isinstance(descriptors, list | tuple) else (descriptors,) * 2
    return tuple(at_least_float32(one) for one in pair)


def _projected(multipliers, x_signs, y_signs):
    """`W1 diag(m) W2' / sqrt(features)`, the matrix between both factors before the random projection."""
    x_signs, y_signs = (ops.cast(one, multipliers.dtype) for one in (x_signs, y_signs))
    scale = multipliers.shape[-1] ** -0.5
    return ops.matmul(ops.expand_dims(multipliers, 1) * (x_signs * scale), ops.transpose(y_signs))


_TERMS = {
    layers.FisherVectorHead: _fisher_terms,
    layers.FisherMaclaurin: _maclaurin_terms,
    layers.BilinearPooling: _bilinear_terms,
    layers.RandomMaclaurin: _random_maclaurin_terms,
    layers.AveragePooling: _average_terms,
    layers.VLAD: _vlad_terms,
}
