"""Figures are drawn whatever the data: few images, no differences, many classes."""

import numpy as np
import pytest

from keras_fvvae.evaluation.evaluate import plain_metrics
from keras_fvvae.reporting import figures

PNG = b"\x89PNG"


@pytest.mark.parametrize("count", [1, 2, 5, 12, 40])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_embedding(tmp_path, count, spread):
    vectors = spread * np.random.default_rng(0).normal(size=(count, 6)).astype("float32")
    figure = figures.embedding(vectors, np.arange(count) % 3, np.arange(count) % 2 == 0, ["a", "b", "c"])
    assert figures.save(figure, tmp_path / "embedding.png").startswith(PNG)


@pytest.mark.parametrize("classes", [2, 30])
def test_confusion(tmp_path, classes):
    labels = np.arange(60) % classes
    scores = np.random.default_rng(0).normal(size=(60, classes))
    names = [f"a rather long class name {i}" for i in range(classes)]
    figure = figures.confusion(plain_metrics(scores, labels, names), names)
    assert figures.save(figure, tmp_path / "confusion.png").startswith(PNG)


@pytest.mark.parametrize(("classes", "bars"), [(3, 3), (60, 40)])
def test_class_bars(tmp_path, classes, bars):
    labels = np.arange(4 * classes) % classes
    scores = np.random.default_rng(0).normal(size=(len(labels), classes))
    figure = figures.class_bars(plain_metrics(scores, labels, [f"class {i}" for i in range(classes)]))
    assert len(figure.axes[0].patches) == bars
    assert figures.save(figure, tmp_path / "bars.png").startswith(PNG)
    assert "<svg" in (tmp_path / "bars.svg").read_text()


def test_loss_of_another_training(tmp_path):
    figure = figures.loss_curves({"NetVLAD": {"loss": [2.0, 1.0], "accuracy": [0.1, 0.2]}})
    assert [axis.get_title() for axis in figure.axes] == ["loss (nats)", "accuracy (training)"]


def test_loss_curves_of_two_runs(tmp_path):
    steps = np.linspace(3, 1, 120).tolist()
    histories = {
        "one": {"reconstruction": steps, "regularization": steps, "classification": steps, "accuracy": steps},
        "two": {"reconstruction": steps[:5], "regularization": steps[:5]},
    }
    figure = figures.loss_curves(histories)
    assert [axis.get_title() for axis in figure.axes] == [
        "reconstruction (nats)",
        "regularization (nats)",
        "classification (nats)",
        "accuracy (training)",
    ]
    assert len(figure.axes[0].lines) == 4
    assert figures.save(figure, tmp_path / "loss.png").startswith(PNG)
