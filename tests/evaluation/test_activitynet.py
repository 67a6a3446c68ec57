"""ActivityNet's official evaluation against a loop over its rules, and on its sample file; formats and bad files."""

import json
import math

import numpy as np
import pytest

from keras_fvvae.errors import DataError
from keras_fvvae.evaluation.activitynet import (
    evaluate_predictions,
    predictions_text,
    read_blocked,
    read_label_sets,
    read_predictions,
    write_predictions,
)

CLASSES = ["Ballet", "Surfing", "Kneeling", "Hurling", "Tumbling"]


def _official(predictions, label_sets, top_k=3):
    """The official rules in plain loops: mean average precision, hit@k and average hit@k."""
    precisions = []
    for label in {label for labels in label_sets.values() for label in labels}:
        rows = [(video, s) for video, results in predictions.items() for name, s in results if name == label]
        rows = sorted(rows, key=lambda row: row[1])[::-1]  # stable, then reversed: of equal scores the last first
        positives = sum(label in labels for labels in label_sets.values())
        found, right, wrong, curve = set(), 0, 0, []
        for video, _ in rows:
            if label in label_sets.get(video, ()) and video not in found:
                found.add(video)
                right += 1
            else:
                wrong += 1
            curve.append((right / positives, right / (right + wrong)))
        area, before = 0.0, 0.0
        for rank, (recall, _) in enumerate(curve):
            area += (recall - before) * max(precision for _, precision in curve[rank:])
            before = recall
        precisions.append(area)
    shares = []
    for video, labels in label_sets.items():
        best = [name for name, _ in sorted(predictions.get(video, ()), key=lambda row: row[1])[::-1][:top_k]]
        shares.append(sum(label in best for label in labels) / len(labels))
    return np.mean(precisions), np.mean([math.ceil(share) for share in shares]), np.mean(shares)


def _random(decimals, seed=0):
    """Annotations with up to three labels; predictions with duplicates, some videos missing, some not annotated."""
    rng = np.random.default_rng(seed)
    label_sets = {f"video{i}": list(rng.choice(CLASSES, rng.integers(1, 4), replace=False)) for i in range(40)}
    videos = [*list(label_sets)[5:], "unknown1", "unknown2"]
    predictions = {
        video: [(label, round(float(rng.random()), decimals)) for label in rng.choice(CLASSES, rng.integers(0, 8))]
        for video in rng.permutation(videos)
    }
    return predictions, label_sets


@pytest.mark.parametrize("top_k", [1, 3])
@pytest.mark.parametrize("decimals", [9, 1], ids=["different scores", "many equal scores"])
def test_agrees_with_the_official_rules(decimals, top_k):
    for seed in range(5):
        predictions, label_sets = _random(decimals, seed)
        result = evaluate_predictions(predictions, label_sets, top_k=top_k, resamples=0)
        values = [result[key]["value"] for key in ("mean_average_precision", "hit_at_k", "average_hit_at_k")]
        assert values == pytest.approx(_official(predictions, label_sets, top_k), abs=1e-12)
        low, high = result["tie_range"]
        assert low - 1e-12 <= values[0] <= high + 1e-12
        assert (low < high) == (decimals == 1)


def test_counts():
    predictions, label_sets = _random(9)
    result = evaluate_predictions(predictions, label_sets, resamples=0)
    assert (result["videos"], result["not_annotated"], result["not_predicted"]) == (40, 2, 5)
    assert result["instances"] == sum(len(labels) for labels in label_sets.values())
    assert result["predictions"] == sum(len(results) for results in predictions.values())


def test_intervals_are_of_repeated_videos():
    """A resample is the evaluation of a set in which videos are there several times."""
    predictions, label_sets = _random(9)
    result = evaluate_predictions(predictions, label_sets, resamples=400)
    rng, values = np.random.default_rng(7), []
    for _ in range(400):
        drawn = rng.choice(sorted(label_sets), len(label_sets))
        labels = {f"{video}#{i}": label_sets[video] for i, video in enumerate(drawn)}
        copies = {f"{video}#{i}": predictions.get(video, []) for i, video in enumerate(drawn)}
        copies |= {video: predictions[video] for video in ("unknown1", "unknown2")}
        values.append(_official(copies, labels)[0])
    low, high = np.quantile(values, [0.025, 0.975])
    assert result["mean_average_precision"]["low"] == pytest.approx(low, abs=0.015)
    assert result["mean_average_precision"]["high"] == pytest.approx(high, abs=0.015)
    assert high - low > 0.08


def test_the_ceiling_is_per_video():
    label_sets = {"a": ["Ballet", "Surfing"], "b": ["Ballet"]}
    predictions = {"a": [("Surfing", 0.9), ("Hurling", 0.1)], "b": [("Surfing", 0.9)]}
    label_sets["c"] = ["Hurling"]
    result = evaluate_predictions(predictions, label_sets, resamples=0)
    assert result["hit_at_k"]["value"] == pytest.approx(1 / 3)
    assert result["average_hit_at_k"]["value"] == pytest.approx(0.5 / 3)


def test_a_video_that_is_predicted_twice_for_a_label():
    result = evaluate_predictions(
        {"a": [("Ballet", 0.9), ("Ballet", 0.8)], "b": [("Ballet", 0.7)]},
        {"a": ["Ballet"], "b": ["Ballet"]},
        resamples=0,
    )
    assert result["mean_average_precision"]["value"] == pytest.approx((1 + 2 / 3) / 2)


def test_blocked_videos_are_left_out_of_both():
    label_sets = {"a": ["Ballet"], "b": ["Ballet"], "c": ["Surfing"]}
    predictions = {"a": [("Ballet", 0.5)], "b": [("Surfing", 0.9)], "c": [("Surfing", 0.3)]}
    assert evaluate_predictions(predictions, label_sets, resamples=0)["mean_average_precision"]["value"] == 0.5
    result = evaluate_predictions(predictions, label_sets, blocked={"b"}, resamples=0)
    assert result["mean_average_precision"]["value"] == 1.0
    assert result["videos"] == 2


@pytest.mark.parametrize("text", ['["v_QOlSCBRmfWY", "-abcdefghij"]', "QOlSCBRmfWY\n-abcdefghij\n"])
def test_lists_of_blocked_videos(tmp_path, text):
    (tmp_path / "blocked").write_text(text)
    assert read_blocked(tmp_path / "blocked") == {"QOlSCBRmfWY", "-abcdefghij"}


def test_sample_file(shared):
    """0.9755815776705364 and 1.0 are what the official evaluation gave on these two files, run once by hand.

    All scores of the sample are 1: the order of the file decides.
    """
    folder = shared / "data" / "activitynet"
    if not folder.is_dir():
        pytest.skip("needs the annotations of ActivityNet")
    label_sets = read_label_sets(folder / "anet_anno_action.json")
    predictions = read_predictions(folder / "sample_classification_prediction.json")
    result = evaluate_predictions(predictions, label_sets, resamples=0)
    assert result["mean_average_precision"]["value"] == pytest.approx(0.9755815776705364, abs=1e-12)
    assert result["hit_at_k"]["value"] == result["average_hit_at_k"]["value"] == 1.0
    assert (result["videos"], result["instances"], result["predictions"]) == (4728, 4734, 4933)
    assert (result["not_annotated"], result["not_predicted"]) == (198, 0)


def _annotations(tmp_path):
    segment = {"segment": [0, 5]}
    database = {
        "QOlSCBRmfWY": {"subset": "validation", "annotations": [{"label": "Ballet", **segment}] * 2},
        "wONwHYy59Tc": {
            "subset": "validation",
            "annotations": [{"label": "Surfing", **segment}, {"label": "Ballet", **segment}],
        },
        "JDg--pjY5gg": {"subset": "training", "annotations": [{"label": "Hurling", **segment}]},
        "vD9oh7NZ2PA": {"subset": "testing", "annotations": []},
    }
    path = tmp_path / "activity_net.v1-3.min.json"
    path.write_text(json.dumps({"version": "VERSION 1.3", "taxonomy": [], "database": database}))
    return path


def test_label_sets(tmp_path):
    assert read_label_sets(_annotations(tmp_path)) == {"QOlSCBRmfWY": ["Ballet"], "wONwHYy59Tc": ["Surfing", "Ballet"]}
    with pytest.raises(DataError, match="of the subset 'testing' and has a label; its subsets are 'testing', 'train"):
        read_label_sets(_annotations(tmp_path), "testing")


def test_what_is_written_is_evaluated_to_the_same(tmp_path):
    rng = np.random.default_rng(0)
    ids = [f"v_{'x' * 10}{i}" for i in range(10)]
    scores = rng.normal(size=(10, 5))
    write_predictions(tmp_path / "p.json", ids, CLASSES, scores, {"used": False, "details": "none"})
    content = json.loads((tmp_path / "p.json").read_text())
    assert list(content) == ["version", "results", "external_data"]
    assert content["version"] == "VERSION 1.3"
    assert content["external_data"] == {"used": False, "details": "none"}
    first = content["results"]["xxxxxxxxxx0"]
    assert [row["score"] for row in first] == sorted(scores[0].tolist(), reverse=True)
    assert first[0]["label"] == CLASSES[scores[0].argmax()]
    label_sets = {f"{'x' * 10}{i}": [CLASSES[i % 5]] for i in range(10)}
    result = evaluate_predictions(read_predictions(tmp_path / "p.json"), label_sets, top_k=2, resamples=0)
    truth = np.eye(5, dtype=bool)[np.arange(10) % 5]
    top = np.argsort(-scores, axis=1)[:, :2]
    assert result["hit_at_k"]["value"] == pytest.approx(np.take_along_axis(truth, top, 1).any(axis=1).mean())


@pytest.mark.parametrize("scores", [[[np.nan, 0]], [[0, np.inf]], [[0]]], ids=str)
def test_scores_that_cannot_be_written(scores):
    with pytest.raises(ValueError, match="`scores` must be finite and of shape"):
        predictions_text(["a"], ["x", "y"], scores)
    with pytest.raises(ValueError, match="`ids` must be unique"):
        predictions_text(["v_a", "a"], ["x"], [[0], [1]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no predictions of ActivityNet"),
        ("3", "holds no predictions of ActivityNet"),
        ('{"results": {}}', "holds no predictions of ActivityNet"),
        ('{"version": "", "results": [], "external_data": {}}', "holds no predictions of ActivityNet"),
        ('{"version": "", "results": {"a": [{"label": "x"}]}, "external_data": {}}', "the predictions of 'a' must be"),
        ('{"version": "", "results": {"a": 3}, "external_data": {}}', "the predictions of 'a' must be"),
        ('{"version": "", "results": {"a": [{"label": "x", "score": NaN}]}, "external_data": {}}', "is nan; it must"),
        ('{"version": "", "results": {"a": [], "b": [], "a": []}, "external_data": {}}', "names 'a' twice"),
    ],
)
def test_bad_files_of_predictions(tmp_path, text, message):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_predictions(tmp_path / "p.json")


def test_predictions_that_do_not_go_with_the_annotations():
    with pytest.raises(DataError, match="Predictions of 'a': Unknown label 'Balet'; did you mean 'Ballet'"):
        evaluate_predictions({"a": [("Balet", 0.5)]}, {"a": ["Ballet"]})
    with pytest.raises(DataError, match="No video is both annotated and predicted"):
        evaluate_predictions({"b": [("Ballet", 0.5)]}, {"a": ["Ballet"]})
    with pytest.raises(DataError, match="predicted twice, with `v_`"):
        evaluate_predictions({"a": [], "v_a": []}, {"a": ["Ballet"]})
    with pytest.raises(ValueError, match="`top_k` must be positive"):
        evaluate_predictions({"a": [("Ballet", 0.5)]}, {"a": ["Ballet"]}, top_k=0)
