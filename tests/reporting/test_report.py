"""What a report says and shows: how the run came about, of which representation each figure is, its worst errors."""

import base64
import hashlib
import re
import sys

import numpy as np
import pytest

from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.data import Collection, load_folder
from keras_fvvae.reporting import report, worst_errors
from keras_fvvae.reporting.provenance import UNKNOWN, origin_rows
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.train import train
from tests.support.small_data import write_digits


@pytest.fixture(scope="module")
def made(tmp_path_factory, recipe):
    """A run of few steps, which is wrong often enough, its data, the weights of its backbone, and its report."""
    folder = tmp_path_factory.mktemp("report")
    data = write_digits(folder / "my data", classes=range(6), count=8)
    weights = folder / "trunk.weights.h5"
    build_recipe_backbone(recipe, None).get_layer("trunk").save_weights(weights)
    collection = load_folder(data)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["/usr/bin/keras-fvvae", "train", "--data", "my data"])
        run = train(
            recipe.replace(backbone_options={"filters": 8}), collection, folder / "run", backbone_weights=weights,
            cache=folder / "cache", verbose=0,
        )  # fmt: skip
    path = report.write_report([run.path], run.path / "report.html", collection)
    return run, collection, weights, path.read_text(encoding="utf-8")


def _cell(page, name):
    return re.search(rf"<tr><th>{name}</th><td class=\"text\"><code>(.*?)</code></td></tr>", page)[1]


def test_how_the_run_came_about(made):
    run, collection, weights, page = made
    assert _cell(page, "Data") == str(collection.sources[0].parents[1])
    assert _cell(page, "Command") == "keras-fvvae train --data &#39;my data&#39;"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", _cell(page, "Finished"))
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in _cell(page, "Backbone&#39;s weights")
    assert run.origin["backbone_sha256"] in _cell(page, "Backbone&#39;s weights")
    assert hashlib.sha256(run.model_path.read_bytes()).hexdigest() in _cell(page, "Trained model")


def test_every_setting_is_there_resolved_and_with_its_meaning(made):
    run, _, _, page = made
    rows = dict(re.findall(r"<tr><td>(\w+)</td><td class=\"text\">(.*?)</td>", page))
    assert rows["backbone_options"] == "filters: 8"
    assert rows["resize_to"] == "8 x 8 (input_size)"
    assert rows["tap"] == "the last stage"
    assert rows["steps"] == str(run.recipe.steps)
    assert {"damping", "calibration", "seed", "decoder"} <= rows.keys()
    assert page.index("<td>backbone_options</td>") < page.index("<details>") < page.index("<td>damping</td>")
    assert "training steps" in page


def test_a_run_that_noted_nothing_says_so(made, tmp_path, monkeypatch):
    run, collection, _, _ = made
    monkeypatch.setattr(RunFolder, "origin", {})
    page = report.write_report([run.path], tmp_path / "report.html", collection).read_text()
    assert _cell(page, "Command") == _cell(page, "Data") == UNKNOWN


@pytest.mark.parametrize(
    ("noted", "said"),
    [
        ("none", "random"),
        ("imagenet", "ImageNet"),
        ("run 1f", "of a run whose model has the SHA-256 1f"),
        ("sha256 2", "sha256 2"),
    ],
)
def test_where_the_weights_came_from_in_words(made, monkeypatch, noted, said):
    run = made[0]
    monkeypatch.setattr(RunFolder, "backbone_source", noted)
    assert dict(origin_rows([run]))["Backbone's weights"] == [
        f"{said}; SHA-256 of their values {run.origin['backbone_sha256']}"
    ]


def test_every_figure_says_of_what_it_is(made):
    _, _, _, page = made
    titles = re.findall(r"<h2>(.*?)</h2>\s*<p class=\"soft\"><b>FV-VAE\.</b>", page)
    assert titles[:4] == ["Class accuracy", "Confusion matrix", "Worst errors", "Examples"]
    assert titles[-1] == "Loss curves"
    assert len(titles) == page.count("data:image/png;base64,")


def test_figures_beside_the_report_say_it_too(made):
    run, _, _, _ = made
    drawn = list((run.path / "figures").glob("*.svg"))
    assert len(drawn) >= 7
    for path in drawn:
        assert "<!-- FV-VAE -->" in path.read_text(), path  # what matplotlib writes beside the outlines of a text


def test_accuracies_are_sorted_and_their_intervals_drawn(made):
    run, _, _, page = made
    table = page[: page.index("<h2>Class accuracy")]
    drawn = [float(value) for value in re.findall(r"<b>([\d.]+) %</b>", table)]
    assert len(drawn) == len(run.results.metrics)
    assert drawn == sorted(drawn, reverse=True)
    whiskers = re.findall(r"whisker\" style=\"left: ([\d.]+)%; width: ([\d.]+)%", table)
    dots = re.findall(r"dot\" style=\"left: ([\d.]+)%", table)
    for (left, width), dot in zip(whiskers, dots, strict=True):
        assert 0 <= float(left) <= float(dot) <= float(left) + float(width) <= 100


def test_the_worst_errors_are_explained(made, monkeypatch):
    """Those of the largest lead over the second class; the parts drawn are those of the answer and of the truth."""
    run, collection, _, page = made
    rows = []
    monkeypatch.setattr(worst_errors, "draw", lambda found: rows.extend(found))
    tested = report.TestedItems(run, collection)
    _, caption = tested.drawings()["Worst errors"]()
    wrong = np.flatnonzero(~tested.correct)
    ordered = np.sort(tested.scores[wrong], axis=1)
    worst = wrong[np.argsort(ordered[:, -2] - ordered[:, -1])][: worst_errors.EXPLAINED]
    assert [name for name, _ in rows] == [tested.tested[index] for index in worst]
    for index, (_, (answer, truth)) in zip(worst, rows, strict=True):
        for explanation, label in ((answer, tested.predicted[index]), (truth, tested.labels[index])):
            assert explanation.label == run.class_names[label]
            # The training encoded by a compiled function, which rounds otherwise.
            assert explanation.score == pytest.approx(tested.scores[index, label], abs=5e-3)
            assert explanation.maps.sum() + explanation.bias == pytest.approx(explanation.score, abs=1e-4)
    assert caption.startswith(f"The {len(worst)} most confident of {len(wrong)} wrong answers on the test images.")
    assert "<h2>Worst errors</h2>" in page


def test_errors_of_what_cannot_be_split_or_is_gone(made, tmp_path, monkeypatch):
    run, collection, _, _ = made
    gone = Collection(
        [tmp_path / "gone.png"] * len(collection), collection.names, collection.labels, collection.splits,
        collection.class_names,
    )  # fmt: skip
    page = report.write_report([run.path], tmp_path / "report.html", gone).read_text()
    assert "Worst errors: not shown. None of the wrongly classified items can be read any more." in page
    monkeypatch.setattr("keras_fvvae.explanations.file_explanation.can_explain", lambda head: False)
    page = report.write_report([run.path], tmp_path / "report.html", collection).read_text()
    assert "Worst errors: not shown. The score of the representation &#39;fv_vae&#39; cannot be split." in page
    assert "<h2>Examples</h2>" in page


def test_the_figures_are_in_the_page(made):
    _, _, _, page = made
    first = re.search(r"data:image/png;base64,([^\"]+)", page)[1]
    assert base64.b64decode(first).startswith(b"\x89PNG")
