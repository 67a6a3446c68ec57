import numpy as np
import pytest
from sklearn.svm import SVC, LinearSVC

from keras_fvvae.svm import dual
from keras_fvvae.svm.dual import solve_duals


def _problem(samples=40, features=90, classes=4):
    rng = np.random.default_rng(0)
    labels = np.arange(samples) % classes
    values = rng.normal(size=(classes, features))[labels] * 0.5 + rng.normal(size=(samples, features))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values, values @ values.T, np.stack([labels == positive for positive in range(classes)])


@pytest.mark.parametrize("penalize_intercept", [False, True])
@pytest.mark.parametrize("C", [0.1, 100.0])
def test_solutions_are_those_of_scikit_learn(C, penalize_intercept):
    values, matrix, targets = _problem()
    duals, intercepts = solve_duals(matrix, targets, C, 1e-8, penalize_intercept=penalize_intercept)
    for target, dual_values, intercept in zip(targets, duals, intercepts, strict=True):
        if penalize_intercept:
            reference = LinearSVC(C=C, loss="hinge", tol=1e-8, random_state=0, max_iter=10**5).fit(values, target)
        else:
            reference = SVC(C=C, kernel="linear", tol=1e-8).fit(values, target)
        np.testing.assert_allclose(dual_values @ values, reference.coef_[0], atol=1e-6)
        np.testing.assert_allclose(intercept, reference.intercept_[0], atol=1e-6)


@pytest.mark.parametrize("penalize_intercept", [False, True])
def test_some_samples_take_part_as_if_the_others_were_not_there(penalize_intercept):
    _, matrix, targets = _problem()
    rows = np.setdiff1d(np.arange(40), [0, 5, 6, 17, 39])
    settings = {"C": 100.0, "penalize_intercept": penalize_intercept}
    alone = solve_duals(matrix[np.ix_(rows, rows)], targets[:, rows], **settings)
    among = solve_duals(matrix, targets[:, rows], rows=rows, **settings)
    for one, other in zip(alone, among, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("penalize_intercept", [False, True])
def test_coefficients_obey_the_conditions_of_the_dual(penalize_intercept):
    """0 <= a <= C; outside the margin a = 0, inside a = C; the free intercept's coefficients add up to zero."""
    C, tol = 1.0, 1e-8
    _, matrix, targets = _problem()
    duals, intercepts = solve_duals(matrix, targets, C, tol, penalize_intercept=penalize_intercept)
    signs = np.where(targets, 1.0, -1.0)
    alphas = duals * signs
    margins = signs * (duals @ matrix + intercepts[:, np.newaxis])
    assert alphas.min() > -1e-6
    assert alphas.max() < C + 1e-6
    assert np.abs(alphas[margins > 1 + 1e-4]).max() < 1e-4
    assert np.abs(alphas[margins < 1 - 1e-4] - C).max(initial=0) < 1e-4
    if penalize_intercept:
        np.testing.assert_allclose(duals.sum(axis=1), intercepts)
    else:
        np.testing.assert_allclose(duals.sum(axis=1), 0, atol=1e-6)


def test_penalised_intercept_with_copies_and_zero_rows():
    """`K + 1` is singular, also by far more than rounding hides."""
    values, _, targets = _problem()
    values, targets = np.concatenate([values, values[:20], np.zeros((5, 90))]), np.tile(targets, 2)[:, :65]
    targets[:, 40:60] = targets[:, :20]
    duals, intercepts = solve_duals(values @ values.T, targets, 10.0, 1e-6, penalize_intercept=True)
    for target, dual_values, intercept in zip(targets, duals, intercepts, strict=True):
        reference = LinearSVC(C=10.0, loss="hinge", tol=1e-6, random_state=0, max_iter=10**5).fit(values, target)
        np.testing.assert_allclose(dual_values @ values, reference.coef_[0], atol=1e-4)
        np.testing.assert_allclose(intercept, reference.intercept_[0], atol=1e-4)


def test_threads_change_nothing():
    _, matrix, targets = _problem()
    one, two = (solve_duals(matrix, targets, 1.0, 1e-6, n_jobs=jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


class _InterruptedError(Exception):
    pass


@pytest.mark.parametrize("penalize_intercept", [False, True])
def test_solved_problems_are_kept(monkeypatch, tmp_path, penalize_intercept):
    _, matrix, targets = _problem()
    name = "_liblinear" if penalize_intercept else "_libsvm"
    solve, solved = getattr(dual, name), []
    kept = {"penalize_intercept": penalize_intercept, "checkpoint": tmp_path, "checkpoint_seconds": 0}

    def run(limit, C=1.0, key="data"):
        def counted(factor, target, *settings):
            if len(solved) == limit:
                raise _InterruptedError
            solved.append(int(np.flatnonzero(target)[0]))
            return solve(factor, target, *settings)

        with monkeypatch.context() as context:
            context.setattr(dual, name, counted)
            return solve_duals(matrix, targets, C, 1e-6, **kept, key=key)

    expected = solve_duals(matrix, targets, 1.0, 1e-6, penalize_intercept=penalize_intercept)
    with pytest.raises(_InterruptedError):
        run(limit=2)
    assert solved == [0, 1]
    resumed = run(limit=10)
    assert solved == [0, 1, 2, 3]
    for one, other in zip(resumed, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    run(limit=4)
    run(limit=8, C=2.0)
    assert len(solved) == 8, "another C is another problem"
    run(limit=12, key="other data")
    assert len(solved) == 12
