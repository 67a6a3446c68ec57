"""`keras-fvvae evaluate` and `fuse` on runs with given scores: what they print, write and refuse."""

import csv
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from keras_fvvae.tools.main import cli

from keras_fvvae.errors import DataError
from keras_fvvae.evaluation.score_tables import read_scores, scores_csv
from keras_fvvae.recipes import Recipe
from tests.support.written_runs import make_streams, write_run


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Folders `rgb` and `flow` in the current directory."""
    monkeypatch.chdir(tmp_path)
    recipe = Recipe(name="tiny", backbone="DigitsConvNet", input_size=[8, 8], descriptors="dense", latent_dim=3)
    class_names, train, test, streams = make_streams()
    labels = np.arange(100) % 4
    for index, name in enumerate(("rgb", "flow")):
        centres = np.stack([streams[index][:60][labels[:60] == label].mean(axis=0) for label in range(4)])
        write_run(
            tmp_path / name, recipe, class_names, train, test, streams[index][60:] @ centres.T, vectors=streams[index]
        )
    return tmp_path


def _call(command, *arguments):
    words = [*command.split(), *map(str, arguments)]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code in (0, 1, 2)
    if result.exception and result.exit_code == 1:
        raise result.exception
    return result


def test_table(runs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    output = _call("evaluate", "rgb", "flow", "--compare", "--average", "--per-class", "--resamples", 50).stdout
    lines = [line.split() for line in output.splitlines()]
    assert lines[0] == ["items", "accuracy", "mean", "class", "accuracy", "mAP", "top3"]
    assert lines[1][:2] == ["rgb", "40"]
    assert lines[3][:3] == ["mean", "of", "2"]
    assert "flow against rgb on 40 common items: accuracy " in output
    assert "McNemar p = " in output
    assert "Note: average: 40 test items are in all of them" in output
    assert sum(line[:2] == ["class", "3"] for line in lines) == 2


def test_tables_fit_the_terminal(runs, monkeypatch):
    """Every word stays whole; a file's table is not folded."""
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ("rgb", "flow", "--average", "--per-class", "--resamples", 50)
    output = _call("evaluate", *arguments).stdout
    table = [line for line in output.splitlines() if not line.startswith("Note: ")]
    assert max(map(len, table)) <= 80
    _call("evaluate", *arguments, "--out", "table.txt")
    whole = (runs / "table.txt").read_text()
    assert sorted(whole.split()) == sorted(output.split())
    assert len(whole.splitlines()) < len(output.splitlines())


def test_csv_and_json_hold_the_same(runs):
    rows = list(csv.DictReader(io.StringIO(_call("evaluate", "rgb", "flow", "--format", "csv", "--compare").stdout)))
    result = json.loads(_call("evaluate", "rgb", "flow", "--format", "json", "--compare").stdout)
    values = {(row["source"], row["metric"], row["class"]): (row["value"], row["low"], row["high"]) for row in rows}
    for entry in result["results"]:
        for name in ("accuracy", "mean_average_precision", "top3_accuracy"):
            assert values[entry["source"], name, ""] == tuple(map(str, entry[name].values()))
        for name, each in entry["class_accuracy"].items():
            assert values[entry["source"], "class_accuracy", name] == tuple(map(str, each.values()))
    difference = result["comparisons"][0]["accuracy"]
    assert values["flow - rgb", "accuracy", ""] == tuple(map(str, difference.values()))
    without = list(csv.DictReader(io.StringIO(_call("evaluate", "rgb", "--format", "csv", "--resamples", 0).stdout)))
    ends = {row["metric"]: bool(row["low"]) for row in without}
    assert ends["accuracy"]
    assert ends["class_accuracy"]
    assert not ends["mean_average_precision"]


def test_predictions_in_the_official_format(runs):
    _call("activitynet predictions", "flow", "--out", "flow.json")
    table = read_scores("flow.json")
    assert len(table.ids) == 40
    result = json.loads(_call("evaluate", "flow", "--scores", "flow.json", "--compare", "--format", "json").stdout)
    assert result["comparisons"][0]["accuracy"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    database = {
        name: {"subset": "validation", "annotations": [{"label": f"class {i % 4}", "segment": [0, 1]}]}
        for i, name in enumerate(table.ids)
    }
    (runs / "gt.json").write_text(json.dumps({"database": database}))
    official = ("flow.json", "gt.json")
    lines = _call("activitynet evaluate", *official, "--format", "official", "--resamples", 0).stdout.splitlines()
    precision = result["results"][0]["mean_average_precision"]["value"]
    assert lines[0] == "[RESULTS] Performance on ActivityNet untrimmed video classification task."
    assert float(lines[1].removeprefix("\tMean Average Precision: ")) == pytest.approx(precision)
    assert lines[2] == f"\tHit@3: {result['results'][0]['top3_accuracy']['value']}"
    assert lines[3].startswith("\tAvg Hit@3: ")
    table = _call("activitynet evaluate", *official, "--top-k", 1).stdout
    assert f"Mean Average Precision: {precision:.1%} [" in table
    assert "40 videos with 40 labels, 160 predictions; 0 are not predicted, 0 of the predicted not" in table
    content = json.loads(_call("activitynet evaluate", *official, "--format", "json").stdout)
    assert content["hit_at_k"]["value"] == result["results"][0]["top3_accuracy"]["value"]
    assert "average precision,class 3," in _call("activitynet evaluate", *official, "--format", "csv").stdout


def test_views(runs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    table = _scores_of_rgb()
    (runs / "views.csv").write_text(scores_csv(table.ids * 2, table.class_names, np.tile(table.values, (2, 1))))
    output = _call("evaluate", "--scores", "views.csv", "rgb", "--views", "--resamples", 0).stdout
    assert [line.split()[:3] for line in output.splitlines()[-1:]] == [["views.csv", "(views)", "80"]]


def _scores_of_rgb():
    _call("activitynet predictions", "rgb", "--out", "rgb.json")
    return read_scores("rgb.json")


def test_out_that_cannot_be_written(runs):
    for command in ("evaluate", "activitynet predictions"):
        with pytest.raises(DataError, match=r"The file \. cannot be written: it is a folder\."):
            _call(command, "rgb", "--out", ".")
        with pytest.raises(DataError, match="The file no/folder.csv cannot be written: No such file or directory."):
            _call(command, "rgb", "--out", "no/folder.csv")


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("evaluate", [], "There is nothing to evaluate: name a RUN, or a file of --scores."),
        ("evaluate", ["a", "--labels", "l", "--annotations", "a"], "--labels and --annotations both say what is right"),
        ("evaluate", ["a", "--labels", "l"], "--labels and --views say something of --scores: name such a file."),
        ("evaluate", ["a", "--views"], "--labels and --views say something of --scores"),
        ("evaluate", ["a", "--compare"], "needs at least two RUNs or files of --scores."),
        ("evaluate", ["--scores", "a", "--average"], "needs at least two RUNs or files of --scores."),
        ("evaluate", ["--top-k", 0], "0 is not in the range x>=1"),
        ("evaluate", ["--format", "xml"], "'xml' is not one of"),
        ("evaluate", ["--level", 1], "1.0 is not in the range 0<x<1"),
        ("evaluate-views", [], "Missing argument 'RUN...'"),
        ("activitynet predictions", [], "Predictions are made of one RUN or of one file of --scores."),
        ("activitynet predictions", ["a", "--scores", "b"], "Predictions are made of one RUN or of one file"),
        ("activitynet evaluate", ["p.json"], "Missing argument 'ANNOTATIONS'"),
        ("activitynet evaluat", [], "No such command 'evaluat'; did you mean 'evaluate'?"),
    ],
)
def test_arguments_that_cannot_be(command, arguments, message):
    result = _call(command, *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_fuse(runs):
    output = _call("fuse", "rgb", "flow", "--cross-validate", "--out", "fused.csv").stdout
    assert "late fusion" in output
    assert "of the training items)" in output
    assert "95% interval of the gain: " in output
    result = json.loads(_call("fuse", "rgb", "flow", "--cross-validate", "--json").stdout)
    weights = ", ".join(f"{weight:.2f}" for weight in result["weights"].values())
    assert f"Weights: {weights} (by cross-validation: {result['training_accuracy']:.1%} of" in output
    fixed = ("--weight", 0.75, "--weight", 0.25, "--normalize", "l2", "--json")
    result = json.loads(_call("fuse", "rgb", "--scores", "fused.csv", *fixed).stdout)
    assert result["weights"] == {"rgb": 0.75, "fused.csv": 0.25}
    assert result["normalize"] == "l2"
    assert json.loads(_call("fuse", "rgb", "flow", "--fusion", "kernel", "--json").stdout)["method"] == "kernel"
    for arguments, message in (
        (["rgb", "--scores", "fused.csv", "--weight", 1], "2 streams need 2 times --weight, or none."),
        (["rgb", "flow", "--weight", 1, "--weight", 1, "--cross-validate"], "both say what the weights are"),
    ):
        result = _call("fuse", *arguments)
        assert result.exit_code == 2
        assert message in result.output
