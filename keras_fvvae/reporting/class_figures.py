"""Figures of a result by class: which classes are confused, and how often each is recognised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fvvae.evaluation.intervals import wilson_interval
from keras_fvvae.reporting.names import COLORS, plt, shown, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Above this many classes, a whole confusion matrix has neither numbers nor names, and the zoom beside it has so many.
NAMED_CLASSES = 20
# Above so many, only the worst and the best classes have a row.
SHOWN_CLASSES = 40
# An axis of accuracies begins and ends at a multiple of so many points.
ZOOM_STEP = 10


def class_order(counts: np.ndarray) -> list[int]:
    """An order of the classes in which those that are confused with each other are neighbours.

    Args:
        counts: `(classes, classes)`, rows the true classes.

    Returns:
        Positions. As they are where nothing is confused.

    Example:
        >>> class_order(np.array([[5, 0, 4], [0, 9, 0], [4, 0, 5]]))
        [1, 2, 0]
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    shares = _shares(counts)
    confused = shares + shares.T
    np.fill_diagonal(confused, 0)
    if len(counts) < 3 or not confused.any():
        return list(range(len(counts)))
    distances = squareform(confused.max() - confused + 0.0, checks=False)
    return leaves_list(linkage(distances, "average", optimal_ordering=True)).tolist()


def confusion(metrics: dict[str, Any], class_names: Sequence[str]) -> Figure:
    """The confusion matrix of a result of `plain_metrics`, rows normalised, classes in `class_order`."""
    counts = np.asarray(metrics["confusion"])
    order = class_order(counts)
    names = [class_names[index] for index in order] if len(class_names) <= NAMED_CLASSES else []
    return _matrix(counts[np.ix_(order, order)], names)


def most_confused(metrics: dict[str, Any], class_names: Sequence[str]) -> Figure:
    """The part of a large confusion matrix with the classes of most errors; `others` are all other classes."""
    counts = np.asarray(metrics["confusion"])
    wrong = counts - np.diag(np.diag(counts))
    errors = wrong.sum(axis=0) + wrong.sum(axis=1)
    chosen = np.argsort(-errors, kind="stable")[: NAMED_CLASSES - 1]
    chosen = chosen[class_order(counts[np.ix_(chosen, chosen)])]
    rest = np.setdiff1d(np.arange(len(counts)), chosen)
    groups = np.zeros((len(counts), len(chosen) + 1), counts.dtype)  # of each class its place in the zoom
    groups[chosen, np.arange(len(chosen))] = 1
    groups[rest, -1] = 1
    zoomed = groups.T @ counts @ groups
    return _matrix(zoomed, [*(class_names[index] for index in chosen), f"{len(rest)} others"])


def class_accuracies(metrics: dict[str, Any], class_names: Sequence[str]) -> Figure:
    """Accuracy of each class with Wilson's 95 % interval, the best on top; of many classes the worst and the best.

    Points, not bars: the axis need not begin at zero, and is zoomed to the intervals.
    """
    counts = np.asarray(metrics["confusion"])
    tested = [index for index in range(len(class_names)) if counts[index].sum()]
    values = {index: counts[index, index] / counts[index].sum() for index in tested}
    order = sorted(tested, key=lambda index: (values[index], counts[index].sum()))
    left_out = max(0, len(order) - SHOWN_CLASSES)
    if left_out:
        order = order[: SHOWN_CLASSES // 2] + order[-SHOWN_CLASSES // 2 :]
    ends = np.array([wilson_interval(values[index], int(counts[index].sum())) for index in order])
    accuracies = np.array([values[index] for index in order])
    places = np.arange(len(order)) + (np.arange(len(order)) >= SHOWN_CLASSES // 2 if left_out else 0)
    names = [f"{shown(class_names[index])} ({counts[index].sum()})" for index in order]
    with style(names):
        figure, axis = plt.subplots(figsize=(6.5, 1.0 + 0.2 * (places[-1] + 1)))
        spread = 100 * np.abs(ends.T - accuracies)
        axis.errorbar(100 * accuracies, places, xerr=spread, fmt="o", color=COLORS[0], markersize=4, capsize=2)
        mean = 100 * metrics["mean_class_accuracy"]
        axis.axvline(mean, color=COLORS[1], linewidth=1, label=f"mean over classes, {mean:.1f} %")
        axis.set_yticks(places, names)
        if left_out:
            axis.text(0.5, SHOWN_CLASSES // 2, f"{left_out} classes between these", ha="center", va="center",
                      fontsize=8, color="#57606a", transform=axis.get_yaxis_transform())  # fmt: skip
        axis.set_xlim(*zoom(100 * ends))
        axis.set_ylim(-0.6, places[-1] + 0.6)
        axis.set_xlabel("accuracy (%) with its 95 % interval")
        axis.set_ylabel(f"class (test items){', the worst and the best' if left_out else ''}")
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def zoom(values: Any) -> tuple[float, float]:
    """Ends of an axis of percentages that holds values, with a little room for marks at 0 and 100.

    Example:
        >>> zoom([71.0, 93.5]), zoom([0.0, 100.0])
        ((70.0, 100.0), (-1.5, 101.5))
    """
    low = max(0.0, ZOOM_STEP * np.floor(np.min(values) / ZOOM_STEP))
    high = min(100.0, ZOOM_STEP * np.ceil(np.max(values) / ZOOM_STEP))
    room = 0.015 * (high - low)
    return (
        float(low - room if np.min(values) <= low else low),
        float(high + room if np.max(values) >= high else high),
    )


def _shares(counts):
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _matrix(counts, class_names):
    """Shares of the rows as shades; with names, and then with counts, if there are any names."""
    shares = _shares(counts)
    side = 1.5 + (0.32 if class_names else 0.03) * len(counts)
    names = [shown(name) for name in class_names]
    with style(names, axes_grid=False):
        figure, axis = plt.subplots(figsize=(max(4.0, side + 1), max(3.5, side)))
        image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, ax=axis, shrink=0.8, label="share of the true class")
        axis.set_xlabel("predicted")
        axis.set_ylabel("true")
        if not names:
            axis.set(xticks=[], yticks=[])  # positions in this order say nothing
            return figure
        axis.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(names)), names)
        for row, column in np.argwhere(counts):
            color = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, counts[row, column], ha="center", va="center", color=color, fontsize=7)
    return figure
