"""The figures of a report, drawn with matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG

from keras_fvvae.reporting.class_figures import NAMED_CLASSES
from keras_fvvae.reporting.names import COLORS, drawing, named_legend, plt, shown, style
from keras_fvvae.svm.kernels import kernel_matrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TERMS = ("reconstruction", "regularization", "classification", "loss", "accuracy")
# Fewer steps are drawn as dots: a moving average of them would look like more.
FEW_STEPS = 30
# Fewer points are drawn larger.
FEW_POINTS = 100
# t-SNE is quadratic in memory; more points would not be told apart in a figure anyway.
EMBEDDED_IMAGES = 1500
# Fewer are shown by their two principal components: neighbourhoods need neighbours.
TSNE_MIN_IMAGES = 10


def loss_curves(histories: dict[str, dict[str, list[float]]]) -> Figure:
    """The terms of Eq. 8 (or the loss of another training) over the training steps.

    Args:
        histories: dictionary from a name to a history: lists of values by term.
    """
    # The sum of Eq. 8's terms says less than they do.
    histories = {
        name: {term: values for term, values in history.items() if term != "loss" or "reconstruction" not in history}
        for name, history in histories.items()
    }
    terms = [term for term in TERMS if any(term in history for history in histories.values())]
    names = [shown(name) for name in histories]
    lines: dict[str, Any] = {}  # of the first axis that has them
    with style(names):
        figure, axes = plt.subplots(1, len(terms), figsize=(3 * len(terms), 2.6), squeeze=False)
        for axis, term in zip(axes[0], terms, strict=True):
            for color, name, history in zip(COLORS, names, histories.values(), strict=False):
                values = np.asarray(history.get(term, []))
                if not len(values):
                    continue
                line = _draw_losses(axis, values, color)
                if axis is axes[0][0]:
                    lines[name] = line
            axis.set_title(term + (" (nats)" if term != "accuracy" else " (training)"))
            axis.set_xlabel("step")
        named_legend(axes[0][0], list(lines.values()), list(lines))
    return figure


def are_smoothed(histories: dict[str, dict[str, list[float]]]) -> bool:
    """Whether any history is long enough for a moving average."""
    return any(len(values) >= FEW_STEPS for history in histories.values() for values in history.values())


def _draw_losses(axis: Any, values: np.ndarray, color: str) -> Any:
    """Draws losses of steps, few as dots; gives the line for the legend."""
    steps = np.arange(1, len(values) + 1)
    if len(values) < FEW_STEPS:
        axis.xaxis.get_major_locator().set_params(integer=True)
        return axis.plot(steps, values, "o", color=color, markersize=4)[0]
    width = max(1, len(values) // 50)
    axis.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
    smooth = np.convolve(values, np.ones(width) / width, mode="valid")
    return axis.plot(np.arange(len(smooth)) + 1 + width // 2, smooth, color=color)[0]


def validation_curves(outcomes: dict[str, dict[str, Any]]) -> Figure:
    """Accuracy on the validation part over the training steps, with the step that was kept and average pooling.

    Args:
        outcomes: dictionary from a name to what `RunFolder.validation` gives.
    """
    names = [shown(name) for name in outcomes]
    lines: dict[str, Any] = {}
    with style(names):
        figure, axis = plt.subplots(figsize=(5, 2.8))
        for color, name, outcome in zip(COLORS, names, outcomes.values(), strict=False):
            steps = [int(step) for step in outcome["scores"]]
            values = [100 * score["accuracy"] for score in outcome["scores"].values()]
            (lines[name],) = axis.plot(steps, values, color=color, marker="o", markersize=3)
            best = steps.index(outcome["best_step"])
            axis.plot(steps[best], values[best], color=color, marker="o", markersize=9, fillstyle="none")
            average = 100 * outcome["average_accuracy"]
            lines[f"AVE beside {name}"] = axis.axhline(average, color=color, linestyle=":")
        axis.set_xscale("log")
        scored = sorted({int(step) for outcome in outcomes.values() for step in outcome["scores"]})
        axis.set_xticks(scored, labels=map(str, scored))
        axis.minorticks_off()
        axis.set_xlabel("step")
        axis.set_ylabel("accuracy (%)")
        named_legend(axis, list(lines.values()), list(lines))
    return figure


def embedding(
    vectors: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    correct: Sequence[bool] | np.ndarray,
    class_names: Sequence[str],
    seed: int = 0,
) -> Figure:
    """Vectors of test items in the plane (PCA to 50 dimensions, then t-SNE); wrong ones are crosses.

    Few items, or items without any difference, are shown by their principal components, see `is_projected`; few are
    drawn larger.
    """
    from sklearn.decomposition import KernelPCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    labels, correct = np.asarray(labels), np.asarray(correct)
    if len(labels) > EMBEDDED_IMAGES:
        chosen = np.sort(np.random.default_rng(seed).choice(len(labels), EMBEDDED_IMAGES, replace=False))
        labels, correct = labels[chosen], correct[chosen]
    else:
        chosen = np.arange(len(labels))
    # By their inner products: the vectors are longer than they are many, and may not fit into memory.
    components = KernelPCA(min(50, len(chosen), vectors.shape[1]), kernel="precomputed", eigen_solver="dense")
    points = components.fit_transform(kernel_matrix(vectors, chosen))
    # Scikit-learn's t-SNE divides by the spread of the first component, and crashes on what that gives without one.
    if not is_projected(len(points)) and np.std(points[:, 0]) > 0:
        perplexity = min(30, (len(labels) - 1) / 3)
        with threadpool_limits(1):  # its threads wait for each other in a loop, which stalls on a busy machine
            points = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)
    points = np.pad(points, [(0, 0), (0, 2)])[:, :2]  # a single image has one component only
    size = 14 if len(points) >= FEW_POINTS else 40
    colors = plt.get_cmap("tab20" if len(class_names) > 10 else "tab10")
    names = [shown(name) for name in class_names] if len(class_names) <= NAMED_CLASSES else []
    dots = []
    with style(names, axes_grid=False):
        figure, axis = plt.subplots(figsize=(6.5, 4.6))
        for label in range(len(class_names)):
            for right, marker in ((correct, "o"), (~correct, "x")):
                rows = (labels == label) & right
                color = colors(label % colors.N)
                x, y = points[rows].T
                drawn = axis.scatter(x, y, s=size, color=color, marker=marker, linewidth=1)
                if marker == "o":
                    dots.append(drawn)
        axis.set_xticks([])
        axis.set_yticks([])
        if names:
            named_legend(axis, dots, names, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, markerscale=1.2)
    return figure


def is_projected(count: int) -> bool:
    """Whether so few items are shown by their principal components."""
    return count < TSNE_MIN_IMAGES


def examples(images: Sequence[np.ndarray], titles: Sequence[str], correct: Sequence[bool], columns: int = 8) -> Figure:
    """A grid of images with their predicted classes, green if right; few images have fewer columns."""
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    with style(titles):
        figure, axes = plt.subplots(rows, columns, figsize=(1.5 * columns, 1.75 * rows), squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
            axis.set(xticks=[], yticks=[])  # ticks would be laid out, unseen as they are
        for axis, image, title, right in zip(axes.flat, images, titles, correct, strict=False):
            axis.imshow(np.clip(image / 255.0, 0, 1), interpolation="nearest" if len(image) < 64 else "antialiased")
            axis.set_title(title, fontsize=8, color="#007A33" if right else "#C00000")
    return figure


def rendered(figure: Figure) -> dict[str, bytes]:
    """Dictionary from `".png"` and `".svg"` to a figure's bytes; closes it."""
    png, svg = io.BytesIO(), io.BytesIO()
    try:
        with drawing():  # by canvases: `savefig` draws everything twice, once to see how large it is
            FigureCanvasAgg(figure).print_png(png)
            figure.set_layout_engine("none")  # it stays as it is laid out now
            FigureCanvasSVG(figure).print_svg(svg)
    finally:
        plt.close(figure)
    return {".png": png.getvalue(), ".svg": svg.getvalue()}


def save(figure: Figure, path: Path) -> bytes:
    """Writes a figure as PNG, and as SVG beside it, and closes it; returns the bytes of the PNG."""
    contents = rendered(figure)
    for suffix, content in contents.items():
        path.with_suffix(suffix).write_bytes(content)
    return contents[".png"]
