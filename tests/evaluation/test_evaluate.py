"""All metrics of scores: against scikit-learn and by hand; and what is refused."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, top_k_accuracy_score

from keras_fvvae.evaluation.evaluate import compare_scores, evaluate_scores, evaluate_views
from keras_fvvae.evaluation.intervals import wilson_interval

NAMES = [f"class {index}" for index in range(7)]


def _scores(items=60, seed=0):
    """Six of seven classes are tested, unevenly."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(6, items, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.1])
    return rng.normal(size=(items, 7)) + 1.5 * np.eye(7)[labels], labels


def test_agrees_with_scikit_learn():
    scores, labels = _scores()
    result = evaluate_scores(scores, labels, NAMES, top_k=[2, 5], resamples=50)
    predicted = scores.argmax(axis=1)
    assert result["accuracy"]["value"] == pytest.approx(accuracy_score(labels, predicted))
    for k in (2, 5):
        expected = top_k_accuracy_score(labels, scores, k=k, labels=range(7))
        assert result[f"top{k}_accuracy"]["value"] == pytest.approx(expected)
    expected = np.diag(confusion_matrix(labels, predicted, labels=range(7), normalize="true"))[:6]
    assert [each["value"] for each in result["class_accuracy"].values()] == pytest.approx(expected)
    assert result["mean_class_accuracy"]["value"] == pytest.approx(expected.mean())
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert result["mean_class_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert result["confusion"] == confusion_matrix(labels, predicted, labels=range(7)).tolist()
    assert (result["items"], result["tested_classes"]) == (60, 6)
    precisions = [each["value"] for each in result["average_precision"].values()]
    assert list(result["average_precision"]) == NAMES[:6]
    assert result["mean_average_precision"]["value"] == pytest.approx(np.mean(precisions))
    assert json.loads(json.dumps(result)) == result


def test_every_interval_holds_its_value():
    result = evaluate_scores(*_scores(), NAMES, resamples=300)
    for name in ("accuracy", "top3_accuracy", "top5_accuracy", "mean_class_accuracy"):
        each = result[name]
        assert each["low"] < each["value"] < each["high"], name
    for each in result["class_accuracy"].values():
        assert each["low"] <= each["value"] <= each["high"]
    assert result["bootstrap"] == {"resamples": 300, "level": 0.95, "seed": 0, "stratified": False}


def test_intervals_of_shares_are_wilsons():
    scores, labels = _scores(items=90)
    result = evaluate_scores(scores, labels, NAMES, resamples=0, level=0.9)
    for name in ("accuracy", "top3_accuracy", "top5_accuracy"):
        each = result[name]
        assert (each["low"], each["high"]) == wilson_interval(each["value"], 90, 0.9)
    each, count = result["class_accuracy"]["class 2"], int((labels == 2).sum())
    assert (each["low"], each["high"]) == wilson_interval(each["value"], count, 0.9)
    assert result["mean_class_accuracy"]["low"] is None


def test_all_right_is_not_certain():
    each = evaluate_scores(np.eye(3), [0, 1, 2], NAMES[:3])["accuracy"]
    assert each == {"value": 1.0, "low": pytest.approx(0.4385, abs=1e-4), "high": 1.0}


def test_strata_are_the_classes():
    """Classes of which nothing varies: all negatives before the positives of class 0."""
    scores = np.stack([np.arange(8.0), np.zeros(8)], axis=1)
    labels = [0, 1, 1, 1, 1, 1, 1, 1]
    free, fixed = (
        evaluate_scores(scores, labels, NAMES[:2], stratified=stratified)["average_precision"]["class 0"]
        for stratified in (False, True)
    )
    assert free["low"] < free["high"]
    assert fixed["low"] == fixed["value"] == fixed["high"] == 0.125


def test_several_labels_by_hand():
    scores = [[3, 2, 1], [3, 2, 1], [1, 2, 3]]
    result = evaluate_scores(scores, [{0, 2}, {1}, {1, 2}], ["a", "b", "c"], top_k=[2], resamples=0)
    assert result["accuracy"]["value"] == pytest.approx(2 / 3)
    assert result["top2_accuracy"]["value"] == 1.0  # the ceiling
    assert result["average_hit_1"]["value"] == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert result["average_hit_2"]["value"] == pytest.approx((0.5 + 1 + 1) / 3)
    # a: items 1, 0, 2 in this order (of equal scores the last first), item 0 right; b: 2, 1, 0, two right; c: 2, 1, 0.
    precisions = [each["value"] for each in result["average_precision"].values()]
    assert precisions == pytest.approx([1 / 2, 1, (1 + 2 / 3) / 2])
    assert result["mean_average_precision"]["low"] is None
    assert (result["accuracy"]["low"], result["accuracy"]["high"]) == wilson_interval(2 / 3, 3)
    assert result["average_hit_1"]["low"] is None
    assert "confusion" not in result


def test_views_and_items():
    scores, labels = _scores(items=40)
    rng = np.random.default_rng(1)
    owners = np.repeat(np.arange(40), rng.integers(1, 5, 40))
    views = scores[owners] + rng.normal(size=(len(owners), 7))
    shuffled = rng.permutation(len(owners))
    result = evaluate_views(views[shuffled], owners[shuffled], labels, NAMES, resamples=100)
    means = np.stack([views[owners == item].mean(axis=0) for item in range(40)])
    assert result["items"] == evaluate_scores(means, labels, NAMES, resamples=100)
    expected = accuracy_score(labels[owners], views.argmax(axis=1))
    assert result["views"]["accuracy"]["value"] == pytest.approx(expected)
    assert (result["views"]["items"], result["items"]["items"]) == (len(owners), 40)
    assert sum(map(sum, result["views"]["confusion"])) == len(owners)


def test_views_of_an_item_are_drawn_together():
    """A hundred equal views are no more evidence than one."""
    scores, labels = _scores(items=40)
    once = evaluate_scores(scores, labels, NAMES)
    views = evaluate_views(np.repeat(scores, 100, axis=0), np.repeat(np.arange(40), 100), labels, NAMES)["views"]
    for name in ("accuracy", "mean_class_accuracy", "mean_average_precision"):
        assert views[name] == pytest.approx(once[name]), name


@pytest.mark.parametrize("owners", [[0, 0], [0, 1, 3], [0, 1, 1, 2]], ids=str)
def test_owners_that_do_not_go_with_the_views(owners):
    with pytest.raises(ValueError, match="`owners` must name one of 3 items for each of 3 views"):
        evaluate_views(np.zeros((3, 7)), owners, [0, 1, 2], NAMES)


def test_views_that_are_not_finite():
    with pytest.raises(ValueError, match="`scores` must be finite"):
        evaluate_views([[np.inf, 0.0], [-np.inf, 0.0]], [0, 0], [0], ["a", "b"])


def test_comparison():
    scores, labels = _scores()
    better = scores + np.eye(7)[labels]
    result = compare_scores(scores, better, labels, NAMES)
    values = [evaluate_scores(each, labels, NAMES, resamples=0) for each in (scores, better)]
    for name in ("accuracy", "mean_average_precision"):
        assert result[name]["value"] == pytest.approx(values[1][name]["value"] - values[0][name]["value"])
        assert 0 < result[name]["low"] < result[name]["high"]
    assert result["mcnemar"]["only_first"] == 0
    assert result["mcnemar"]["p_value"] < 0.01


def test_comparison_is_paired():
    """One item of 400 differs: the interval is that of one item, far below the two accuracies' own."""
    scores, labels = _scores(items=400)
    other = scores.copy()
    right = int(np.flatnonzero(scores.argmax(axis=1) == labels)[0])
    other[right, labels[right]] = -9
    result = compare_scores(scores, other, labels, NAMES)["accuracy"]
    assert result["value"] == pytest.approx(-1 / 400)
    assert -4 / 400 <= result["low"] <= result["high"] <= 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite(bad):
    scores, labels = _scores()
    scores[3, 1] = bad
    with pytest.raises(ValueError, match=f"`scores` must be finite. Received: {bad} for item 3, class 1"):
        evaluate_scores(scores, labels, NAMES)


@pytest.mark.parametrize("label", [-1, 7, [], [2, 9], 1.5], ids=str)
def test_labels_that_are_no_classes(label):
    with pytest.raises(ValueError, match="`labels` must be integers from 0 to 6.*for item 1"):
        evaluate_scores(np.zeros((2, 7)), [0, label], NAMES)


def test_shapes_that_differ():
    with pytest.raises(ValueError, match=r"`scores` must be \(items, classes\) = \(3, 7\)"):
        evaluate_scores(np.zeros((3, 6)), [0, 1, 2], NAMES)
    with pytest.raises(ValueError, match="There are no items to evaluate"):
        evaluate_scores(np.zeros((0, 7)), [], NAMES)
    with pytest.raises(ValueError, match="`k` must be positive"):
        evaluate_scores(np.zeros((1, 7)), [0], NAMES, top_k=[0])


def test_a_constant_column_and_one_class():
    """A class that was not trained has one score for all; and a test set may hold one class alone."""
    scores = np.array([[0.5, -1e9], [-0.5, -1e9]])
    assert evaluate_scores(scores, [0, 0], ["a", "b"], resamples=10)["accuracy"]["value"] == 1.0
    assert evaluate_scores(scores, [0, 1], ["a", "b"], resamples=10)["class_accuracy"]["b"]["value"] == 0.0
