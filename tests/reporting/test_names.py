"""Classes and files of any names: the figures, the report and everything that is written and read back."""

import csv
import json
import os
import re
import warnings

import numpy as np
import pytest

from keras_fvvae.data import load_folder
from keras_fvvae.evaluation.evaluate import plain_metrics
from keras_fvvae.evaluation.score_tables import read_scores, scores_csv
from keras_fvvae.experiments.row import Outcome
from keras_fvvae.export import export_saved_model
from keras_fvvae.recipes import recipe_from_yaml
from keras_fvvae.reporting import class_figures, figures, names, pictures, report
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.explain import explain
from keras_fvvae.tasks.predict import predict
from keras_fvvae.tasks.scores.evaluate import evaluate
from keras_fvvae.training.train import train
from keras_fvvae.utils.text import to_bytes
from tests.support.small_data import write_digits

FOLDERS = {
    "formula": "$^$",
    "dollars": "Ba$$in",
    "currency": "US$100-CA$200",
    "TeX": r"\frac{$",
    "underscore": "_background",
    "bytes": os.fsdecode(b"caf\xe9"),
    "Chinese": "猫",
    "Arabic": "قطة",
    "Hebrew": "\u202e\u05d7\u05ea\u05d5\u05dc",
    "emoji": "🐈‍⬛",
    "control": "a\x07b\tc",
    "lines": "a\nb",
    "markup": "<b>&amp;'\"",
    "long": "x" * 255,
    "percent": "%s{}{0}",
}


CLASSES = list(FOLDERS.values())
LABELS = np.arange(30) % len(CLASSES)
METRICS = plain_metrics(np.random.default_rng(0).normal(size=(30, len(CLASSES))), LABELS, CLASSES)
DRAWN = {
    "confusion": lambda: class_figures.confusion(METRICS, CLASSES),
    "accuracies of classes": lambda: class_figures.class_accuracies(METRICS, CLASSES),
    "embedding": lambda: figures.embedding(
        np.random.default_rng(0).random((30, 4)), LABELS, np.ones(30, bool), CLASSES
    ),
    "examples": lambda: figures.examples(
        [np.zeros((4, 4, 3))] * len(CLASSES), [names.shown(name) for name in CLASSES], [True] * len(CLASSES)
    ),
    "accuracies": lambda: pictures.accuracy_ranges([Outcome(name, {}, metrics=METRICS) for name in CLASSES]),
    "losses": lambda: figures.loss_curves({name: {"loss": [2.0, 1.0]} for name in CLASSES}),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_figures(tmp_path, kind):
    """Each is drawn, without a warning, and shows the names as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = DRAWN[kind]()
        texts = {text.get_text() for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text"))}
        assert figures.save(figure, tmp_path / "a.png").startswith(b"\x89PNG")
    # There are fewer colours than names of losses.
    wanted = CLASSES[: len(names.COLORS)] if kind == "losses" else CLASSES
    shown = {re.sub(r" \(\d+\)$", "", text) for text in texts}  # without the number of test items
    assert {names.shown(name) for name in wanted} <= shown


def test_short_names_are_not_confused(tmp_path):
    """Points of names that are the same where they are shortened stay two."""
    classes = ["a" * 50 + "1" + "b" * 50, "a" * 50 + "2" + "b" * 50]
    figure = class_figures.class_accuracies({"confusion": [[1, 4], [3, 7]], "mean_class_accuracy": 0}, classes)
    assert list(figure.axes[0].lines[0].get_xdata()) == pytest.approx([20, 70])


def test_fonts(monkeypatch):
    """Of the installed fonts those that have what the first lacks; none where nothing is lacking or none has it."""
    assert names.fonts_for(frozenset("abcäöüñЖ")) == ()
    assert "Last Resort" not in " ".join(names.fonts_for(frozenset("猫\U0010fffd")))
    covered = {
        "/first": {ord(c) for c in "ab"},
        "/one": {ord("猫")},
        "/two": {ord("猫"), ord("ب")},
        "/last": set(range(0x110000)),
    }

    class Entry:
        def __init__(self, name, fname, style="normal"):
            self.name, self.fname, self.style = name, fname, style

    entries = [Entry("Last Resort HE", "/last"), Entry("One", "/one"), Entry("Two", "/two")]
    monkeypatch.setattr(names.font_manager, "findfont", lambda name: "/first")
    monkeypatch.setattr(names.font_manager.fontManager, "ttflist", entries)
    monkeypatch.setattr(names, "_characters_of", covered.__getitem__)
    names.fonts_for.cache_clear()
    assert names.fonts_for(frozenset("ab猫ب")) == ("One", "Two")
    assert names.fonts_for(frozenset("a猫\U0010fffd")) == ("One",)
    names.fonts_for.cache_clear()


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory, recipe):
    """A training on class folders of such names, with its report."""
    directory = tmp_path_factory.mktemp("names")
    write_digits(directory / "data", classes=range(10), count=4)
    kinds = ["formula", "dollars", "underscore", "bytes", "Chinese", "Arabic", "markup", "lines", "long", "percent"]
    for number, kind in enumerate(kinds):
        (directory / "data" / str(number)).rename(directory / "data" / FOLDERS[kind])
    collection = load_folder(directory / "data")
    path = directory / os.fsdecode(b"run \xe9")
    settings = {"backbone_weights": None, "cache": directory / "cache", "verbose": 0}
    run = train(recipe.replace(description="$^$ 猫"), collection, path, **settings)
    report.write_report([run.path], run.path / "report.html", collection)
    return RunFolder.open(path), collection, directory


def test_report_of_such_classes(hostile_run):
    run, collection, _ = hostile_run
    page = (run.path / "report.html").read_text(encoding="utf-8")
    for title in ("Loss curves", "Confusion matrix", "Class accuracy", "Embedding", "Examples", "Retrieval"):
        assert f"<h2>{title}</h2>" in page
    assert "cannot be drawn" not in page
    assert run.class_names == collection.class_names == sorted(collection.class_names)
    assert FOLDERS["bytes"] in run.class_names


def test_predictions_and_explanations(hostile_run, tmp_path):
    run, collection, _ = hostile_run
    files = [collection.sources[i] for i in collection.indices("test")]
    results = list(predict(run.path, files, top_k=10))
    assert {label for result in results for label in result["labels"]} == set(run.class_names)
    (explained,) = explain(run.path, files[:1], tmp_path, FOLDERS["bytes"])
    assert explained["label"] == FOLDERS["bytes"]
    assert json.loads(next(tmp_path.rglob("*.json")).read_text())["label"] == FOLDERS["bytes"]


def test_scores_are_written_and_read_back(hostile_run, tmp_path):
    run, _, _ = hostile_run
    table = run.vectors().test
    path = tmp_path / "scores.csv"
    path.write_bytes(to_bytes(scores_csv(table.ids, table.class_names, table.values)))
    again = read_scores(path)
    assert (again.ids, again.class_names) == (table.ids, table.class_names)
    np.testing.assert_array_equal(again.values, table.values)
    (result,) = evaluate([run.path])["results"]
    (other,) = evaluate([], [path], labels=_labels(run, tmp_path / "labels.csv"))["results"]
    assert result["accuracy"] == other["accuracy"]


def _labels(run, path):
    vectors = run.vectors()
    rows = zip(vectors.test.ids, (run.class_names[label] for label in vectors.test_labels), strict=True)
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file).writerows([("id", "label"), *rows])
    return path


def test_recipes_are_written_and_read_back(recipe):
    changed = recipe.replace(dataset_options={"annotations": os.fsdecode(b"/caf\xe9/$^$")}, description="猫 \udce9")
    assert recipe_from_yaml(changed.to_yaml(), "here") == changed


def test_export_of_such_classes(hostile_run, tmp_path):
    import tensorflow as tf

    run, collection, _ = hostile_run
    path = export_saved_model(run.classifier(), tmp_path, recipe=run.recipe, top_k=10)
    content = tf.constant([collection.sources[0].read_bytes()])
    labels = tf.saved_model.load(str(path)).signatures["serving_default"](image=content)["labels"][0].numpy()
    assert set(labels) == {to_bytes(name) for name in run.class_names}
    assert b"caf\xe9\n" in (path / "assets" / "labels.txt").read_bytes()


def test_a_figure_that_fails_costs_nothing_else(hostile_run, monkeypatch, tmp_path):
    run, collection, _ = hostile_run

    def broken(*_):
        raise RuntimeError("FreeType: no\nglyph")

    monkeypatch.setattr(class_figures, "confusion", broken)
    path = report.write_report([run.path], tmp_path / "report.html", collection)
    page = path.read_text(encoding="utf-8")
    assert "The figure &#39;Confusion matrix&#39; is missing, it cannot be drawn: FreeType: no." in page
    assert "<h2>Confusion matrix</h2>" not in page
    assert "<h2>Embedding</h2>" in page
