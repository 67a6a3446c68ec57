"""Dual problems of two-class linear SVMs on a Gram matrix, many of them on one."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import sklearn
from joblib import Parallel, delayed
from scipy.linalg import cholesky, solve_triangular
from sklearn.svm import SVC, LinearSVC

from keras_fvvae.utils.checkpoints import CHECKPOINT_SECONDS, Checkpoint
from keras_fvvae.utils.progress import track

# Of the solver; scikit-learn's own of `SVC`.
TOLERANCE = 1e-3
# Passes over the samples: liblinear converges in 20-100 on unit-length vectors at C = 100.
MOST_PASSES = 10_000
# Megabytes of the kernel that libsvm keeps for itself. It is there already, so that more (scikit-learn's 200) saves
# nothing.
CACHE_MB = 20
# In units of n * float64's rounding: what a Cholesky factorization adds to the diagonal to pass through copies of rows
# and zero rows. At unit length and n = 9,537 that is 2e-11, far below any tolerance of the solver.
RIDGE = 10


def solve_duals(
    gram: np.ndarray,
    targets: np.ndarray,
    C: float,
    tol: float = TOLERANCE,
    *,
    rows: np.ndarray | None = None,
    penalize_intercept: bool = False,
    n_jobs: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    key: str = "",
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    description: str = "",
    verbose: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Solves `max_a sum a - 1/2 sum a_m a_n y_m y_n K_mn`, `0 <= a <= C`, for every row of targets.

    With a free intercept (the default) `sum_n a_n y_n = 0` holds as well, and libsvm solves (`SVC`). With a penalised
    one, as in `LinearSVC`, the kernel is `K + 1` without that condition; its Cholesky factor `L L' = K + 1` has rows
    with the same scalar products as the samples, so that liblinear's own dual coordinate descent (`LinearSVC`) solves
    it on n instead of n_features columns, and `L' b = w` gives the coefficients back. libsvm is the faster of the two.

    Args:
        gram: `(n, n)`, float64, C order.
        targets: `(n_problems, n)` booleans, each row of both kinds; with `rows` those of these samples.
        C: positive.
        tol: tolerance of the solver.
        rows: positions of the samples that take part, as in cross-validation, rising. Default: all. libsvm leaves the
            others out without a copy of the matrix.
        penalize_intercept: as above.
        n_jobs: threads for libsvm, as in joblib. liblinear runs in one: its random numbers belong to the process.
        checkpoint: folder for solved problems, or `None`.
        key: text that tells Gram matrices apart, for the checkpoint.
        checkpoint_seconds: between two of them.
        description: for the progress bar.
        verbose: 1 for a progress bar.

    Returns:
        Coefficients `a_n y_n` `(n_problems, n)`, of the samples that take part, and intercepts `(n_problems,)`,
        float64.

    Raises:
        DataError: if the checkpoint cannot be written.

    Example:
        >>> duals, intercepts = solve_duals(np.eye(2), np.array([[False, True]]), C=10.0, tol=1e-6)
        >>> duals.round(6).tolist(), bool(abs(intercepts[0]) < 1e-6)
        ([[-1.0, 1.0]], True)
    """
    digest = hashlib.sha256(np.packbits(targets).tobytes()).hexdigest()
    saved = Checkpoint(
        checkpoint, "duals", (key, targets.shape, digest, float(C), float(tol), penalize_intercept), checkpoint_seconds
    )
    state = saved.load()
    duals = state["duals"] if state else np.zeros(targets.shape)
    intercepts = state["intercepts"] if state else np.zeros(len(targets))
    done = int(state["done"]) if state else 0
    if penalize_intercept and done < len(targets):
        factor = _factor(gram if rows is None else gram[np.ix_(rows, rows)])
        solutions = (_liblinear(factor, target, C, tol) for target in targets[done:])
    else:
        # Threads share the matrix, and libsvm runs outside Python's lock.
        pool = Parallel(n_jobs, prefer="threads", return_as="generator")
        solutions = pool(delayed(_libsvm)(gram, target, C, tol, rows) for target in targets[done:])
    with_bar = track(solutions, description, total=len(targets) - done, enabled=bool(verbose))
    for problem, (dual, intercept) in enumerate(with_bar, start=done):
        duals[problem], intercepts[problem] = dual, intercept
        if saved.is_due or (checkpoint is not None and problem == len(targets) - 1):
            saved.save(duals=duals, intercepts=intercepts, done=np.array(problem + 1))
    return duals, intercepts


def _libsvm(gram, target, C, tol, rows):
    weights, everyone = None, target
    if rows is not None:
        # A sample without weight takes no part: the same steps to the same bits as on a copy of the others' products.
        weights, everyone = np.zeros(len(gram)), np.zeros(len(gram), bool)
        weights[rows], everyone[rows] = 1.0, target
    # The matrix is known to be finite; looking through it again for every class takes longer than solving.
    with sklearn.config_context(assume_finite=True):
        solver = SVC(C=C, kernel="precomputed", tol=tol, cache_size=CACHE_MB).fit(gram, everyone, weights)
    dual = np.zeros(len(target))
    dual[solver.support_] = solver.dual_coef_[0]  # counted among those that take part
    return dual, solver.intercept_[0]


def _factor(gram):
    """Lower triangular `L` in C order with `L L' = K + 1`."""
    shifted = np.add(gram, 1.0, order="F")
    shifted.flat[:: len(gram) + 1] += RIDGE * len(gram) * np.finfo(np.float64).eps * shifted.diagonal().max()
    return cholesky(shifted, lower=False, overwrite_a=True, check_finite=False).T


def _liblinear(factor, target, C, tol):
    with sklearn.config_context(assume_finite=True):
        solver = LinearSVC(C=C, loss="hinge", tol=tol, fit_intercept=False, random_state=0, max_iter=MOST_PASSES)
        solver.fit(factor, target)
    dual = solve_triangular(factor, solver.coef_[0], lower=True, trans="T", check_finite=False)
    return dual, dual.sum()
