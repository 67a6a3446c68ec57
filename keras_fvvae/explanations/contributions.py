"""How much every descriptor contributes to a score of a classifier, of one representation or of several."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_fvvae.backbones.tokens import has_places
from keras_fvvae.explanations.joined_split import JoinedScoreSplit
from keras_fvvae.explanations.score_split import ScoreSplit
from keras_fvvae.explanations.terms import can_explain
from keras_fvvae.models import Classifier, Encoder, JoinedEncoder


def score_split(encoder: Encoder, inputs: Any, mask: Any = None, raw: Any = None) -> ScoreSplit | JoinedScoreSplit:
    """The `ScoreSplit` of an encoder's vectors, of one with branches the `JoinedScoreSplit`; arguments are theirs."""
    kind = JoinedScoreSplit if isinstance(encoder, JoinedEncoder) else ScoreSplit
    return kind(encoder, inputs, mask, raw)


def has_heat_maps(encoder: Encoder) -> bool:
    """Whether scores of an encoder's vectors are split over descriptors that have places in the picture."""
    return has_places(encoder.backbone) and all(map(can_explain, encoder.heads))


def descriptor_contributions(classifier: Classifier, inputs: Any, class_index: Any = None, mask: Any = None) -> Any:
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
    unit blocks too, or none; and for the matrix square root `R F`, `F = (R'R)^(-1/4)` held, with `v_t = R_t F`.
    `G_t` is never made for all `t`: for `G_t = d_t [z_t; 1]'` the part is `d_t' M [z_t; 1]` with one matrix `M` an
    image.

    A large part is evidence as the linear classifier weighs it. It is not what the score would lose without the
    descriptor: that would change `n`, and the shares of an entry in which large parts of both signs cancel are large.
    Such shares follow the rounding of the activations too: the same image in another graph or batch can have single
    parts that differ by some 1e-4 of the largest, in the worst of cases 1e-2, while their sum is the same to 1e-5 for
    trained networks. Where entries cancel down to rounding `e`, as those of a network of random weights, the sum is off
    by up to `sqrt(e)`: 1e-3 of the score has been seen.

    Of branches at several taps (`JoinedEncoder`) the score is a sum over them, and each is split like this.

    Args:
        classifier: a built `keras_fvvae.models.Classifier` whose representation `can_explain` accepts.
        inputs: images, or videos of frames, as for the classifier.
        class_index: integer, or integers `(batch,)`. Default: the class of the largest score.
        mask: for videos, an optional boolean `(batch, frames)`.

    Returns:
        Tensor `(batch, T)`, or `(batch, frames, T)` for videos, zero for masked frames; of branches, the descriptors of
        one after those of the other. Its sum over all but the first
        axis is the score minus the bias (of a compressed representation: minus its constant part, see
        `ScoreSplit.split`). Sum over the last axis for a curve over time;
        `keras_fvvae.explanations.positions.on_map` gives a map.

    Raises:
        TypeError: for a representation whose score is not split.

    Example:
        >>> import numpy as np
        >>> from keras_fvvae import layers
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
    split = score_split(classifier.encoder, inputs, mask)
    kernel = ops.convert_to_tensor(classifier.svm.kernel)
    if class_index is None:
        class_index = ops.argmax(classifier.svm(split.vectors), axis=-1)
    class_index = ops.broadcast_to(ops.cast(class_index, "int32"), ops.shape(split.vectors)[:1])
    weights = ops.take(ops.transpose(kernel), class_index, axis=0)
    return split.split(weights)[0]
