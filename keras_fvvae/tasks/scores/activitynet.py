"""Predictions in ActivityNet's official format: written of a run's scores, and evaluated as its challenge does."""

from __future__ import annotations

import os
from typing import Any

from keras_fvvae.evaluation.activitynet import (
    evaluate_predictions,
    predictions_text,
    read_blocked,
    read_label_sets,
    read_predictions,
)
from keras_fvvae.evaluation.score_tables import read_scores
from keras_fvvae.tasks.scores.streams import read_run


def evaluate_activitynet(
    predictions: str | os.PathLike,
    annotations: str | os.PathLike,
    *,
    subset: str = "validation",
    blocked: str | os.PathLike | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The official evaluation of a file of predictions in ActivityNet's format.

    Args:
        predictions: the `.json` file.
        annotations: the official annotations, or another form of them that `load_activitynet` reads.
        subset: of the annotations.
        blocked: file of videos that are left out, see `keras_fvvae.evaluation.activitynet.read_blocked`.
        **options: `top_k`, `resamples`, `level` and `seed` of
            `keras_fvvae.evaluation.activitynet.evaluate_predictions`.

    Returns:
        What `evaluate_predictions` returns.

    Raises:
        DataError: for files that cannot be used.
    """
    left_out = () if blocked is None else read_blocked(blocked)
    label_sets = read_label_sets(annotations, subset)
    return evaluate_predictions(read_predictions(predictions), label_sets, blocked=left_out, **options)


def activitynet_predictions(run: str | os.PathLike | None = None, scores: str | os.PathLike | None = None) -> str:
    """The scores of a run's test items, or those of a file, as predictions in the official format.

    Args:
        run: a finished run.
        scores: a file of scores instead, see `keras_fvvae.evaluation.score_tables.read_scores`.

    Returns:
        Text of a `.json` file.

    Raises:
        RunError: for a run that cannot be read.
        DataError: for a file that cannot be used.
        ValueError: for both or neither.
    """
    if (run is None) == (scores is None):
        raise ValueError("Predictions are made of a run or of a file of scores: give one.")
    table = read_run(run).test if run is not None else read_scores(scores)
    return predictions_text(table.ids, table.class_names, table.values)
