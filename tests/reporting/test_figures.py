"""Figures are drawn whatever the data: few images, no differences, few steps."""

import numpy as np
import pytest

from keras_fvvae.reporting import figures

PNG = b"\x89PNG"


@pytest.mark.parametrize("count", [1, 2, 5, 12, 40])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_embedding(tmp_path, count, spread):
    vectors = spread * np.random.default_rng(0).normal(size=(count, 6)).astype("float32")
    figure = figures.embedding(vectors, np.arange(count) % 3, np.arange(count) % 2 == 0, ["a", "b", "c"])
    assert figures.save(figure, tmp_path / "embedding.png").startswith(PNG)


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
    # Of many steps every one and their average, of few a dot each.
    assert [line.get_marker() for line in figure.axes[0].lines] == ["None", "None", "o"]
    assert figures.are_smoothed(histories)
    assert not figures.are_smoothed({"two": histories["two"]})
    assert figures.save(figure, tmp_path / "loss.png").startswith(PNG)


@pytest.mark.parametrize(("count", "size"), [(12, 40), (100, 14)])
def test_few_points_are_drawn_larger(count, size):
    vectors = np.random.default_rng(0).normal(size=(count, 6)).astype("float32")
    figure = figures.embedding(vectors, np.arange(count) % 3, np.ones(count, bool), ["a", "b", "c"])
    assert {float(one) for dots in figure.axes[0].collections for one in dots.get_sizes()} == {size}


def test_few_examples_have_few_columns():
    figure = figures.examples([np.zeros((4, 4, 3))] * 3, ["a", "b", "c"], [True, True, False])
    assert len(figure.axes) == 3
