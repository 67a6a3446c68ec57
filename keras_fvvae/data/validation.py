"""A validation part of training items: what a model is selected on, so that test items have no part in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from keras_fvvae.errors import DataError
from keras_fvvae.utils.labels import UNLABELLED

if TYPE_CHECKING:
    from keras_fvvae.data.collection import Collection


def validation_items(collection: Collection, folds: int, seed: int = 0) -> np.ndarray:
    """Positions of the labelled training items that make the validation part: one fold of several.

    Folds are stratified by class; items of one group (the clips of one video) stay together. A class with fewer items
    than folds stays in training whole, and so does one of which a fold would leave nothing there.

    Args:
        collection: a `Collection`.
        folds: the validation part is one of so many.
        seed: of the shuffling.

    Returns:
        Sorted integer array.

    Raises:
        DataError: if there are too few labelled training items, or of fewer than two classes.

    Example:
        >>> from keras_fvvae.data import Collection
        >>> labels = [0] * 6 + [1] * 6
        >>> image = np.zeros((2, 2, 3), "uint8")
        >>> collection = Collection([image] * 12, range(12), labels, ["train"] * 12, ["cat", "dog"])
        >>> [labels[i] for i in validation_items(collection, folds=3)]
        [0, 0, 1, 1]
    """
    train = collection.indices("train")
    labelled = train[collection.labels[train] != UNLABELLED]
    labels = collection.labels[labelled]
    if len(labelled) < 2 * folds or len(set(labels.tolist())) < 2:
        raise DataError(f"A validation part needs more than the {len(labelled)} labelled training {collection.kind}s.")
    counts = np.bincount(labels)
    frequent = labelled[counts[labels] >= folds]
    if np.count_nonzero(counts >= folds) < 2:  # one class tells nothing
        raise DataError(
            f"Fewer than two classes have {folds} training {collection.kind}s, as a validation part of 1 in {folds} "
            f"needs."
        )
    labels = collection.labels[frequent]
    if collection.groups is None:
        split = StratifiedKFold(folds, shuffle=True, random_state=seed).split(frequent, labels)
    else:
        groups = [collection.groups[index] for index in frequent]
        split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(frequent, labels, groups)
    learnt, held_out = next(split)
    left = np.isin(labels[held_out], labels[learnt])
    if len(set(labels[held_out[left]].tolist())) < 2:  # where groups are few
        raise DataError(f"A validation part would hold {collection.kind}s of fewer than two classes.")
    return np.sort(frequent[held_out[left]])
