"""Evaluation of finished runs and of files of scores: numbers by hand, several labels, views, averages, comparisons."""

import json

import numpy as np
import pytest

from keras_fvvae.errors import DataError, RunError
from keras_fvvae.evaluation.evaluate import evaluate_scores, evaluate_views
from keras_fvvae.evaluation.score_tables import read_scores, scores_csv
from keras_fvvae.tasks.scores.activitynet import activitynet_predictions, evaluate_activitynet
from keras_fvvae.tasks.scores.evaluate import evaluate
from tests.support.written_runs import write_run

CLASSES = ["a", "b", "c"]
TRAIN = {"t1.avi": "a", "t2.avi": "b", "t3.avi": "c", "unlabelled.avi": None}
TEST = {"x1.avi": "a", "x2.avi": "a", "x3.avi": "b", "x4.avi": "c", "x5.avi": "c"}
LABELS = [0, 0, 1, 2, 2]
SCORES = np.array([[2, 1, 0], [0, 1, 0.5], [0, 3, 1], [1, 0, 2], [0.2, 0.3, 0.1]])
OTHER = SCORES + np.eye(3)[LABELS]


@pytest.fixture
def make_run(tmp_path, recipe):
    def make(name, scores=SCORES, class_names=CLASSES, train=TRAIN, test=TEST):
        return write_run(tmp_path / name, recipe, class_names, train, test, scores)

    return make


def test_a_run(make_run):
    path = make_run("run")
    result = evaluate([path], resamples=100)
    (entry,) = result["results"]
    assert (entry["source"], entry["representation"], entry["notes"]) == (str(path), "FV-VAE", [])
    expected = evaluate_scores(SCORES, LABELS, CLASSES, resamples=100)
    assert {key: entry[key] for key in expected} == expected
    assert entry["accuracy"]["value"] == 0.6
    assert (result["average"], result["comparisons"]) == (None, [])
    assert json.loads(json.dumps(result)) == result


def test_a_class_that_only_test_items_have(make_run):
    train = {"t1.avi": "a", "t2.avi": "b"}
    (entry,) = evaluate([make_run("run", train=train)], resamples=0)["results"]
    assert entry["notes"] == ["1 classes have no training items, such as 'c': always wrong."]


def test_scores_with_the_labels_of_a_run(make_run, tmp_path):
    """Other order of items and classes, other extensions; one item more, one missing."""
    ids, order = ["x5", "x4", "x3", "x1", "y"], [2, 0, 1]
    values = np.concatenate([OTHER[[4, 3, 2, 0]], [[0, 0, 0]]])[:, order]
    (tmp_path / "s.csv").write_text(scores_csv(ids, [CLASSES[i] for i in order], values))
    entry = evaluate([make_run("run")], [tmp_path / "s.csv"], resamples=0)["results"][1]
    expected = evaluate_scores(values[:4], [0, 0, 2, 1], [CLASSES[i] for i in order], resamples=0)
    assert {key: entry[key] for key in expected} == expected
    assert entry["notes"] == [
        "1 scored items have no label of these classes and are left out.",
        "1 labelled items have no scores and are left out.",
    ]


def test_scores_with_a_file_of_labels(tmp_path):
    (tmp_path / "s.csv").write_text(scores_csv(list(TEST), CLASSES, SCORES))
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label,comment\n" + "".join(f"{name},{label},\n" for name, label in TEST.items()))
    (entry,) = evaluate([], [tmp_path / "s.csv"], labels=labels, resamples=0)["results"]
    assert (entry["accuracy"]["value"], entry["notes"], entry["representation"]) == (0.6, [], "scores")
    labels.write_text(labels.read_text().replace(",b,", ",unknown,"))
    (entry,) = evaluate([], [tmp_path / "s.csv"], labels=labels, resamples=0)["results"]
    assert entry["items"] == 4
    assert "1 labels are no classes of the scores, such as 'unknown'; they are left out." in entry["notes"]


def test_views_of_a_file(make_run, tmp_path):
    owners = np.array([0, 0, 1, 2, 2, 2, 3, 4])
    views = SCORES[owners] + np.random.default_rng(0).normal(size=(8, 3))
    ids = [f"{list(TEST)[owner]}" for owner in owners]
    (tmp_path / "s.csv").write_text(scores_csv(ids, CLASSES, views))
    run = make_run("run")
    _, entry = evaluate([run], [tmp_path / "s.csv"], views=True, resamples=50)["results"]
    expected = evaluate_views(views, owners, LABELS, CLASSES, resamples=50)
    assert entry["views"] == expected["views"]
    assert {key: entry[key] for key in expected["items"]} == expected["items"]
    with pytest.raises(DataError, match="has the id 'x1.avi' more than once"):
        evaluate([run], [tmp_path / "s.csv"])
    means = np.stack([views[owners == item].mean(axis=0) for item in range(5)])
    (comparison,) = evaluate([run], [tmp_path / "s.csv"], views=True, compare=True, resamples=0)["comparisons"]
    gain = np.mean(means.argmax(axis=1) == LABELS) - 0.6
    assert comparison["accuracy"]["value"] == pytest.approx(gain)


def _annotations(tmp_path):
    """`x1` has two labels, `x2` one, `x3` one that is no class; `x9` has no scores."""
    labels = {"x1": ["a", "c"], "x2": ["b"], "x3": ["z"], "x9": ["a"]}
    database = {
        name: {"subset": "validation", "annotations": [{"label": label, "segment": [0, 1]} for label in own]}
        for name, own in labels.items()
    }
    path = tmp_path / "activity_net.json"
    path.write_text(json.dumps({"database": database}))
    return path


def test_several_labels_of_an_annotation_file(make_run, tmp_path):
    test = {f"v_{name}": label for name, label in TEST.items()}
    (entry,) = evaluate([make_run("run", test=test)], annotations=_annotations(tmp_path), resamples=0)["results"]
    expected = evaluate_scores(SCORES[:2], [[0, 2], [1]], CLASSES, resamples=0)
    assert {key: entry[key] for key in expected} == expected
    assert entry["average_hit_1"]["value"] == 0.75
    assert entry["notes"] == [
        "3 scored items have no label of these classes and are left out.",
        "1 labelled items have no scores and are left out.",
        "1 labels are no classes of the scores, such as 'z'; they are left out.",
    ]


def test_average_over_splits(make_run):
    scores = [SCORES, OTHER, np.eye(3)[[0, 0, 0, 0, 0]]]
    runs = [
        make_run(f"split{i}", each, test={f"{i}{name}": label for name, label in TEST.items()})
        for i, each in enumerate(scores)
    ]
    average = evaluate(runs, average=True, resamples=0)["average"]
    values = [0.6, 1.0, 0.4]
    assert average["accuracy"]["values"] == values
    assert average["accuracy"]["mean"] == pytest.approx(np.mean(values))
    assert average["accuracy"]["standard_deviation"] == pytest.approx(
        np.sqrt(((np.array(values) - 2 / 3) ** 2).sum() / 2)
    )
    assert {"mean_class_accuracy", "mean_average_precision"} <= set(average)
    assert (average["runs"], average["notes"]) == (3, [])
    average = evaluate([runs[0], runs[0]], average=True, resamples=0)["average"]
    assert average["notes"] == ["5 test items are in all of them: are they splits of one data set?"]


def test_comparison_on_common_items(make_run):
    names = ["c", "a", "b"]
    test = dict(list(TEST.items())[1:])
    other = make_run("other", OTHER[1:][:, [2, 0, 1]], class_names=names, test=test)
    (comparison,) = evaluate([make_run("run"), other], compare=True, resamples=100)["comparisons"]
    assert (comparison["items"], comparison["left_out"]) == (4, 1)
    assert comparison["accuracy"]["value"] == pytest.approx(1.0 - 0.5)
    assert comparison["mcnemar"] == {"only_first": 0, "only_second": 2, "p_value": 0.5}


def test_what_does_not_go_together(make_run, tmp_path):
    run = make_run("run")
    with pytest.raises(RunError, match="nothing to evaluate"):
        evaluate()
    with pytest.raises(RunError, match="needs at least two runs"):
        evaluate([run], average=True)
    with pytest.raises(RunError, match="has no test scores"):
        evaluate([make_run("untested", scores=None)])
    other = make_run("other", test={f"y{name}": label for name, label in TEST.items()})
    with pytest.raises(DataError, match="run and .*other have no test items in common and cannot be compared"):
        evaluate([run, other], compare=True)
    with pytest.raises(DataError, match="other2 is of different classes"):
        evaluate([run, make_run("other2", class_names=["a", "b", "c", "d"], scores=np.zeros((5, 4)))], compare=True)
    with pytest.raises(DataError, match="disagree about the labels of 1 items"):
        evaluate([run, make_run("other3", test={**TEST, "x1.avi": "b"})], compare=True)
    with pytest.raises(DataError, match="the row of 'x2.avi' holds nan"):
        evaluate([make_run("nan", scores=np.where(SCORES == 0.5, np.nan, SCORES))])
    (tmp_path / "s.csv").write_text(scores_csv(["w"], CLASSES, SCORES[:1]))
    with pytest.raises(DataError, match="No item of .*s.csv has a label.*begin with 'w', the labels with 'x1.avi'"):
        evaluate([run], [tmp_path / "s.csv"])
    with pytest.raises(DataError, match="has no labels to be compared with"):
        evaluate([], [tmp_path / "s.csv"])
    with pytest.raises(ValueError, match="`labels` and `annotations`"):
        evaluate([run], labels="x", annotations="y")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name the columns `id` and `label`"),
        ("name,label\nx,a\n", "must name the columns"),
        ("id,label\nx1,a\nx1,b\n", "has the id 'x1' more than once .line 3."),
    ],
)
def test_bad_files_of_labels(tmp_path, text, message):
    (tmp_path / "s.csv").write_text(scores_csv(["x1"], CLASSES, SCORES[:1]))
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        evaluate([], [tmp_path / "s.csv"], labels=tmp_path / "l.csv")


def test_official_evaluation_of_files(tmp_path):
    predictions = {"x1": [("a", 0.9)], "x2": [("a", 0.8), ("b", 0.4)], "x3": [("a", 0.95)]}
    results = {k: [{"label": n, "score": s} for n, s in v] for k, v in predictions.items()}
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"version": "VERSION 1.3", "results": results, "external_data": {}}))
    result = evaluate_activitynet(path, _annotations(tmp_path), resamples=0)
    # a: x3 (wrong), x1 (right), x2 (wrong) of x1 and x9; b: x2; c and z: none.
    assert result["mean_average_precision"]["value"] == pytest.approx((0.5 / 2 + 1 + 0 + 0) / 4)
    assert (result["hit_at_k"]["value"], result["average_hit_at_k"]["value"]) == (0.5, 0.375)
    (tmp_path / "blocked").write_text("x3\n")
    result = evaluate_activitynet(path, _annotations(tmp_path), blocked=tmp_path / "blocked", top_k=1, resamples=0)
    assert result["mean_average_precision"]["value"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert result["hit_at_k"]["value"] == pytest.approx(1 / 3)


def test_predictions_of_a_run_and_of_a_file(make_run, tmp_path):
    (tmp_path / "run.json").write_text(activitynet_predictions(make_run("run")))
    table = read_scores(tmp_path / "run.json")
    assert dict(zip(table.ids, table.values.tolist(), strict=True)) == {
        name.removesuffix(".avi"): row for name, row in zip(TEST, SCORES.tolist(), strict=True)
    }
    (tmp_path / "s.csv").write_text(scores_csv(list(TEST), CLASSES, OTHER))
    (tmp_path / "file.json").write_text(activitynet_predictions(scores=tmp_path / "s.csv"))
    assert np.array_equal(read_scores(tmp_path / "file.json").values, OTHER)
    for arguments in ({}, {"run": "a", "scores": "b"}):
        with pytest.raises(ValueError, match="of a run or of a file of scores: give one"):
            activitynet_predictions(**arguments)
