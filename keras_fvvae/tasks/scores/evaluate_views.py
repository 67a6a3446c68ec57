"""Metrics of runs at two levels: of the test items, and of their single frames and crops."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from keras_fvvae.evaluation.evaluate import evaluate_views
from keras_fvvae.evaluation.score_tables import ScoreTable
from keras_fvvae.tasks.scores.evaluate import evaluate_source
from keras_fvvae.tasks.scores.labelled_scores import Source, labelled, read_sources
from keras_fvvae.tasks.scores.view_scores import view_scores


def evaluate_run_views(
    run_paths: Sequence[str | os.PathLike],
    *,
    data: str | os.PathLike | None = None,
    dataset_options: dict[str, Any] | None = None,
    cache: str | os.PathLike | None = None,
    annotations: str | os.PathLike | None = None,
    subset: str = "validation",
    **options: Any,
) -> dict[str, Any]:
    """Evaluates runs as `tasks.scores.evaluate.evaluate` does, and every view of their test items by itself.

    Args:
        run_paths: finished runs.
        data, dataset_options, cache: see `keras_fvvae.tasks.scores.view_scores.view_scores`.
        annotations, subset: see `evaluate`.
        **options: of `keras_fvvae.evaluation.evaluate.evaluate_scores`.

    Returns:
        What `evaluate` returns, without average and comparisons; every result has `views`.

    Raises:
        RunError: for runs that cannot be read, or none.
        DataError: if the data cannot be used, or lack a test item.
    """
    sources = read_sources(run_paths, annotations=annotations, subset=subset)
    results = [evaluate_source(source, **options) for source in sources]
    for path, source, result in zip(run_paths, sources, results, strict=True):
        result["views"] = _view_level(source, view_scores(path, data, cache, dataset_options), options)
    return {"results": results, "average": None, "comparisons": []}


def _view_level(source: Source, table: ScoreTable, options: dict[str, Any]) -> dict[str, Any]:
    """Metrics of a run's views, whose items have the labels of the source."""
    labels = [[source.class_names[label] for label in own] for own in source.labels]
    views = labelled(table, source.representation, dict(zip(source.items, labels, strict=True)))
    return evaluate_views(views.scores, views.owners, views.labels, views.class_names, **options)["views"]
