"""The exact split of a score over an image's descriptors, and where these lie."""

from keras_fvvae.explanations.score_split import ScoreSplit, can_explain, descriptor_contributions

__all__ = ["ScoreSplit", "can_explain", "descriptor_contributions"]
