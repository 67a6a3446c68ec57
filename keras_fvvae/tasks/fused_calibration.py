"""Probabilities of the fused scores of several runs: calibrated on training items that none of their SVMs had seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_fvvae.errors import RunError
from keras_fvvae.evaluation.calibration_error import reliability
from keras_fvvae.evaluation.fusion import late_fusion
from keras_fvvae.evaluation.score_tables import item_keys
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.svm.calibration import Calibration
from keras_fvvae.svm.calibrators import fit_calibration


@dataclasses.dataclass(eq=False)
class HeldOutScores:
    """Scores of the labelled training items of one run, each by an SVM that has not seen it.

    Attributes:
        path: text, the run's folder.
        names: of the items.
        labels: name of each item's class.
        class_names: of the columns of the scores: the classes that have training items, in the run's order.
        scores: float64 `(items, classes)`.
        folds: integers `(items,)`, in which an item was left out.
        method: how the run's own scores are calibrated.
    """

    path: str
    names: list[str]
    labels: np.ndarray
    class_names: list[str]
    scores: np.ndarray
    folds: np.ndarray
    method: str


def held_out_scores(run: RunFolder, svm: OneVsRestSVM | None = None) -> HeldOutScores | None:
    """What a run has kept of its calibration; `None` where it has none, or is of a version that did not keep them.

    Args:
        run: a finished one.
        svm: one that was fitted and calibrated anew in the run's folds, whose scores are taken instead of the run's.

    Raises:
        RunError: if a file is damaged.
    """
    vectors, kept = run.vectors(), run.held_out()
    if vectors.calibration is None or kept is None:
        return None
    scores, folds = kept
    names = np.array(vectors.class_names, object)
    return HeldOutScores(
        path=vectors.path,
        names=vectors.train_names,
        labels=names[vectors.train_labels],
        class_names=names[np.unique(vectors.train_labels)].tolist(),
        scores=scores if svm is None else svm.cv_decisions_,
        folds=folds,
        method=vectors.calibration.method,
    )


def fused_calibration(
    streams: Sequence[HeldOutScores | None], weights: Sequence[float] | None, class_names: Sequence[str]
) -> tuple[Calibration | None, str]:
    """Calibrates the weighted mean of several runs' scores, by the first run's method, on their common training items.

    Args:
        streams: of each run, from `held_out_scores`.
        weights: as for `keras_fvvae.evaluation.fusion.late_fusion`.
        class_names: all classes in the order of the fused scores.

    Returns:
        Pair: the calibration, of all classes, and a sentence about how good it is; or `None` and why there is none.

    Raises:
        RunError: if the runs disagree about an item's label.

    Example:
        >>> rng, labels = np.random.default_rng(0), np.array(["cat", "dog"] * 20)
        >>> scores = np.stack([labels == "cat", labels == "dog"], axis=1) + 0.3 * rng.normal(size=(40, 2))
        >>> names = [f"{number}.avi" for number in range(40)]
        >>> one = HeldOutScores("run", names, labels, ["cat", "dog"], scores, np.arange(40) // 8, "temperature")
        >>> calibration, said = fused_calibration([one, one], None, ["cat", "dog"])
        >>> calibration.method, "on 40 training videos" in said
        ('temperature', True)
    """
    known = [stream for stream in streams if stream is not None]
    if len(known) < len(streams):
        return None, (
            "There are no probabilities of the fused scores: each run must have a calibration and keep its held-out "
            "scores, as runs trained by this version with `calibration` do."
        )
    if len({frozenset(stream.class_names) for stream in known}) > 1:
        return None, "There are no probabilities of the fused scores: the runs were trained on items of other classes."
    keys = item_keys([stream.names for stream in known])
    rows = [{key: row for row, key in enumerate(one)} for one in keys]
    common = [key for key in keys[0] if all(key in one for one in rows)]
    trained = [name for name in class_names if name in set(known[0].class_names)]
    parts, found = [], []
    for stream, places in zip(known, rows, strict=True):
        chosen = [places[key] for key in common]
        parts.append(stream.scores[np.ix_(chosen, [stream.class_names.index(name) for name in trained])])
        found.append(stream.labels[chosen].tolist())
    for other in found[1:]:
        if different := [key for key, one, two in zip(common, found[0], other, strict=True) if one != two]:
            names = ", ".join(stream.path for stream in known)
            raise RunError(
                f"The runs {names} disagree about the labels of their training items, as of {different[0]!r}."
            )
    if missing := [name for name in trained if name not in found[0]]:
        why = f"the runs have no training videos of {missing[0]!r} in common"
        return None, f"There are no probabilities of the fused scores: {why}."
    scores = late_fusion(parts, weights)
    labels = np.array([trained.index(name) for name in found[0]])
    folds = known[0].folds[[rows[0][key] for key in common]]
    calibration, probabilities = fit_calibration(known[0].method, scores, labels, folds)
    error = reliability(probabilities, scores, scores.argmax(axis=1) == labels)
    columns = np.array([list(class_names).index(name) for name in trained])
    return calibration.expanded(columns, len(class_names)), (
        f"Probabilities of the fused scores: {known[0].method}, fitted to scores of SVMs that had not seen the item, "
        f"on {len(labels)} training videos; their calibration error is {100 * error['calibrated']['value']:.1f} % (of "
        f"scores through a sigmoid {100 * error['uncalibrated']['value']:.1f})."
    )
