"""What tests of trainings compare of finished runs."""

import numpy as np

from keras_fvvae import zoo


def weights(run):
    """All weights of a run's classifier."""
    return zoo.load_classifier(run.path / "model.keras").get_weights()


def same(one, other):
    """Whether two lists hold the same arrays, to the bit."""
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
