"""The paper's tables and figures, run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fvvae.experiments.paper_figures import FIGURES
from keras_fvvae.experiments.paper_tables import TABLES
from keras_fvvae.reporting.pictures import accuracy_curves, accuracy_ranges

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_fvvae.experiments.row import Outcome
    from keras_fvvae.experiments.rows import Experiment


def reproduce(
    name: str,
    experiment: Experiment,
    base: str | Path | None = None,
    splits: tuple[int, ...] = (1,),
    idt: str | Path | None = None,
    settings: dict[str, Any] | None = None,
) -> tuple[str, list[Outcome], dict[str, Figure]]:
    """Runs a table or a figure of the paper.

    Args:
        name: a key of `TABLES` or `FIGURES`.
        experiment: an `Experiment`.
        base: recipe instead of the paper's, see `TABLES`.
        splits: of UCF101, over which table 4 is averaged.
        idt: file of IDT's scores for tables 4 and 5; `{split}` in it stands for the split's number.
        settings: dictionary of recipe keys that all rows take.

    Returns:
        Tuple: title, list of `Outcome`s, dictionary from a title to a matplotlib figure.
    """
    settings = settings or {}
    suffix = f", on {base} (the paper's figures are of its own data)" if base else ""
    if name in FIGURES:
        title, curves_of = FIGURES[name]
        curves, label = curves_of(base, **settings)
        outcomes = experiment.run([row for points in curves.values() for _, row in points])
        return title + suffix, outcomes, {"Accuracy": _curves(curves, outcomes, label)}
    title, rows_of = TABLES[name]
    if name == "table4":
        parts = []
        for split in splits:
            experiment.say(f"Split {split}")
            rows = rows_of(base, split=split, idt=idt and str(idt).replace("{split}", str(split)), **settings)
            parts.append(experiment.run(rows))
        outcomes = average_outcomes(parts, [f"split {split}" for split in splits])
    else:
        scores = {"idt": idt} if name == "table5" else {}
        outcomes = experiment.run(rows_of(base, **scores, **settings))
    pictures = {"Accuracy": accuracy_ranges(outcomes)} if any(o.metrics for o in outcomes) else {}
    return title + suffix, outcomes, pictures


def average_outcomes(parts: list[list[Outcome]], names: list[str]) -> list[Outcome]:
    """Outcomes of the same rows on several splits as one list: mean accuracy, standard deviation over the splits.

    Args:
        parts: one list of `Outcome`s a split.
        names: of the splits.
    """
    averaged = []
    for outcomes in zip(*parts, strict=True):
        measured = [(outcome, name) for outcome, name in zip(outcomes, names, strict=True) if outcome.metrics]
        if len(measured) < 2:
            averaged.append(measured[0][0] if measured else outcomes[0])
            continue
        accuracies = [outcome.metrics["accuracy"] for outcome, _ in measured]
        first = measured[0][0]
        metrics = {
            **{key: first.metrics[key] for key in ("dimension",) if key in first.metrics},
            "accuracy": float(np.mean(accuracies)),
            "standard_error": float(np.std(accuracies, ddof=1)),
        }
        each = ", ".join(f"{name} {100 * value:.1f}" for (_, name), value in zip(measured, accuracies, strict=True))
        protocol = f"mean and standard deviation over {len(measured)} splits; first: {first.protocol}"
        averaged.append(dataclasses.replace(first, metrics=metrics, settings=each, protocol=protocol))
    return averaged


def _curves(curves, outcomes, label):
    found = {outcome.name: outcome for outcome in outcomes}
    drawn = {}
    for name, points in curves.items():
        measured = [(value, found[row.name].metrics) for value, row in points if found[row.name].metrics]
        if measured:
            drawn[name] = tuple(zip(*measured, strict=True))
    return accuracy_curves(drawn, label)
