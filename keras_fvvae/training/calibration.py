"""How a training's scores become probabilities: what is decided, by which held-out items, and how good it is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from keras_fvvae.data import Collection
from keras_fvvae.data.collection import UNLABELLED
from keras_fvvae.evaluation.calibration_error import reliability
from keras_fvvae.svm import OneVsRestSVM

# What `auto` takes: one number from all items, and the best class stays the best (docs/calibration.md).
DEFAULT_METHOD = "temperature"
# Items of every class that `auto` wants: as many as folds, so that each fold leaves out one at least.
ENOUGH = FOLDS = 5
# Coverages for which the record says what is answered.
COVERAGES = (0.99, 0.95, 0.9, 0.8)


@dataclasses.dataclass(frozen=True)
class CalibrationPlan:
    """What was decided before anything is fitted.

    Attributes:
        asked: the recipe's `calibration`.
        method: of `keras_fvvae.svm.calibration.METHODS`; `None` for none.
        folds: pairs of integer arrays, rows that are fitted to and rows that are left out.
        why: where there is none, why, in a sentence.
    """

    asked: str
    method: str | None
    folds: list[tuple[np.ndarray, np.ndarray]]
    why: str = ""

    def fold_numbers(self) -> np.ndarray:
        """The number of the fold in which a row is left out, `(rows,)`."""
        numbers = np.empty(sum(len(left_out) for _, left_out in self.folds), "int64")
        for number, (_, left_out) in enumerate(self.folds):
            numbers[left_out] = number
        return numbers


def labelled_train(collection: Collection) -> np.ndarray:
    """Labels of the labelled training items, which come first."""
    labels = collection.labels[collection.indices("train")]
    return collection.labels[: np.count_nonzero(labels != UNLABELLED)]


def plan_calibration(asked: str, collection: Collection, seed: int = 0) -> CalibrationPlan:
    """Decides how scores are calibrated.

    `auto` takes a temperature where every class that has training items has five of them. Another method is taken with
    two of each. Folds are stratified by class; items of one group (the clips of one video) stay together.

    Args:
        asked: the recipe's `calibration`.
        collection: usable items, the labelled training items first.
        seed: of the folds.

    Example:
        >>> images = [np.zeros((2, 2, 3), "uint8")] * 9
        >>> few = Collection(images, range(9), [0] * 6 + [1] * 3, ["train"] * 9, ["cat", "dog"])
        >>> plan_calibration("auto", few).method, plan_calibration("sigmoid", few).method
        (None, 'sigmoid')
    """
    if asked == "none":
        return CalibrationPlan(asked, None, [], "There are no probabilities: `calibration: none`.")
    labels = labelled_train(collection)
    classes, counts = np.unique(labels, return_counts=True)
    rarest, count = collection.class_names[classes[counts.argmin()]], int(counts.min())
    needed = ENOUGH if asked == "auto" else 2
    if count < needed:
        advice = "; `--set calibration=temperature` does with two" if asked == "auto" and count > 1 else ""
        return CalibrationPlan(
            asked,
            None,
            [],
            f"There are no probabilities: `calibration: {asked}` needs {needed} training {collection.kind}s of every "
            f"class, and {rarest!r} has {count}{advice}.",
        )
    number = min(FOLDS, count)
    if collection.groups is None:
        splits = StratifiedKFold(number, shuffle=True, random_state=seed).split(labels, labels)
    else:
        groups = np.array(collection.groups[: len(labels)])
        fewest = min(len(np.unique(groups[labels == one])) for one in classes)
        if fewest < 2:
            why = "There are no probabilities: a class has all of its training items in one group, which stays whole."
            return CalibrationPlan(asked, None, [], why)
        number = min(number, fewest)
        splits = StratifiedGroupKFold(number, shuffle=True, random_state=seed).split(labels, labels, groups)
    folds = [(train, test) for train, test in splits if len(test)]
    # Where groups lie badly over the folds, one may leave nothing of a class to fit to.
    if any(len(np.unique(labels[train])) < len(classes) for train, _ in folds):
        why = "There are no probabilities: the groups of the training items cannot be shared out over folds."
        return CalibrationPlan(asked, None, [], why)
    return CalibrationPlan(asked, DEFAULT_METHOD if asked == "auto" else asked, folds)


def calibration_record(plan: CalibrationPlan, svm: OneVsRestSVM, collection: Collection) -> dict[str, Any]:
    """What a run keeps of its calibration, in plain data.

    Args:
        plan: from `plan_calibration`.
        svm: fitted by it.
        collection: usable items.

    Returns:
        Dictionary: `asked`, `method` (or `None`), `said` (a sentence), `calibration` (its config, of all classes of the
        run, or `None`); where there is one `items`, `folds`, `held_out`, what `reliability` gives on the training items
        that were left out, and `coverage`: for some wanted coverages `threshold`, and of those items `answered` and, of
        these, `accuracy`.
    """
    record: dict[str, Any] = {"asked": plan.asked, "method": plan.method, "said": plan.why, "calibration": None}
    calibration = svm.dense_calibration(len(collection.class_names))
    if calibration is None:
        return record
    scores, probabilities = svm.cv_decisions_, svm.cv_probabilities_
    right = svm.classes_[scores.argmax(axis=1)] == labelled_train(collection)
    confidences = probabilities[np.arange(len(scores)), scores.argmax(axis=1)]
    held_out = reliability(probabilities, scores, right)
    own, before = held_out["calibrated"], held_out["uncalibrated"]
    chosen = f"`calibration: {plan.asked}`" + (f" took {plan.method}" if plan.asked == "auto" else "")
    return record | {
        "said": (
            f"Probabilities: {chosen}, fitted to the scores of {len(scores)} training {collection.kind}s, left out in "
            f"{len(plan.folds)} folds; their calibration error is {100 * own['value']:.1f} % (of scores through a "
            f"sigmoid {100 * before['value']:.1f}, of a perfect calibration about {100 * own['chance']:.1f})."
        ),
        "calibration": calibration.get_config(),
        "items": len(scores),
        "folds": len(plan.folds),
        "held_out": held_out,
        "coverage": [_covered(coverage, calibration.threshold(coverage), confidences, right) for coverage in COVERAGES],
    }


def _covered(coverage: float, threshold: float, confidences: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    answered = confidences >= threshold
    return {
        "coverage": coverage,
        "threshold": threshold,
        "answered": float(answered.mean()),
        "accuracy": float(right[answered].mean()) if answered.any() else None,
    }
