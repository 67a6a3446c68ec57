"""The exact split of a score, or of a similarity, over an image's descriptors, and where these lie."""

from keras_fvvae.explanations.contributions import descriptor_contributions, has_heat_maps, score_split
from keras_fvvae.explanations.joined_split import JoinedScoreSplit
from keras_fvvae.explanations.score_split import ScoreSplit
from keras_fvvae.explanations.similarity import SimilaritySplit, similarity_split
from keras_fvvae.explanations.terms import can_explain

__all__ = [
    "JoinedScoreSplit",
    "ScoreSplit",
    "SimilaritySplit",
    "can_explain",
    "descriptor_contributions",
    "has_heat_maps",
    "score_split",
    "similarity_split",
]
