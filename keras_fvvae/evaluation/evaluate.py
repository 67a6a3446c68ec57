"""All metrics of a table of scores, each with its interval; and two tables compared."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from keras_fvvae.evaluation.average_precision import average_precision, hits_at_k
from keras_fvvae.evaluation.bootstrap import RESAMPLES, bootstrap_intervals, mcnemar
from keras_fvvae.evaluation.intervals import wilson_interval

# Reported where there are more classes than that.
USUAL_TOP_K = (3, 5)


def evaluate_scores(
    scores: np.ndarray,
    labels: Sequence[int | Collection[int]],
    class_names: Sequence[str],
    *,
    top_k: Collection[int] | None = None,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
    stratified: bool = False,
) -> dict[str, Any]:
    """Accuracy, top-k, per-class accuracy, mean average precision and confusion, with intervals over items.

    Shares of items (accuracy, top-k, accuracy of a class) have Wilson's interval, which is right for few items and for
    all or none of them right; everything else has that of the bootstrap.

    An item may have several labels: it is then right if its first (or one of its first k) classes is one of them,
    ActivityNet's hit@k with its ceiling per video; `average_hit_K` is the share of the labels without that ceiling.
    Classes without test items have no accuracy and no average precision, and count in no mean.

    Args:
        scores: `(n, classes)`; the largest names the class. Of equal scores the first class wins.
        labels: integers `(n,)`, or one collection of integers per item.
        class_names: names of the classes.
        top_k: the k of top-k accuracies. Default: those of 3 and 5 that are below the number of classes.
        resamples, level, seed: of the percentile bootstrap, see `bootstrap_intervals`; `resamples=0` for none.
        stratified: whether every resample keeps the number of items of each (first) label. Default: no, see
            `bootstrap_intervals`.

    Returns:
        Dictionary of plain data: `items`; `tested_classes`; `accuracy`, `topK_accuracy`, `mean_average_precision`,
        `mean_class_accuracy` (one label an item) or `average_hit_K` (several), each a dictionary of `value`, `low` and
        `high` (`None` for the bootstrap without resamples); `average_precision` and `class_accuracy`: the same by class
        name; `confusion` (one label an item): counts, rows the true classes; `bootstrap`: its settings.

    Raises:
        ValueError: for scores that are not finite, lengths that differ, labels that are no classes, or none.

    Example:
        >>> scores = np.array([[2.0, 1.0], [2.0, 1.0], [0.0, 1.0], [0.0, 5.0]])
        >>> result = evaluate_scores(scores, [0, 1, 1, 1], ["a", "b"])
        >>> {name: round(value, 3) for name, value in result["accuracy"].items()}
        {'value': 0.75, 'low': 0.301, 'high': 0.954}
    """
    scores, truth = _checked(scores, labels, class_names)
    owners = np.arange(len(scores))
    return _evaluate(scores, truth, owners, class_names, top_k, resamples, level, seed, stratified)


def plain_metrics(
    scores: np.ndarray,
    labels: Sequence[int],
    class_names: Sequence[str],
    label_sets: Sequence[Collection[int]] | None = None,
) -> dict[str, Any]:
    """The values of `evaluate_scores` as numbers, as `metrics.json` holds them.

    Args:
        scores, labels, class_names: as in `evaluate_scores`, one label an item.
        label_sets: where items have several labels, all of each: one is enough for a hit. Classes are those of `labels`
            all the same.

    Returns:
        Dictionary of plain data: `examples`; `accuracy`, with `standard_error` (binomial) and `accuracy_interval` (the
        ends of Wilson's 95 % interval); `topK_accuracy`; `mean_average_precision`; `mean_class_accuracy`;
        `class_accuracy` by name (classes with test examples only); `confusion`, rows the true classes.

    Raises:
        ValueError: as `evaluate_scores`.

    Example:
        >>> metrics = plain_metrics(np.eye(3)[[0, 1, 1]], [0, 1, 2], ["a", "b", "c"])
        >>> round(metrics["accuracy"], 3), metrics["class_accuracy"]
        (0.667, {'a': 1.0, 'b': 1.0, 'c': 0.0})
    """
    by_class = evaluate_scores(scores, labels, class_names, resamples=0)
    hits = by_class if label_sets is None else evaluate_scores(scores, label_sets, class_names, resamples=0)
    accuracy = hits["accuracy"]["value"]
    top_k = {name: each["value"] for name, each in hits.items() if name.startswith("top")}
    return {
        "examples": hits["items"],
        "accuracy": accuracy,
        "standard_error": float(np.sqrt(accuracy * (1 - accuracy) / hits["items"])),
        "accuracy_interval": [hits["accuracy"]["low"], hits["accuracy"]["high"]],
        **top_k,
        "mean_average_precision": hits["mean_average_precision"]["value"],
        "mean_class_accuracy": by_class["mean_class_accuracy"]["value"],
        "class_accuracy": {name: each["value"] for name, each in by_class["class_accuracy"].items()},
        "confusion": by_class["confusion"],
    }


def evaluate_views(
    scores: np.ndarray,
    owners: Sequence[int] | np.ndarray,
    labels: Sequence[int | Collection[int]],
    class_names: Sequence[str],
    **options: Any,
) -> dict[str, dict[str, Any]]:
    """The same at two levels: of views (frames, crops) each on its own, and of items by the mean score of their views.

    At both levels the bootstrap draws items, and their views go with them: views of one video are not independent. For
    the same reason Wilson's intervals count items, at the level of views as well.

    Args:
        scores: `(views, classes)`.
        owners: integers `(views,)`: to which item, a row of `labels`, each view belongs; every item has a view.
        labels, class_names: as in `evaluate_scores`, of the items.
        **options: those of `evaluate_scores`.

    Returns:
        Dictionary: `views` and `items`, each as from `evaluate_scores`.

    Raises:
        ValueError: as `evaluate_scores`, and for owners that are no items or items without views.

    Example:
        >>> scores = np.array([[1.0, 0.0], [0.0, 3.0], [0.0, 1.0]])
        >>> result = evaluate_views(scores, owners=[0, 0, 1], labels=[0, 1], class_names=["a", "b"])
        >>> result["views"]["accuracy"]["value"], result["items"]["accuracy"]["value"]
        (0.6666666666666666, 0.5)
    """
    owners, scores = np.asarray(owners), np.asarray(scores, "float64")
    if owners.shape != scores.shape[:1] or set(owners.tolist()) != set(range(len(labels))):
        raise ValueError(
            f"`owners` must name one of {len(labels)} items for each of {len(scores)} views, and every item at least "
            f"once. Received: {len(owners)} owners of {len(set(owners.tolist()))} items"
        )
    if not np.isfinite(scores).all():
        raise ValueError("`scores` must be finite.")
    sums = np.zeros((len(labels), scores.shape[1]))
    np.add.at(sums, owners, scores)
    means, truth = _checked(sums / np.bincount(owners)[:, None], labels, class_names)
    settings = {"top_k": None, "resamples": RESAMPLES, "level": 0.95, "seed": 0, "stratified": False, **options}
    return {
        "views": _evaluate(scores, truth, owners, class_names, **settings),
        "items": _evaluate(means, truth, np.arange(len(truth)), class_names, **settings),
    }


def compare_scores(
    first: np.ndarray,
    second: np.ndarray,
    labels: Sequence[int | Collection[int]],
    class_names: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
    stratified: bool = False,
) -> dict[str, Any]:
    """Two systems on the same items: paired bootstrap of the differences, and McNemar's test of the accuracy.

    Args:
        first, second: scores `(n, classes)` of the same items and classes.
        labels, class_names, resamples, level, seed, stratified: as in `evaluate_scores`.

    Returns:
        Dictionary: `items`; `accuracy` and `mean_average_precision`: second minus first as `value`, `low`, `high`;
        `mcnemar`: see `keras_fvvae.evaluation.bootstrap.mcnemar`.

    Raises:
        ValueError: as `evaluate_scores`.

    Example:
        >>> one, other = np.eye(2)[[0, 0, 0, 0]], np.eye(2)[[0, 0, 1, 0]]
        >>> compare_scores(one, other, [0, 0, 1, 1], ["a", "b"])["accuracy"]
        {'value': 0.25, 'low': 0.0, 'high': 0.75}
    """
    (first, truth), (second, _) = (_checked(scores, labels, class_names) for scores in (first, second))
    right = [hits_at_k(scores, truth, 1) for scores in (first, second)]

    def differences(weights):
        accuracy = weights @ (right[1] - right[0]) / weights.sum(axis=1)
        one, other = (np.nanmean(_precisions(scores, truth, weights), axis=1) for scores in (first, second))
        return np.stack([accuracy, other - one], axis=1)

    strata = truth.argmax(axis=1) if stratified else None
    ends = bootstrap_intervals(differences, len(truth), resamples, level, seed, strata)
    accuracy, precision = (_interval(*each) for each in zip(*ends, strict=True))
    return {
        "items": len(truth),
        "accuracy": accuracy,
        "mean_average_precision": precision,
        "mcnemar": mcnemar(*right),
    }


def _checked(scores, labels, class_names):
    """Scores as float64 and the labels as a boolean array `(n, classes)`."""
    scores, count = np.asarray(scores, "float64"), len(class_names)
    if scores.shape != (len(labels), count):
        raise ValueError(f"`scores` must be (items, classes) = {(len(labels), count)}. Received: shape={scores.shape}")
    if not len(scores):
        raise ValueError("There are no items to evaluate.")
    if not np.isfinite(scores).all():
        row, column = np.argwhere(~np.isfinite(scores))[0]
        raise ValueError(f"`scores` must be finite. Received: {scores[row, column]} for item {row}, class {column}")
    truth = np.zeros(scores.shape, bool)
    for row, own in enumerate(labels):
        own = np.atleast_1d(np.asarray(own if np.isscalar(own) else list(own)))
        if not len(own) or not np.isin(own, range(count)).all():
            raise ValueError(
                f"`labels` must be integers from 0 to {count - 1}. Received: {own.tolist()} for item {row}"
            )
        truth[row, own.astype(int)] = True
    return scores, truth


def _evaluate(scores, truth, owners, class_names, top_k, resamples, level, seed, stratified):
    """Everything of `evaluate_scores`; row i of the scores is a view of the item `owners[i]`, a row of the truth."""
    several = bool((truth.sum(axis=1) > 1).any())
    strata = truth.argmax(axis=1) if stratified else None
    count, truth = len(truth), truth[owners]
    tested = np.flatnonzero(truth.any(axis=0))
    top_k = [k for k in USUAL_TOP_K if k < len(class_names)] if top_k is None else sorted(set(top_k))
    right = hits_at_k(scores, truth, 1)
    hits = {"accuracy": right, **{f"top{k}_accuracy": hits_at_k(scores, truth, k) for k in top_k}}
    averages = {f"average_hit_{k}": hits_at_k(scores, truth, k, average=True) for k in (1, *top_k)} if several else {}

    def statistics(weights):
        weights = weights.T[owners].T
        precisions = _precisions(scores, truth[:, tested], weights, tested)
        parts = [np.nanmean(precisions, axis=1, keepdims=True), precisions]
        if several:
            parts += [weights @ np.stack(list(averages.values()), axis=1) / weights.sum(axis=1, keepdims=True)]
        else:
            sizes = weights @ truth[:, tested]
            accuracies = np.full(sizes.shape, np.nan)
            np.divide(weights @ (truth[:, tested] * right[:, None]), sizes, out=accuracies, where=sizes > 0)
            parts += [np.nanmean(accuracies, axis=1, keepdims=True)]
        return np.concatenate(parts, axis=1)

    ends = bootstrap_intervals(statistics, count, resamples, level, seed, strata)
    intervals = iter([_interval(*each) for each in zip(*ends, strict=True)])
    names = [class_names[i] for i in tested]
    result = {"items": len(scores), "tested_classes": len(tested)}
    result |= {name: _share(each, owners, level) for name, each in hits.items()}
    result["mean_average_precision"] = next(intervals)
    result["average_precision"] = {name: next(intervals) for name in names}
    result |= {name: next(intervals) for name in averages}
    if not several:
        result["mean_class_accuracy"] = next(intervals)
        members = (truth[:, column] for column in tested)
        shares = [_share(right[own], owners[own], level) for own in members]
        result["class_accuracy"] = dict(zip(names, shares, strict=True))
        confusion = confusion_matrix(truth.argmax(axis=1), scores.argmax(axis=1), labels=range(len(class_names)))
        result["confusion"] = confusion.tolist()
    result["bootstrap"] = {"resamples": resamples, "level": level, "seed": seed, "stratified": stratified}
    return result


def _precisions(scores, truth, weights, columns=None):
    """Average precisions `(resamples, classes)`."""
    columns = range(scores.shape[1]) if columns is None else columns
    parts = [
        average_precision(scores[:, column], relevant, weights=weights)
        for column, relevant in zip(columns, truth.T, strict=True)
    ]
    return np.stack(parts, axis=1)


def _share(hits, owners, level):
    """The share of hits among views; its interval is that of so many items, which is the wider one."""
    value = float(hits.mean())
    low, high = wilson_interval(value, len(np.unique(owners)), level)
    return {"value": value, "low": low, "high": high}


def _interval(value, low, high):
    value, low, high = float(value), float(low), float(high)
    return {"value": value, "low": None if np.isnan(low) else low, "high": None if np.isnan(high) else high}
