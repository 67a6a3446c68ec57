"""From what a caller passes to `fit` to a labelled collection."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from keras_fvvae.data.collection import Collection
from keras_fvvae.data.items import item_collection
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs.datasets import recipe_collection


def labelled_collection(X: Any, y: Any, recipe: Recipe, kind: str) -> tuple[Collection, np.ndarray]:
    """The collection to train on, and its classes as the caller names them.

    Args:
        X, y: see `FVVAEClassifier.fit`.
        recipe: a `Recipe`, which says how a folder is read.
        kind: `"image"` or `"video"`, what items given one by one are.

    Raises:
        DataError: if a folder cannot be used, or there are no items.
        ValueError: without labels, for labels that are not one per item or are no classes.

    Example:
        >>> pixels = np.zeros((3, 8, 8, 3), "uint8")
        >>> collection, classes = labelled_collection(pixels, ["dog", "cat", "dog"], Recipe(), "image")
        >>> collection.labels.tolist(), classes.tolist()
        ([1, 0, 1], ['cat', 'dog'])
    """
    if y is not None:
        classes, labels = classes_and_labels(y)
        return item_collection(X, kind, labels, class_names(classes)), classes
    if isinstance(X, tf.data.Dataset):
        return labelled_collection(X, _labels_of(X), recipe, kind)
    if not isinstance(X, Collection):
        if X is not None and not isinstance(X, str | os.PathLike):
            raise ValueError("Give labels `y`, or a folder with one sub-folder per class.")
        X = recipe_collection(recipe, X)
    return X, np.array(X.class_names)


def classes_and_labels(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """The sorted classes of what a caller passes as labels, and each label as an index into them.

    Raises:
        ValueError: for labels that are no classes.
    """
    y = column_or_1d(y)
    check_classification_targets(y)
    classes, labels = np.unique(y, return_inverse=True)
    return classes, labels


def class_names(classes: np.ndarray) -> list[str]:
    """Texts for the classes."""
    return [str(name) for name in classes.tolist()]


def _labels_of(dataset: tf.data.Dataset) -> np.ndarray:
    """The second parts of what a dataset gives."""
    if not isinstance(dataset.element_spec, tuple):
        raise ValueError("A `tf.data.Dataset` must give pairs of items and labels where `y` is left out.")
    labels = np.concatenate([np.atleast_1d(element[1]) for element in dataset.as_numpy_iterator()])
    if labels.dtype.kind in "OS":  # TensorFlow's texts are bytes
        labels = np.array([label.decode() for label in labels.tolist()])
    return labels
