"""The learning curve of a run for its report: what was measured, and what is extrapolated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keras_fvvae.data import Collection
from keras_fvvae.evaluation.learning_curve import FACTOR, FOLDS, LearningCurve, learning_curve
from keras_fvvae.reporting.names import COLORS, plt, style
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.svm.kernels import kernel_matrix
from keras_fvvae.utils.text import normal_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_picture(run: RunFolder, collection: Collection) -> tuple[Figure, str]:
    """The figure of a run's learning curve, and its caption.

    Args:
        run: a finished run with labels.
        collection: what it was trained on, for the groups that must not be divided.
    """
    items = run.vectors()
    groups = None
    if collection.groups is not None:
        pairs = zip(collection.names, collection.groups, strict=True)
        by_name = {normal_name(str(name)): group for name, group in pairs}
        groups = [by_name[name] for name in items.train_names]
    gram = kernel_matrix(items.values, np.arange(items.labelled))
    curve = learning_curve(gram, items.train_labels, items.C, groups, run.recipe.seed)
    a, b, c = curve.law
    caption = (
        f"Accuracy of SVMs on the run's vectors by the number of training {collection.kind}s, on training "
        f"{collection.kind}s that they have not seen ({FOLDS} folds). Dashed: {100 * a:.1f} % + "
        f"{b:.2f} n^-{c:.2f} of errors, fitted to the dots. Extrapolated to {FACTOR} times the training "
        f"{collection.kind}s ({curve.count:,}), it gives {100 * curve.accuracy:.1f} % (95 % of resamples: "
        f"{100 * curve.low:.1f} to {100 * curve.high:.1f}): an extrapolation, not a measurement. The encoder learnt "
        "from all of them, so that the dots are above what new data would show."
    )
    return draw(curve), caption


def draw(curve: LearningCurve) -> Figure:
    """The measured accuracies, the law, and what it gives beyond them with its interval."""
    with style([]):
        figure, axis = plt.subplots(figsize=(5, 2.8))
        axis.plot(curve.counts, 100 * np.array(curve.accuracies), "o", color=COLORS[0], label="measured")
        counts = np.geomspace(curve.counts[0], curve.count, 100)
        axis.plot(counts, 100 * curve.at(counts), "--", color=COLORS[0], linewidth=1, label="fitted law")
        value = 100 * curve.accuracy
        bars = [[value - min(value, 100 * curve.low)], [max(value, 100 * curve.high) - value]]
        axis.errorbar(
            [curve.count], [value], bars, fmt="o", color=COLORS[1], fillstyle="none", capsize=3, label="extrapolated"
        )
        axis.set_xscale("log")
        axis.set_xticks([*curve.counts, curve.count], labels=[f"{one:,}" for one in (*curve.counts, curve.count)])
        axis.minorticks_off()
        axis.set_xlabel("training items")
        axis.set_ylabel("accuracy (%)")
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure
