"""All metrics of finished runs and of files of scores, with intervals; averages over splits; comparisons."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_fvvae.errors import DataError, RunError
from keras_fvvae.evaluation.calibration_error import reliability
from keras_fvvae.evaluation.evaluate import compare_scores, evaluate_scores, evaluate_views
from keras_fvvae.evaluation.score_tables import ScoreTable, class_order, item_keys
from keras_fvvae.tasks.scores.labelled_scores import Source, read_sources

# A split's overall results; those that all runs have are averaged.
_AVERAGED = (
    "accuracy", "mean_class_accuracy", "mean_average_precision", "calibration_error", "uncalibrated_error",
)  # fmt: skip


def evaluate(
    run_paths: Sequence[str | os.PathLike] = (),
    score_files: Sequence[str | os.PathLike] = (),
    *,
    labels: str | os.PathLike | None = None,
    annotations: str | os.PathLike | None = None,
    subset: str = "validation",
    views: bool = False,
    average: bool = False,
    compare: bool = False,
    top_k: list[int] | None = None,
    **bootstrap: Any,
) -> dict[str, Any]:
    """Evaluates the test scores of finished runs, and scores from files.

    Items are matched with their labels by name (without video extensions where these stay unique), classes by name.

    Args:
        run_paths: finished runs.
        score_files: files of scores, see `keras_fvvae.evaluation.score_tables.read_scores`.
        labels: `.csv` file with the header `id,label`, the labels of the items of the score files. Default: the test
            labels of the first run.
        annotations: annotation file of ActivityNet: labels of all sources, several of a video where it has several.
        subset: of the annotations.
        views: whether an id may be in a score file several times, once for every view (frame, crop) of its item; both
            levels are then reported.
        average: whether to add mean and standard deviation over the sources: the splits of one data set.
        compare: whether to compare every source with the first, on the items that both have.
        top_k: see `keras_fvvae.evaluation.evaluate.evaluate_scores`.
        **bootstrap: `resamples`, `level`, `seed` and `stratified`, likewise.

    Returns:
        Dictionary: `results`: for every source what `evaluate_scores` gives (of its items; `views` holds the same at
        the level of views where the file has several) with `source`, `representation` and `notes`; `average`: for every
        metric `mean`, `standard_deviation` (with n - 1) and `values`, or `None`; `comparisons`: what `compare_scores`
        gives, with `first` and `second`.

    Raises:
        RunError: for runs that cannot be read, or none and no scores.
        DataError: for files that cannot be used; if no scored item has a label; if sources that are to be compared
            have no items in common, other classes or other labels.
        ValueError: for settings that cannot be.
    """
    sources = read_sources(run_paths, score_files, labels=labels, annotations=annotations, subset=subset, views=views)
    if (average or compare) and len(sources) < 2:
        raise RunError("An average or a comparison needs at least two runs or files of scores.")
    results = [evaluate_source(source, top_k=top_k, **bootstrap) for source in sources]
    return {
        "results": results,
        "average": _average(sources, results) if average else None,
        "comparisons": [_compare(sources[0], source, bootstrap) for source in sources[1:]] if compare else [],
    }


def evaluate_source(source: Source, **options: Any) -> dict[str, Any]:
    """The metrics of one source, of its items and, where it has several a item, of its views.

    Args:
        source: a `Source`.
        **options: of `evaluate_scores`.
    """
    head = {"source": source.name, "representation": source.representation}
    if source.owners is None:
        return {
            **head,
            **evaluate_scores(source.scores, source.labels, source.class_names, **options),
            **_calibration(source, options),
            "notes": source.notes,
        }
    levels = evaluate_views(source.scores, source.owners, source.labels, source.class_names, **options)
    return {**head, **levels["items"], "views": levels["views"], "notes": source.notes}


def _calibration(source: Source, options: dict[str, Any]) -> dict[str, Any]:
    """Calibration errors of a calibrated run, beside those of its scores through a sigmoid."""
    if source.calibration is None:
        return {}
    best = source.scores.argmax(axis=1)
    right = np.array([winner in own for winner, own in zip(best, source.labels, strict=True)])
    bootstrap = {name: options[name] for name in ("resamples", "level", "seed") if name in options}
    errors = reliability(source.calibration.probabilities(source.scores), source.scores, right, **bootstrap)
    ends = {name: {end: error[end] for end in ("value", "low", "high")} for name, error in errors.items()}
    return {
        "calibration_error": ends["calibrated"],
        "uncalibrated_error": ends["uncalibrated"],
        "calibration": {"method": source.calibration.method, **errors},
    }


def _average(sources: list[Source], results: list[dict]) -> dict[str, Any]:
    names = [name for name in results[0] if name in _AVERAGED or name.startswith(("top", "average_hit"))]
    summary = {}
    for name in names:
        if all(name in result for result in results):
            values = [result[name]["value"] for result in results]
            deviation = float(np.std(values, ddof=1))
            summary[name] = {"mean": float(np.mean(values)), "standard_deviation": deviation, "values": values}
    shared = len(set.intersection(*(set(source.items) for source in sources)))
    notes = [f"{shared} test items are in all of them: are they splits of one data set?"] if shared else []
    return {"runs": len(results), **summary, "notes": notes}


def _compare(first: Source, second: Source, bootstrap: dict[str, Any]) -> dict[str, Any]:
    one, other = _item_table(first), _item_table(second)
    keys = item_keys([one.ids, other.ids])
    one, other = (dataclasses.replace(table, ids=each) for table, each in zip((one, other), keys, strict=True))
    own = [
        {key: {source.class_names[label] for label in labels} for key, labels in zip(each, source.labels, strict=True)}
        for each, source in zip(keys, (first, second), strict=True)
    ]
    common = [item for item in one.ids if item in own[1]]
    if not common:
        raise DataError(f"{first.name} and {second.name} have no test items in common and cannot be compared.")
    if differing := [item for item in common if own[0][item] != own[1][item]]:
        raise DataError(f"{first.name} and {second.name} disagree about the labels of {len(differing)} items.")
    class_order(other, first.class_names)
    labels = [labels for item, labels in zip(one.ids, first.labels, strict=True) if item in own[1]]
    mine, theirs = (table.rows(common, first.class_names) for table in (one, other))
    result = compare_scores(mine, theirs, labels, first.class_names, **bootstrap)
    left_out = len({*one.ids, *other.ids}) - len(common)
    return {"first": first.name, "second": second.name, "left_out": left_out, **result}


def _item_table(source: Source) -> ScoreTable:
    """A source's scores by item: the mean over the views where it has any."""
    values = source.scores
    if source.owners is not None:
        values = np.zeros((len(source.items), values.shape[1]))
        np.add.at(values, source.owners, source.scores)
        values /= np.bincount(source.owners)[:, None]
    return ScoreTable(source.name, source.items, values, source.class_names)
