"""Pictures and settings of trainings that take seconds."""

import numpy as np
import pytest

from keras_fvvae.data import load_digits

SMALL = {"backbone_options": {"filters": 8}, "latent_dim": 3, "steps": 6, "batch_size": 16, "trainable_from": None}


@pytest.fixture(scope="session")
def pictures():
    """Twenty-four digits of three classes, as arrays, and their labels as texts."""
    digits = load_digits()
    chosen = np.concatenate([np.flatnonzero(digits.labels == label)[:8] for label in (0, 1, 7)])
    return [digits.read(number) for number in chosen], np.array(["zero", "one", "seven"]).repeat(8)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Activations that the trainings share."""
    return tmp_path_factory.mktemp("cache")
