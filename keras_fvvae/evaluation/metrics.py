"""Accuracies of decision values, computed with scikit-learn."""

import numpy as np
from sklearn.metrics import confusion_matrix


def classification_metrics(scores, labels, class_names):
    """Accuracy, top-k and per-class accuracy, and the confusion matrix.

    Args:
        scores: array `(n, classes)`, decision values; the largest names the class.
        labels: integer array `(n,)`.
        class_names: names of the classes.

    Returns:
        Dictionary: `examples`; `accuracy`; `standard_error` of the accuracy, binomial; `top3_accuracy` from five
        classes on; `mean_class_accuracy`; `class_accuracy` by name (classes with test examples only); `confusion`, rows
        the true classes.

    Raises:
        ValueError: for scores that are not finite, lengths that differ, or labels that are no classes.

    Example:
        >>> metrics = classification_metrics(np.eye(3)[[0, 1, 1]], np.array([0, 1, 2]), ["a", "b", "c"])
        >>> round(metrics["accuracy"], 3), metrics["class_accuracy"]
        (0.667, {'a': 1.0, 'b': 1.0, 'c': 0.0})
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.shape != (len(labels), len(class_names)):
        raise ValueError(
            f"`scores` must be (examples, classes) = {(len(labels), len(class_names))}. Received: shape={scores.shape}"
        )
    if not len(labels) or not np.isin(labels, range(len(class_names))).all():
        raise ValueError(f"`labels` must be at least one integer from 0 to {len(class_names) - 1}. Received: {labels}")
    if not np.isfinite(scores).all():
        raise ValueError("`scores` must be finite.")
    predicted = scores.argmax(axis=1)
    accuracy = float(np.mean(predicted == labels))
    confusion = confusion_matrix(labels, predicted, labels=range(len(class_names)))
    counts = confusion.sum(axis=1)
    class_accuracy = {name: float(confusion[i, i] / counts[i]) for i, name in enumerate(class_names) if counts[i]}
    metrics = {
        "examples": len(labels),
        "accuracy": accuracy,
        "standard_error": float(np.sqrt(accuracy * (1 - accuracy) / len(labels))),
        "mean_class_accuracy": float(np.mean(list(class_accuracy.values()))),
        "class_accuracy": class_accuracy,
        "confusion": confusion.tolist(),
    }
    if len(class_names) >= 5:
        top = np.argsort(-scores, axis=1)[:, :3]
        metrics["top3_accuracy"] = float(np.mean((top == labels[:, None]).any(axis=1)))
    return metrics
