"""Confusion and accuracy by class: sorted, zoomed, with intervals."""

import numpy as np
import pytest

from keras_fvvae.evaluation.evaluate import plain_metrics
from keras_fvvae.evaluation.intervals import wilson_interval
from keras_fvvae.reporting import class_figures, figures

PNG = b"\x89PNG"


def _metrics(classes, count):
    labels = np.arange(count) % classes
    scores = np.random.default_rng(0).normal(size=(count, classes)) + 2 * np.eye(classes)[labels]
    names = [f"a rather long class name {i}" for i in range(classes)]
    return plain_metrics(scores, labels, names), names


@pytest.mark.parametrize("classes", [2, 30])
def test_confusion(tmp_path, classes):
    metrics, names = _metrics(classes, 60)
    figure = class_figures.confusion(metrics, names)
    named = classes <= class_figures.NAMED_CLASSES
    assert bool(figure.axes[0].texts) == named
    assert len(figure.axes[0].get_yticks()) == (classes if named else 0)
    assert figures.save(figure, tmp_path / "confusion.png").startswith(PNG)


def test_confused_classes_are_neighbours():
    """Two pairs, mixed up by the names' order; and the counts are moved with the names."""
    counts = np.array([[6, 0, 4, 0], [0, 7, 0, 3], [2, 0, 8, 0], [0, 1, 0, 9]])
    order = class_figures.class_order(counts)
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset({0, 2}), frozenset({1, 3})}
    axis = class_figures.confusion({"confusion": counts.tolist()}, list("abcd")).axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["abcd"[index] for index in order]
    drawn = {tuple(map(int, text.get_position()[::-1])): int(text.get_text()) for text in axis.texts}
    assert drawn == {(r, c): counts[a, b] for r, a in enumerate(order) for c, b in enumerate(order) if counts[a, b]}


def test_without_errors_the_order_stays():
    assert class_figures.class_order(np.diag([3, 2, 0, 4])) == [0, 1, 2, 3]


def test_the_zoom_holds_the_classes_of_most_errors(tmp_path):
    counts = 10 * np.eye(50, dtype=int)
    counts[7, 31] = counts[31, 7] = counts[40, 3] = 5
    metrics = {"confusion": counts.tolist()}
    figure = class_figures.most_confused(metrics, [f"class {index}" for index in range(50)])
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(names) == class_figures.NAMED_CLASSES
    assert {"class 7", "class 31", "class 40", "class 3"} <= set(names)
    assert names[-1] == "31 others"
    assert abs(names.index("class 7") - names.index("class 31")) == 1
    assert sum(int(text.get_text()) for text in figure.axes[0].texts) == counts.sum()
    assert figures.save(figure, tmp_path / "zoom.png").startswith(PNG)


@pytest.mark.parametrize(("classes", "points"), [(3, 3), (60, 40)])
def test_accuracies_of_classes(tmp_path, classes, points):
    metrics, names = _metrics(classes, 4 * classes)
    figure = class_figures.class_accuracies(metrics, names)
    axis = figure.axes[0]
    drawn = axis.lines[0].get_xdata()
    assert len(drawn) == points
    assert (np.diff(drawn) >= 0).all()
    assert [text.get_text() for text in axis.texts] == ([] if classes == 3 else ["20 classes between these"])
    assert all(text.get_text().endswith(" (4)") for text in axis.get_yticklabels())
    for value, segment in zip(drawn, axis.collections[0].get_segments(), strict=True):
        assert segment[:, 0] / 100 == pytest.approx(wilson_interval(value / 100, 4))
    assert figures.save(figure, tmp_path / "accuracies.png").startswith(PNG)
    assert "<svg" in (tmp_path / "accuracies.svg").read_text()


def test_the_axis_is_zoomed_and_a_class_without_test_items_has_no_point():
    metrics = {"confusion": [[95, 5, 0], [1, 199, 0], [0, 0, 0]], "mean_class_accuracy": 0.97}
    axis = class_figures.class_accuracies(metrics, ["a", "b", "c"]).axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["a (100)", "b (200)"]
    assert axis.get_xlim() == pytest.approx((80, 100))
