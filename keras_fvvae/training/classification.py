"""The SVM on the vectors of a training, and what it makes of the test items."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_fvvae.data import Collection
from keras_fvvae.evaluation.evaluate import plain_metrics
from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.training.calibration import CalibrationPlan, labelled_train
from keras_fvvae.training.vectors import row_parts

# Decimals of the scores that a run keeps.
DECIMALS = 5


def fit_svm(
    C: float, vectors: np.ndarray, collection: Collection, verbose: int = 0, plan: CalibrationPlan | None = None
) -> OneVsRestSVM:
    """The one-vs-all SVM of the labelled training items, which are the first rows of the vectors.

    Args:
        C: inverse regularisation strength.
        vectors: `(items, dimensions)`.
        collection: what they are of.
        verbose: 1 for progress bars.
        plan: how its scores are calibrated. Default: they are not.
    """
    labels = labelled_train(collection)
    settings: dict[str, Any] = {}
    if plan is not None and plan.method is not None:
        settings = {"probability": plan.method, "cv": plan.folds}
    return OneVsRestSVM(C, verbose=verbose, **settings).fit(vectors[: len(labels)], labels)


def evaluate_svm(svm: OneVsRestSVM, vectors: np.ndarray, collection: Collection) -> tuple[dict[str, Any], np.ndarray]:
    """The metrics of a fitted SVM on the test items, and their scores `(test items, classes)`, rounded."""
    test = collection.indices("test")
    kernel, bias = svm.dense_weights(len(collection.class_names))
    scores = np.concatenate([part @ kernel + bias for part in row_parts(vectors, test)])
    label_sets = None
    if collection.label_sets is not None:  # a hit is any of an item's labels, as ActivityNet counts it
        label_sets = [collection.label_sets[i] or (collection.labels[i],) for i in test]
    metrics = plain_metrics(scores, collection.labels[test], collection.class_names, label_sets)
    return {"dimension": vectors.shape[1], **metrics}, np.round(scores, DECIMALS)
