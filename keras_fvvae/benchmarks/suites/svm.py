"""The one-vs-all SVM against scikit-learn's LinearSVC, at a size that LinearSVC solves in seconds."""

import functools

import numpy as np
from sklearn.svm import LinearSVC

from keras_fvvae.benchmarks.harness.rounds import time_rounds, time_rows
from keras_fvvae.svm import OneVsRestSVM

C = 100.0
PEER = "LinearSVC(loss='hinge')"
SAME = "OneVsRestSVM(penalize_intercept=True, tol=1e-4)"
FREE = "OneVsRestSVM(), free intercept: another model"
HELD_OUT = 100
CLASS_STRENGTH = 0.25
SHARED_DIRECTIONS = 20
# LinearSVC's own limit of 1,000 can end before its tolerance is reached.
MAX_ITERATIONS = 10_000


def measure(rounds: int, samples: int, features: int, classes: int) -> list[dict]:
    """Rows of both of our intercepts and of the peer; differences of decisions on held-out vectors are in the notes."""
    X, labels = _vectors(samples + HELD_OUT, features, classes)
    train, held_out, y = X[:samples], X[samples:], labels[:samples]
    fits = {
        PEER: lambda: LinearSVC(C=C, loss="hinge", random_state=0, max_iter=MAX_ITERATIONS).fit(train, y),
        SAME: lambda: OneVsRestSVM(C=C, penalize_intercept=True, tol=1e-4).fit(train, y),
        FREE: lambda: OneVsRestSVM(C=C).fit(train, y),
    }
    fitted, notes = {}, {}

    def job(name):
        fitted[name] = fits[name]()

    timings = time_rounds({name: functools.partial(job, name) for name in fits}, rounds)
    decisions = {name: svm.decision_function(held_out) for name, svm in fitted.items()}
    for name in (SAME, FREE):
        difference = np.abs(decisions[name] - decisions[PEER]).max()
        agreement = np.mean(decisions[name].argmax(axis=1) == decisions[PEER].argmax(axis=1))
        notes[name] = f"decisions differ by {difference:.0e} at most, the same class in {agreement:.1%}"
    case = f"{samples} x {features:,}, {classes} classes"
    return time_rows(timings, PEER, "ms a fit", 1, case, notes=notes)


def _vectors(count, features, classes):
    """Unit vectors with signed square roots, of class centres, directions that all classes share, and noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    centres = rng.standard_normal((classes, features), np.float32)
    directions = rng.standard_normal((SHARED_DIRECTIONS, features), np.float32) / SHARED_DIRECTIONS**0.5
    values = CLASS_STRENGTH * centres[labels] + rng.standard_normal((count, features), np.float32)
    values += 2 * rng.standard_normal((count, SHARED_DIRECTIONS), np.float32) @ directions
    values = np.copysign(np.sqrt(np.abs(values)), values)
    return values / np.linalg.norm(values, axis=1, keepdims=True), labels
