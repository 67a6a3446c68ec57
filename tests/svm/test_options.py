"""Raw vectors, candidates of C, probabilities, checkpoints: what `OneVsRestSVM` can do besides fitting an array."""

import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold, cross_val_predict
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_estimator

from keras_fvvae.features import FeatureStore
from keras_fvvae.layers import FisherNormalization
from keras_fvvae.svm import OneVsRestSVM, row_blocks
from keras_fvvae.svm.one_vs_rest import RowBlocks

RAW = {"signed_sqrt": True, "row_l2": True, "block_columns": 64}


def _raw(classes=4, per_class=8, shape=(20, 15), dtype="float32"):
    """Vectors of unequal lengths and columns of unequal scales, in no order of classes."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(classes), per_class))
    values = 0.5 * rng.normal(size=(classes, *shape))[labels] + rng.normal(size=(len(labels), *shape))
    values *= rng.uniform(1, 30, size=shape) * rng.uniform(1, 9, size=(len(labels), 1, 1))
    return values.astype(dtype), labels


def _normalised(raw, scale=1.0):
    flat = raw.reshape(len(raw), -1).astype("float64") * scale
    flat = np.sign(flat) * np.sqrt(np.abs(flat))
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, norms, out=np.zeros_like(flat), where=norms > 0)


# The largest probability and the largest decision value can belong to different classes, as in scikit-learn's SVC.
OTHER_ARGMAX = {"check_classifiers_train": "probabilities are calibrated class by class"}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:Liblinear failed to converge:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("settings", "expected_failures"),
    [
        ({"penalize_intercept": True}, {}),
        (RAW, {}),
        ({"C": (1.0, 100.0), "cv": 2}, {}),
        ({"probability": True, "cv": 2}, OTHER_ARGMAX),
    ],
)
def test_is_a_scikit_learn_estimator(settings, expected_failures):
    check_estimator(OneVsRestSVM(**settings), expected_failed_checks=expected_failures)


def test_penalised_intercept_is_linear_svc():
    X, y = load_digits(return_X_y=True)
    X = X / np.linalg.norm(X, axis=1, keepdims=True)
    reference = LinearSVC(C=1.0, loss="hinge", random_state=0, max_iter=10**4).fit(X[::3], y[::3])
    fitted = OneVsRestSVM(C=1.0, tol=1e-4, penalize_intercept=True).fit(X[::3], y[::3])
    # More samples than columns: the solver sees other columns than LinearSVC, but the same scalar products.
    np.testing.assert_allclose(fitted.decision_function(X), reference.decision_function(X), atol=1e-3)
    assert np.mean(fitted.predict(X) == reference.predict(X)) >= 0.999


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("penalize_intercept", [False, True])
def test_raw_vectors_are_normalised_on_the_way(dtype, penalize_intercept):
    raw, labels = _raw(dtype=dtype)
    raw[:, 3, 4] = 0.0  # a dead column
    raw[5] = 0.0  # a video without features
    before = raw.copy()
    scale = np.random.default_rng(1).uniform(0.1, 2.0, raw.shape[1:])
    settings = {"tol": 1e-8, "penalize_intercept": penalize_intercept}
    expected = OneVsRestSVM(**settings).fit(_normalised(raw, scale.ravel()), labels)
    fitted = OneVsRestSVM(column_scale=scale, **RAW, **settings).fit(raw, labels)
    np.testing.assert_allclose(fitted.coef_, expected.coef_, atol=1e-6)
    np.testing.assert_allclose(fitted.intercept_, expected.intercept_, atol=1e-6)
    decisions = expected.decision_function(_normalised(raw, scale.ravel()))
    np.testing.assert_allclose(fitted.decision_function(raw), decisions, atol=1e-6)
    np.testing.assert_array_equal(raw, before)


def test_the_normalisation_is_that_of_the_layer():
    raw, labels = _raw()
    raw[:, 3, 4] = 0.0
    layer = FisherNormalization()
    layer.adapt(raw)
    scale = layer.scale.numpy()
    fitted = OneVsRestSVM(tol=1e-8, column_scale=scale, **RAW).fit(raw, labels)
    kernel, bias = fitted.dense_weights(4)
    vectors = np.array(layer(raw)).reshape(len(raw), -1)
    np.testing.assert_allclose(vectors @ kernel + bias, fitted.decision_function(raw), atol=1e-4)
    assert clone(fitted).column_scale is not None


def test_rows_on_disk(tmp_path):
    raw, labels = _raw(dtype="float16")
    store = FeatureStore(tmp_path, {})
    for row, values in enumerate(raw):
        store.add(f"{row:02d}", values[np.newaxis])
        if row % 10 == 9:
            store.flush()
    store.flush()
    blocks = RowBlocks([store[key] for key in store])
    expected = OneVsRestSVM(**RAW).fit(raw, labels)
    fitted = OneVsRestSVM(**RAW).fit(blocks, labels)
    np.testing.assert_array_equal(fitted.coef_, expected.coef_)
    np.testing.assert_array_equal(fitted.decision_function(blocks), expected.decision_function(raw))
    assert fitted.n_features_in_ == 300
    with pytest.raises(ValueError, match="X has 150 features, but OneVsRestSVM is expecting 300"):
        fitted.predict(RowBlocks([raw[:, :10]]))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        OneVsRestSVM().fit(blocks, labels[:-1])


def test_candidates_of_c_are_those_of_a_grid_search():
    raw, labels = _raw(per_class=6)
    X = _normalised(raw)
    candidates = [100.0, 1e-3, 1.0]
    search = GridSearchCV(OneVsRestSVM(), {"C": sorted(candidates)}, cv=3).fit(X, labels)
    fitted = OneVsRestSVM(C=candidates, cv=3).fit(X, labels)
    expected = [search.cv_results_[f"split{fold}_test_score"] for fold in range(3)]
    np.testing.assert_allclose(fitted.cv_scores_, np.transpose(expected))
    assert search.best_params_["C"] == fitted.C_
    np.testing.assert_array_equal(fitted.coef_, OneVsRestSVM(C=fitted.C_).fit(X, labels).coef_)


def test_the_smallest_of_equal_candidates():
    X, labels = np.repeat(np.eye(2), 5, axis=0), np.repeat([0, 1], 5)
    assert OneVsRestSVM(C=[10.0, 5.0, 20.0]).fit(X, labels).C_ == 5.0


def test_folds_that_keep_groups_together():
    raw, labels = _raw()
    groups = np.arange(len(labels)) % 5
    splits = list(GroupKFold(3).split(raw, labels, groups))
    fitted = OneVsRestSVM(C=[1.0, 10.0], cv=splits, **RAW).fit(raw, labels)
    for fold, (train, test) in enumerate(splits):
        one = OneVsRestSVM(C=1.0, **RAW).fit(raw[train], labels[train])
        assert fitted.cv_scores_[0, fold] == one.score(raw[test], labels[test])


def test_splits_are_positions_in_any_order_or_masks():
    raw, labels = _raw()
    splits = list(StratifiedKFold(3).split(raw, labels))
    shuffled = [(train[::-1], test[::-1]) for train, test in splits]
    masks = [tuple(np.isin(np.arange(len(labels)), part) for part in pair) for pair in splits]
    expected, *others = [
        OneVsRestSVM(C=[0.01, 100.0], probability=True, cv=cv, **RAW).fit(raw, labels)
        for cv in (splits, shuffled, masks)
    ]
    for fitted in others:
        np.testing.assert_array_equal(fitted.cv_scores_, expected.cv_scores_)
        np.testing.assert_array_equal(fitted.cv_decisions_, expected.cv_decisions_)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_those_of_scikit_learns_calibration(classes):
    raw, labels = _raw(classes=classes, per_class=15)
    X = _normalised(raw)
    folds = StratifiedKFold(3)
    reference = CalibratedClassifierCV(OneVsRestSVM(), method="sigmoid", cv=folds, ensemble=False).fit(X, labels)
    fitted = OneVsRestSVM(probability=True, cv=folds).fit(X, labels)
    probabilities = fitted.predict_proba(X)
    np.testing.assert_allclose(probabilities, reference.predict_proba(X), atol=1e-3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    left_out = cross_val_predict(OneVsRestSVM(), X, labels, cv=folds, method="decision_function")
    assert fitted.sigmoids_.shape == (1 if classes == 2 else classes, 2)
    assert (fitted.sigmoids_[:, 0] > 0).all()
    assert np.isfinite(left_out).all()


def test_probabilities_only_where_they_were_asked_for():
    raw, labels = _raw()
    fitted = OneVsRestSVM().fit(raw, labels)
    assert not hasattr(fitted, "predict_proba")
    assert not hasattr(fitted, "sigmoids_")
    assert not hasattr(fitted, "cv_scores_")


def _without(labels, kept):
    """Labels with `kept` samples of class 2; the others become class 0."""
    changed = labels.copy()
    changed[np.flatnonzero(labels == 2)[kept:]] = 0
    return changed


@pytest.mark.parametrize("settings", [{"probability": True}, {"C": [1.0, 2.0]}])
def test_fewer_samples_than_folds(settings):
    raw, labels = _raw()
    with pytest.raises(ValueError, match="Class 2 has 3 samples, fewer than the 5 folds of `cv`; use fewer"):
        OneVsRestSVM(**settings).fit(raw, _without(labels, 3))
    OneVsRestSVM(cv=3, **settings).fit(raw, _without(labels, 3))
    single = np.flatnonzero(labels == 2)[:1]
    others = np.setdiff1d(np.arange(len(labels)), single)
    fitted_to_all = np.union1d(others[::2], single)
    splitted = OneVsRestSVM(cv=[(fitted_to_all, others[1::2]), (others, single)], **settings)
    with pytest.raises(ValueError, match="The training part of fold 1 of `cv` has no sample of class 2"):
        splitted.fit(raw, _without(labels, 1))


@pytest.mark.parametrize("C", [[], [1.0, -1.0], [0.0], float("inf"), [1.0, float("nan")]])
def test_wrong_candidates(C):
    with pytest.raises(ValueError, match="`C` must be positive. Received: C="):
        OneVsRestSVM(C=C).fit(*_raw())


@pytest.mark.parametrize("scale", [np.ones(299), np.full(300, np.nan)])
def test_wrong_scale(scale):
    with pytest.raises(ValueError, match="`column_scale` must hold 300 finite factors, one per column. Received: "):
        OneVsRestSVM(column_scale=scale).fit(*_raw())


def test_no_columns():
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        OneVsRestSVM().fit(np.zeros((4, 0)), [0, 1, 0, 1])


def test_constant_columns_and_zero_rows_make_finite_weights():
    raw, labels = _raw()
    raw[:, :10] = 7.0
    raw[labels == 1] = 0.0
    fitted = OneVsRestSVM(**RAW).fit(raw, labels)
    assert np.isfinite(fitted.coef_).all()
    assert np.isfinite(fitted.decision_function(raw)).all()
    fitted = OneVsRestSVM().fit(np.zeros((4, 3)), [0, 1, 0, 1])
    np.testing.assert_array_equal(fitted.coef_, np.zeros((1, 3)))


def test_the_row_that_is_not_finite_is_named():
    raw, labels = _raw()
    raw[6, 2, 1] = np.nan
    with pytest.raises(ValueError, match="`X` holds NaN or infinity: row 6"):
        OneVsRestSVM(**RAW).fit(raw, labels)


KILLED = """
import os, signal, sys
import numpy as np
from keras_fvvae.svm import dual, row_blocks
from keras_fvvae.svm import OneVsRestSVM

owner, name = (row_blocks.ColumnReader, "_read") if sys.argv[2] == "gram" else (dual, "_libsvm")
whole, left = getattr(owner, name), [3]

def killing(*arguments):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*arguments)

setattr(owner, name, killing)
data = np.load(sys.argv[1] + "/data.npz")
settings = {"signed_sqrt": True, "row_l2": True, "C": [1.0, 10.0], "cv": 2, "probability": True}
settings |= {"checkpoint_seconds": 0, "block_columns": 64}
OneVsRestSVM(checkpoint=sys.argv[1] + "/checkpoint", **settings).fit(data["raw"], data["labels"])
"""


@pytest.mark.parametrize("during", ["gram", "duals"])
def test_killed_and_continued_is_the_same_to_the_bit(tmp_path, monkeypatch, during):
    raw, labels = _raw()
    np.savez(tmp_path / "data.npz", raw=raw, labels=labels)
    result = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), during], check=False)
    assert result.returncode == -signal.SIGKILL
    kept = {path.name.split("-")[0] for path in (tmp_path / "checkpoint").iterdir()}
    assert kept == ({"gram"} if during == "gram" else {"gram", "duals"})
    settings = {**RAW, "C": [1.0, 10.0], "cv": 2, "probability": True}
    expected = OneVsRestSVM(**settings).fit(raw, labels)

    read, seen = row_blocks.ColumnReader._read, []

    def counted(self, columns, values):
        seen.append(columns.start)
        read(self, columns, values)

    monkeypatch.setattr(row_blocks.ColumnReader, "_read", counted)
    resumed = OneVsRestSVM(checkpoint=tmp_path / "checkpoint", **settings).fit(raw, labels)
    for name in ("coef_", "intercept_", "sigmoids_", "cv_scores_"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(expected, name))
    weights = [0, 64, 128, 192, 256]
    assert seen == ([192, 256, *weights] if during == "gram" else weights)


def test_another_c_finds_the_same_gram_matrix(tmp_path, monkeypatch):
    raw, labels = _raw()
    OneVsRestSVM(checkpoint=tmp_path, **RAW).fit(raw, labels)
    names = {path.name for path in tmp_path.glob("gram-*")}
    for settings in (RAW, {**RAW, "row_l2": False}):
        fitted = OneVsRestSVM(C=1.0, checkpoint=tmp_path, **settings).fit(raw, labels)
        expected = OneVsRestSVM(C=1.0, **settings).fit(raw, labels)
        np.testing.assert_array_equal(fitted.coef_, expected.coef_)
    assert {path.name for path in tmp_path.glob("gram-*")} == names


@pytest.mark.parametrize("change", ["value", "label", "zero"])
def test_any_change_of_the_data_begins_anew(tmp_path, change):
    raw, labels = _raw()
    raw[2, 7, 7] = 0.0
    settings = {**RAW, "checkpoint": tmp_path}
    OneVsRestSVM(**settings).fit(raw, labels)
    if change == "value":
        raw[19, 11, 13] += 100.0
    elif change == "label":
        labels[[0, np.flatnonzero(labels != labels[0])[0]]] = labels[[np.flatnonzero(labels != labels[0])[0], 0]]
    else:
        raw[:, 7, 7] = 0.0
    fitted = OneVsRestSVM(**settings).fit(raw, labels)
    np.testing.assert_array_equal(fitted.coef_, OneVsRestSVM(**RAW).fit(raw, labels).coef_)


@pytest.mark.parametrize("kind", [tf.constant, list, np.asfortranarray])
def test_vectors_of_layers(kind):
    raw, labels = _raw()
    expected = OneVsRestSVM(**RAW).fit(raw.reshape(len(raw), -1), labels)
    X = kind(raw)
    if kind is np.asfortranarray:
        with pytest.raises(TypeError, match="must be contiguous beyond its first dimension"):
            OneVsRestSVM(**RAW).fit(X, labels)
        return
    fitted = OneVsRestSVM(**RAW).fit(X, labels)
    np.testing.assert_array_equal(fitted.coef_, expected.coef_)
    np.testing.assert_array_equal(fitted.predict(X), expected.predict(raw.reshape(len(raw), -1)))


def test_nested_lists_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="Found array with dim 3"):
        OneVsRestSVM().fit([[[1.0], [2.0]], [[3.0], [4.0]]], [0, 1])
