"""Where the similarity of two pictures or videos comes from: its exact split over the descriptors of each."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from keras_fvvae.explanations.contributions import score_split
from keras_fvvae.explanations.joined_split import JoinedScoreSplit
from keras_fvvae.explanations.score_split import ScoreSplit
from keras_fvvae.models import Encoder

# Norms below it are those of nothing: the similarity is 0 then, not 0 / 0.
SMALLEST_NORM = 1e-12


class SimilaritySplit(NamedTuple):
    """The cosine of two vectors, and its parts.

    Attributes:
        similarity: `(batch,)`, the cosines.
        first, second: parts of the descriptors of the first and of the second inputs, `(batch, T)` or, of videos,
            `(batch, frames, T)`; each with its constant adds up to the similarity.
        first_constant, second_constant: `(batch,)`, what no descriptor makes: zero, but for representations compressed
            by PCA.
    """

    similarity: Any
    first: Any
    second: Any
    first_constant: Any
    second_constant: Any


def similarity_split(
    encoder: Encoder, first: Any, second: Any, first_mask: Any = None, second_mask: Any = None
) -> SimilaritySplit:
    """How much every descriptor contributes to the similarity of two images or videos, of both.

    With the normalised vectors `u` and `u'` the similarity is `s = <u, u'> / (|u| |u'|)`. With `u'` and both norms held
    it is a linear score of `u` with the weights `u' / (|u| |u'|)`, which `descriptor_contributions` splits exactly over
    the first picture's descriptors; with the roles exchanged, over those of the second. A part says how much of what
    both have in common is there. It is not what the similarity would lose without the descriptor, which would change
    the norms.

    Args:
        encoder: a built encoder whose representation `can_explain` accepts.
        first, second: images `(batch, H, W, 3)` or videos `(batch, frames, H, W, 3)`, pairwise.
        first_mask, second_mask: of videos, optional booleans `(batch, frames)`.

    Returns:
        A `SimilaritySplit`.

    Raises:
        TypeError: for a representation that is not split.

    Example:
        >>> import numpy as np
        >>> from keras_fvvae import layers
        >>> from keras_fvvae.models import FisherEncoder
        >>> head = layers.FisherVectorHead(layers.FVVAELayer(latent_dim=3))
        >>> encoder = FisherEncoder(layers.SpatialPyramidPooling(), head, layers.FisherNormalization("none"))
        >>> one, other = np.random.default_rng(0).random((2, 5, 7, 7, 4)).astype("float32")
        >>> encoder.build(one.shape)
        >>> split = similarity_split(encoder, one, other)
        >>> [bool(np.allclose(np.sum(parts, axis=1), split.similarity, atol=1e-5)) for parts in split[1:3]]
        [True, True]
    """
    one, other = score_split(encoder, first, first_mask), score_split(encoder, second, second_mask)
    similarity, first_parts, first_constant = split_of_match(one, other.vectors)
    _, second_parts, second_constant = split_of_match(other, one.vectors)
    return SimilaritySplit(similarity, first_parts, second_parts, first_constant, second_constant)


def split_of_match(split: ScoreSplit | JoinedScoreSplit, match: Any) -> tuple[Any, Any, Any]:
    """The cosines of encoded inputs with other vectors, and their parts.

    Args:
        split: of the inputs.
        match: `(batch, dimension)`, the others' normalised vectors, of any length.

    Returns:
        Cosines `(batch,)`; parts and constants, see `ScoreSplit.split`.
    """
    weights = match_weights(split.vectors, match)
    return ops.sum(split.vectors * weights, axis=-1), *split.split(weights)


def match_weights(vectors: Any, match: Any) -> Any:
    """Weights `(batch, dimension)` whose products with the vectors are their cosines with others."""
    return match / _norm(match) / _norm(vectors)


def _norm(vectors: Any) -> Any:
    return ops.maximum(ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True)), SMALLEST_NORM)
