"""Pictures of results, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_fvvae.evaluation.intervals import accuracy_interval
from keras_fvvae.reporting.names import COLORS, STYLE, plt, shown, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def accuracy_bars(outcomes: Sequence[Any]) -> Figure:
    """Accuracies beside each other with their 95 % intervals, and the paper's where it has them."""
    drawn = [outcome for outcome in outcomes if outcome.metrics][::-1]
    names = [shown(outcome.name) for outcome in drawn]
    with style(names):
        figure, axis = plt.subplots(figsize=(6.5, 0.8 + 0.3 * len(drawn)))
        places = range(len(drawn))
        axis.barh(
            places,
            [100 * o.metrics["accuracy"] for o in drawn],
            color=COLORS[0],
            height=0.6,
            label="measured here",
            xerr=_bars([o.metrics for o in drawn]),
            ecolor=COLORS[6],
            capsize=2,
        )
        paper = [(place, next(iter(o.paper.values()))) for place, o in zip(places, drawn, strict=True) if o.paper]
        if paper:
            axis.plot([y for _, y in paper], [x for x, _ in paper], "D", color=COLORS[1], label="the paper")
            axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        axis.set_yticks(places, names)
        axis.set_xlabel("accuracy (%)")
        axis.grid(False, axis="y")
    return figure


def _bars(metrics):
    """From the accuracies down and up to the ends of their intervals, in points: `(2, n)`."""
    ends = [(one["accuracy"], *accuracy_interval(one)) for one in metrics]
    return [[100 * (value - low) for value, low, _ in ends], [100 * (high - value) for value, _, high in ends]]


def accuracy_curves(curves: dict[str, tuple], label: str, logarithmic: bool = True) -> Figure:
    """Accuracy against a setting, with the 95 % intervals that tables have.

    Args:
        curves: dictionary from a name to lists `(values, metrics)`, metrics as from `plain_metrics`.
        label: of the horizontal axis.
        logarithmic: whether that axis is.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.2, 3.4))
        for color, (name, (values, metrics)) in zip(COLORS, curves.items(), strict=False):
            accuracies = [100 * one["accuracy"] for one in metrics]
            bars = _bars(metrics)
            axis.errorbar(values, accuracies, bars, color=color, marker="o", markersize=4, capsize=2, label=name)
        if logarithmic:
            axis.set_xscale("log", base=2 if label == "dimension" else 10)
        axis.set_xlabel(label)
        axis.set_ylabel("accuracy (%)")
        if curves:
            axis.legend()
    return figure
