"""Scikit-learn's bundled handwritten digits: 1,797 real images, in the package already, no download."""

from __future__ import annotations

import numpy as np

from keras_fvvae.data.collection import Collection

# Scikit-learn's example splits the set without shuffling, so that its halves come from different writers.
TRAIN_IMAGES = 898


def load_digits() -> Collection:
    """The digits as 8x8 RGB images, the first half for training and the second for testing.

    The protocol is that of scikit-learn's example "Recognizing hand-written digits": no shuffling, so the test digits
    are by writers of whom few are in the training half.

    Returns:
        A `Collection` of 898 training and 899 test images of ten classes.

    Reference:
        Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
    """
    from sklearn.datasets import load_digits as load

    digits = load()
    # Values 0 to 16 become 0 to 255, exactly invertible.
    gray = np.round(digits.images * (255 / 16)).astype("uint8")
    images = list(np.repeat(gray[..., np.newaxis], 3, axis=-1))
    names = [f"digit-{index:04d}" for index in range(len(images))]
    splits = np.where(np.arange(len(images)) < TRAIN_IMAGES, "train", "test")
    return Collection(images, names, digits.target, splits, [str(digit) for digit in range(10)])
