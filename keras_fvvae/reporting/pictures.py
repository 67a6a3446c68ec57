"""Pictures of results, drawn with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_fvvae.evaluation.intervals import accuracy_interval
from keras_fvvae.reporting.names import COLORS, named_legend, plt, shown, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def by_accuracy(outcomes: Sequence[Any]) -> list[Any]:
    """Outcomes with the most accurate first, and those without figures last."""
    return sorted(outcomes, key=lambda outcome: -outcome.metrics["accuracy"] if outcome.metrics else 1.0)


def accuracy_ranges(outcomes: Sequence[Any]) -> Figure:
    """Accuracies below each other with their 95 % intervals as whiskers, and the paper's where it has them.

    Points, not bars: the axis need not begin at zero, and is zoomed to what is drawn.

    Args:
        outcomes: `Outcome`s, from top to bottom.
    """
    drawn = [outcome for outcome in outcomes if outcome.metrics][::-1]
    names = [shown(outcome.name) for outcome in drawn]
    with style(names):
        figure, axis = plt.subplots(figsize=(6.5, 1.0 + 0.3 * len(drawn)))
        places = range(len(drawn))
        accuracies, spread = [100 * o.metrics["accuracy"] for o in drawn], _bars([o.metrics for o in drawn])
        axis.errorbar(
            accuracies, places, xerr=spread, fmt="o", color=COLORS[0], markersize=5, capsize=3, label="measured here"
        )
        paper = [(place, next(iter(o.paper.values()))) for place, o in zip(places, drawn, strict=True) if o.paper]
        if paper:
            axis.plot([y for _, y in paper], [x for x, _ in paper], "D", color=COLORS[1], label="the paper")
            axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        axis.set_yticks(places, names)
        axis.set_ylim(-0.6, len(drawn) - 0.4)
        axis.set_xlabel("accuracy (%) with its 95 % interval")
    return figure


def _bars(metrics):
    """From the accuracies down and up to the ends of their intervals, in points: `(2, n)`."""
    ends = [(one["accuracy"], *accuracy_interval(one)) for one in metrics]
    return [[100 * (value - low) for value, low, _ in ends], [100 * (high - value) for value, _, high in ends]]


def accuracy_curves(curves: dict[str, tuple], label: str, logarithmic: bool = True) -> Figure:
    """Accuracy against a setting, with the 95 % intervals that tables have; curves stand apart a little, so that the
    whisker of one does not hide another's.

    Args:
        curves: dictionary from a name to lists `(values, metrics)`, metrics as from `plain_metrics`.
        label: of the horizontal axis.
        logarithmic: whether that axis is.
    """
    names = [shown(name) for name in curves]
    columns = 2 if max(map(len, names), default=0) < 24 else 1
    with style(names):
        figure, axis = plt.subplots(figsize=(5.2, 3.4 + 0.2 * math.ceil(len(names) / columns)))
        base = 2 if label == "dimension" else 10
        everywhere = [value for values, _ in curves.values() for value in values] or [0]
        span = max(everywhere) - min(everywhere)
        handles = []
        for number, (values, metrics) in enumerate(curves.values()):
            apart = (number + 0.5) / len(curves) - 0.5
            places = [
                value * base ** (0.15 * apart) if logarithmic else value + 0.04 * span * apart for value in values
            ]
            accuracies, color = [100 * one["accuracy"] for one in metrics], COLORS[number % len(COLORS)]
            handles.append(
                axis.errorbar(places, accuracies, _bars(metrics), color=color, marker="o", markersize=4, capsize=2)
            )
        if logarithmic:
            axis.set_xscale("log", base=base)
        axis.set_xlabel(label)
        axis.set_ylabel("accuracy (%)")
        if curves:
            named_legend(axis, handles, names, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns)
    return figure
