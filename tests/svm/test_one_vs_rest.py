import tracemalloc

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.estimator_checks import check_estimator

from keras_fvvae.svm import UNSEEN_SCORE, OneVsRestSVM


def _blobs(classes=4, per_class=6, features=300, dtype="float64"):
    """Separable clusters of unit length in more dimensions than there are samples, unequal in number."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), np.arange(per_class, per_class + classes))
    centres = rng.normal(size=(classes, features))
    samples = centres[labels] + 0.8 * rng.normal(size=(len(labels), features))
    return (samples / np.linalg.norm(samples, axis=1, keepdims=True)).astype(dtype), labels


def _test_samples(classes=4, features=300):
    samples, _ = _blobs(classes, 6, features)
    return samples + 0.05 * np.random.default_rng(1).normal(size=samples.shape)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_is_a_scikit_learn_estimator():
    check_estimator(OneVsRestSVM())


@pytest.mark.parametrize("C", [0.5, 100.0])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_decisions_are_those_of_one_svc_per_class(classes, C):
    samples, labels = _blobs(classes)
    fitted = OneVsRestSVM(C=C, tol=1e-8).fit(samples, labels)
    positives = [1] if classes == 2 else range(classes)
    reference = [SVC(C=C, kernel="linear", tol=1e-8).fit(samples, labels == positive) for positive in positives]
    for name, tolerance in (("coef_", 1e-5), ("intercept_", 1e-5)):
        expected = np.concatenate([getattr(one, name) for one in reference])
        np.testing.assert_allclose(getattr(fitted, name), expected, atol=tolerance)
    expected = np.stack([one.decision_function(_test_samples(classes)) for one in reference], axis=1)
    decisions = fitted.decision_function(_test_samples(classes))
    np.testing.assert_allclose(decisions, expected[:, 0] if classes == 2 else expected, atol=1e-5)


def test_samples_far_from_the_origin():
    """Their scalar products differ in the seventh digit: a Gram matrix in float32 would hold noise."""
    samples, labels = _blobs(3)
    far = samples + 50.0
    fitted = OneVsRestSVM(C=1.0, tol=1e-8).fit(far, labels)
    reference = [SVC(C=1.0, kernel="linear", tol=1e-8).fit(far, labels == positive) for positive in range(3)]
    expected = np.stack([one.decision_function(far) for one in reference], axis=1)
    np.testing.assert_allclose(fitted.decision_function(far), expected, atol=1e-4)


def test_decisions_are_those_of_linear_svc():
    """With a large `intercept_scaling` its penalty on the intercept goes away."""
    samples, labels = _blobs()
    reference = LinearSVC(C=1.0, loss="hinge", intercept_scaling=10.0, tol=1e-5, max_iter=10**5).fit(samples, labels)
    fitted = OneVsRestSVM(C=1.0, tol=1e-7).fit(samples, labels)
    np.testing.assert_allclose(
        fitted.decision_function(_test_samples()), reference.decision_function(_test_samples()), atol=2e-3
    )


def test_predicts_held_out_samples_and_names_classes_as_they_were_given():
    samples, labels = _blobs()
    names = np.array(["hen", "ant", "cow", "bee"])[labels]
    fitted = OneVsRestSVM().fit(samples, names)
    assert fitted.classes_.tolist() == ["ant", "bee", "cow", "hen"]
    assert fitted.coef_.shape == (4, 300)
    assert fitted.score(_test_samples(), names) == 1.0


def test_two_classes():
    samples, labels = _blobs(2)
    fitted = OneVsRestSVM().fit(samples, labels)
    decisions = fitted.decision_function(samples)
    assert decisions.shape == (len(samples),)
    assert fitted.coef_.shape == (1, 300)
    np.testing.assert_array_equal(decisions > 0, labels == 1)
    np.testing.assert_array_equal(fitted.predict(samples), labels)


def test_more_columns_than_a_block():
    samples, labels = _blobs()
    whole = OneVsRestSVM(tol=1e-8).fit(samples, labels)
    blocks = OneVsRestSVM(tol=1e-8, block_columns=64).fit(samples, labels)  # 300 = 4 * 64 + 44
    np.testing.assert_allclose(blocks.coef_, whole.coef_, atol=1e-7)


def test_memory_map(tmp_path):
    samples, labels = _blobs(dtype="float32")
    np.save(tmp_path / "vectors.npy", samples)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    fitted, expected = OneVsRestSVM().fit(mapped, labels), OneVsRestSVM().fit(samples, labels)
    np.testing.assert_array_equal(fitted.coef_, expected.coef_)
    np.testing.assert_array_equal(fitted.decision_function(mapped), expected.decision_function(samples))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_never_copies_the_samples(dtype):
    """What makes vectors larger than the memory possible: neither whole nor, wider still, in float64."""
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(48, 2**17)).astype(dtype)
    labels = np.arange(48) % 2
    tracemalloc.start()
    OneVsRestSVM().fit(samples, labels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * samples.nbytes


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float16", 2e-2)])
def test_narrow_samples_are_solved_in_float64(dtype, tolerance):
    samples, labels = _blobs()
    narrow = samples.astype(dtype)
    fitted, rounded = (OneVsRestSVM(tol=1e-8).fit(one, labels) for one in (narrow, narrow.astype("float64")))
    np.testing.assert_allclose(fitted.coef_, rounded.coef_, rtol=0, atol=1e-9)
    exact = OneVsRestSVM(tol=1e-8).fit(samples, labels)
    np.testing.assert_allclose(fitted.decision_function(narrow), exact.decision_function(samples), atol=tolerance)


def test_class_with_one_sample():
    samples, labels = _blobs()
    first = np.flatnonzero(labels == 2)[0]
    keep = (labels != 2) | (np.arange(len(labels)) == first)
    fitted = OneVsRestSVM().fit(samples[keep], labels[keep])
    assert fitted.predict(samples[[first]]).item() == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_values_that_are_not_finite(bad, dtype):
    samples, labels = _blobs(dtype=dtype)
    broken = samples.copy()
    broken[3, 7] = bad
    with pytest.raises(ValueError, match="NaN|infinity"):
        OneVsRestSVM().fit(broken, labels)
    with pytest.raises(ValueError, match="NaN|infinity"):
        OneVsRestSVM().fit(samples, labels).decision_function(broken)


def test_one_class():
    samples, _ = _blobs()
    with pytest.raises(ValueError, match="at least two classes. Received: one class, 'cat'"):
        OneVsRestSVM().fit(samples, ["cat"] * len(samples))


def test_lengths_that_differ():
    samples, labels = _blobs()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        OneVsRestSVM().fit(samples, labels[:-1])
    with pytest.raises(ValueError, match="expecting 300 features"):
        OneVsRestSVM().fit(samples, labels).predict(samples[:, :-1])


@pytest.mark.parametrize("C", [0.0, -1.0, float("nan")])
def test_wrong_c(C):
    with pytest.raises(ValueError, match="`C` must be positive. Received: C="):
        OneVsRestSVM(C=C).fit(*_blobs())


def test_progress_is_shown(capsys):
    OneVsRestSVM(verbose=1).fit(*_blobs())
    assert "Fitting SVMs" in capsys.readouterr().err
    OneVsRestSVM().fit(*_blobs())
    captured = capsys.readouterr()
    assert not captured.err + captured.out


@pytest.mark.parametrize("seen", [(0, 1, 2, 3), (0, 3), (1, 2, 3)])
def test_dense_weights(seen):
    samples, labels = _blobs()
    keep = np.isin(labels, seen)
    fitted = OneVsRestSVM().fit(samples[keep], labels[keep])
    kernel, bias = fitted.dense_weights(5)
    assert kernel.dtype == bias.dtype == np.float32
    scores = samples @ kernel + bias
    decisions = fitted.decision_function(samples)
    expected = np.full((len(samples), 5), UNSEEN_SCORE)
    expected[:, seen] = np.stack([-decisions, decisions], axis=1) if len(seen) == 2 else decisions
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    np.testing.assert_array_equal(scores.argmax(axis=1), fitted.predict(samples))


@pytest.mark.parametrize("labels", [[0, 1, 4], [-1, 0, 1], ["a", "b", "c"]])
def test_dense_weights_of_labels_that_are_no_class_numbers(labels):
    fitted = OneVsRestSVM().fit(np.eye(3), labels)
    with pytest.raises(ValueError, match=r"labels outside 0 \.\. 3: \[(4|-1|'a', 'b', 'c')\]"):
        fitted.dense_weights(4)


def test_dense_weights_of_whole_numbers_as_floats():
    """As `np.loadtxt` reads labels; the labels must be integers."""
    fitted = OneVsRestSVM().fit(np.eye(3), [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="labels"):
        fitted.dense_weights(3)


def test_dense_weights_before_fit():
    with pytest.raises(NotFittedError):
        OneVsRestSVM().dense_weights(2)
