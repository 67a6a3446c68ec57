"""What is decided about probabilities, from labels alone, and what a run keeps."""

import json

import numpy as np
import pytest

from keras_fvvae.data import Collection
from keras_fvvae.svm.calibration import Calibration
from keras_fvvae.training.calibration import calibration_record, plan_calibration
from keras_fvvae.training.classification import fit_svm

IMAGE = np.zeros((2, 2, 3), "uint8")


def _collection(labels, groups=None, test=4):
    count = len(labels) + test
    splits = ["train"] * len(labels) + ["test"] * test
    groups = None if groups is None else [*groups, *["t"] * test]
    return Collection([IMAGE] * count, range(count), [*labels, *[0] * test], splits, ["a", "b", "c"], groups=groups)


@pytest.mark.parametrize(
    ("asked", "counts", "method", "why"),
    [
        ("auto", (5, 9), "temperature", ""),
        (
            "auto",
            (4, 9),
            None,
            "needs 5 training images of every class, and 'a' has 4; `--set",
        ),
        ("isotonic", (2, 9), "isotonic", ""),
        ("isotonic", (1, 9), None, "needs 2 training images of every class, and 'a' has 1."),
        ("none", (9, 9), None, "`calibration: none`"),
    ],
)
def test_what_is_decided(asked, counts, method, why):
    plan = plan_calibration(asked, _collection(np.repeat([0, 1], counts)))
    assert plan.method == method
    assert why in plan.why
    left_out = [test for _, test in plan.folds]
    assert len(left_out) == (0 if method is None else min(5, *counts))
    if method:
        assert sorted(np.concatenate(left_out)) == list(range(sum(counts)))


def test_groups_stay_together():
    labels, groups = np.repeat([0, 1], 12), np.arange(24) // 2
    plan = plan_calibration("auto", _collection(labels, groups))
    for train, test in plan.folds:
        assert not set(groups[train]) & set(groups[test])
    whole = plan_calibration("auto", _collection(labels, labels))
    assert whole.method is None
    assert "in one group" in whole.why


@pytest.mark.parametrize("method", ["temperature", "sigmoid"])
def test_record(method):
    """A class without training items is impossible; the record can be read again."""
    labels = np.repeat([0, 2], 10)
    collection = _collection(labels)
    vectors = np.eye(3)[np.append(labels, [0] * 4)] + 0.6 * np.random.default_rng(0).normal(size=(24, 3))
    plan = plan_calibration(method, collection)
    svm = fit_svm(100.0, vectors, collection, plan=plan)
    record = json.loads(json.dumps(calibration_record(plan, svm, collection)))
    assert (record["method"], record["items"], record["folds"]) == (method, 20, 5)
    assert "20 training images, left out in 5 folds" in record["said"]
    kernel, bias = svm.dense_weights(3)
    probabilities = Calibration.from_config(record["calibration"]).probabilities(vectors @ kernel + bias)
    assert (probabilities[:, 1] == 0).all()
    np.testing.assert_allclose(probabilities[:, [0, 2]], svm.predict_proba(vectors), atol=1e-5)
    shares = [one["answered"] for one in record["coverage"]]
    assert shares == sorted(shares, reverse=True)
    assert all(one["answered"] >= one["coverage"] - 0.05 for one in record["coverage"])
    without = plan_calibration("none", collection)
    record = calibration_record(without, fit_svm(100.0, vectors, collection, plan=without), collection)
    assert (record["method"], record["calibration"]) == (None, None)
