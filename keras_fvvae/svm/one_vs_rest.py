"""One-vs-all linear support vector machine for few, very long vectors."""

from __future__ import annotations

import numbers
import os
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import check_cv
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from keras_fvvae.svm.calibration import METHODS, Calibration
from keras_fvvae.svm.calibrators import fit_calibration
from keras_fvvae.svm.dual import TOLERANCE, solve_duals
from keras_fvvae.svm.gram import decision_values, gram_matrix, normalize_gram, primal_weights
from keras_fvvae.svm.row_blocks import BLOCK_COLUMNS, ColumnReader, RowBlocks, flat_rows
from keras_fvvae.utils.checkpoints import CHECKPOINT_SECONDS

__all__ = ["UNSEEN_SCORE", "OneVsRestSVM", "RowBlocks"]

# Score of a class without training samples: below any decision value on unit-length vectors.
UNSEEN_SCORE = -1e9
# Rows of the kernel that are copied at a time in cross-validation.
SCORED_ROWS = 256
FLOATS = [np.float64, np.float32, np.float16]


class OneVsRestSVM(ClassifierMixin, BaseEstimator):
    """Linear one-vs-all SVM, solved through the Gram matrix: fast where vectors are longer than they are many.

    The Gram matrix `K = X X'` is accumulated in float64 over blocks of columns (X is never copied: an array, a memory
    map, or `RowBlocks` of several), one dual problem per class is solved on it, and the primal weights
    `W = (alpha * y)' X` are recovered in a second pass, so that prediction is one matrix product. Memory is that of K,
    of the weights and of one block of 4,096 columns: about 2 GB for 9,537 vectors of length 524,288 and 101 classes.

    Raw vectors can be given instead of normalised ones: with `column_scale`, `signed_sqrt` and `row_l2` every vector
    stands for `u / |u|`, `u = ssr(column_scale * x)`, in `fit` and in prediction. Columns are normalised in every block
    that is read, and rows in the Gram matrix, whose diagonal holds their squared norms; nothing is written back.

    Args:
        C: inverse regularisation strength, positive. Default 100, fixed for all methods in the paper (Section 5.2). A
            list of candidates is searched by cross-validation on parts of the one Gram matrix; the smallest of the most
            accurate wins.
        tol: tolerance of the dual solver. Default 1e-3, that of scikit-learn's `SVC`.
        verbose: 1 for progress bars.
        penalize_intercept: `False` (default) leaves the intercept free, as `sklearn.svm.SVC` does; `True` penalises it,
            as `LinearSVC` does: with `tol=1e-4` the decisions are those of `LinearSVC(loss="hinge")`.
        column_scale: factor of every column, `n_features` of them in any shape; for raw Fisher vectors the `scale` of a
            `FisherNormalization`. `None` (default): 1.
        signed_sqrt: whether to take the signed square root of every value. Default `False`.
        row_l2: whether to divide every vector by its L2 norm; zero vectors stay zero. Default `False`.
        probability: how `predict_proba` is calibrated on cross-validated decision values: `"temperature"`, `"sigmoid"`
            (also `True`), `"isotonic"`, see `keras_fvvae.svm.calibration`. Except with a temperature its largest value
            can belong to another class than the largest decision value, by which `predict` goes. Costs `cv` times the
            dual problems on the one Gram matrix. Default `False`: none.
        cv: folds for candidates of `C` and for `probability`: a number (stratified), a splitter of scikit-learn without
            groups, or pairs of training and test indices, which must keep videos of one group together. Default 5.
        n_jobs: threads for the dual problems, as in joblib; without effect on `penalize_intercept=True`. Default 1.
        checkpoint: folder for the partial Gram matrix and solved duals, or `None` (default). A `fit` that was
            interrupted goes on there and gives the same to the bit. Files are found by a SHA-256 of all of X (which is
            read once more for it), of the labels and of the settings: any change of them begins anew, and another `C`
            finds the same Gram matrix. Delete the folder when it is no longer needed.
        checkpoint_seconds: between two checkpoints. Default 60: what an interruption costs at most.
        block_columns: columns that are held in float64 at a time. Default 4096, of many vectors fewer: 78 MB for
            9,537.

    Attributes:
        classes_: labels seen in `fit`, sorted.
        coef_: `(n_classes, n_features)`; `(1, n_features)` for two classes, as scikit-learn has it. They apply to
            normalised vectors.
        intercept_: `(n_classes,)`, or `(1,)` for two classes.
        n_features_in_: length of the vectors.
        C_: the `C` that was used.
        cv_scores_: `(n_candidates, n_folds)` accuracies, candidates from small to large; only for several `C`.
        calibration_: the `keras_fvvae.svm.calibration.Calibration`; only with `probability`.
        cv_decisions_: `(n_samples, n_classes)` decision values of samples that were left out, of two classes one's the
            other's negative; NaN of samples that never were. Only with `probability`.
        cv_probabilities_: the same, calibrated by what was fitted to the other folds; only with `probability`.
        sigmoids_: `(n_classes, 2)`, or `(1, 2)`: slope and offset; only with sigmoids.

    Example:
        >>> import numpy as np
        >>> X = np.array([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        >>> svm = OneVsRestSVM().fit(X, ["a", "a", "b", "c"])
        >>> svm.predict([[0.8, 0.2, 0.1]]).tolist(), svm.coef_.shape
        (['a'], (3, 3))
        >>> blocks = RowBlocks([X[:3], X[3:]])  # memory maps, for example
        >>> np.array_equal(OneVsRestSVM().fit(blocks, ["a", "a", "b", "c"]).coef_, svm.coef_)
        True

    Reference:
        Qiu et al., CVPR 2017, Section 5.2, "Classifier training".
    """

    def __init__(
        self,
        C: float | Iterable[float] = 100.0,
        tol: float = TOLERANCE,
        verbose: int = 0,
        *,
        penalize_intercept: bool = False,
        column_scale: np.ndarray | None = None,
        signed_sqrt: bool = False,
        row_l2: bool = False,
        probability: bool | str = False,
        cv: Any = 5,
        n_jobs: int | None = None,
        checkpoint: str | os.PathLike | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        block_columns: int = BLOCK_COLUMNS,
    ) -> None:
        self.C = C
        self.tol = tol
        self.verbose = verbose
        self.penalize_intercept = penalize_intercept
        self.column_scale = column_scale
        self.signed_sqrt = signed_sqrt
        self.row_l2 = row_l2
        self.probability = probability
        self.cv = cv
        self.n_jobs = n_jobs
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds
        self.block_columns = block_columns

    def fit(self, X: Any, y: Any) -> OneVsRestSVM:
        """Fits one linear SVM per class.

        Args:
            X: array, memory map or tensor `(n_samples, ...)`, a list of arrays of one shape, or `RowBlocks`, floating
                point; flattened to `(n_samples, n_features)`, as Fisher vectors `(n, C, latent_dim + 1)` are.
            y: `(n_samples,)` class labels, at least two different ones.

        Raises:
            ValueError: for NaN or infinite values, lengths that differ, fewer than two classes, a class with fewer
                samples than folds, and arguments that are no good.
            DataError: if the checkpoint cannot be written.
        """
        candidates = _candidates(self.C)
        self._method()
        rows = self._rows(X, reset=True)
        y = validate_data(self, X="no_validation", y=y)
        check_consistent_length(rows, y)
        with warnings.catch_warnings():
            # Few examples of many classes are common here (a partial copy of a data set).
            warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")
            check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                "A classifier needs samples of at least two classes. "
                f"Received: one class, {self.classes_.tolist()[0]!r}"
            )
        validated = len(candidates) > 1 or self.probability
        splits = self._splits(labels) if validated else []

        reader = self._reader(rows)
        # Everything is read for it, which only a checkpoint needs.
        digest = "" if self.checkpoint is None else reader.digest()
        gram = gram_matrix(
            reader,
            checkpoint=self.checkpoint,
            key=digest,
            checkpoint_seconds=self.checkpoint_seconds,
            verbose=self.verbose,
        )
        factors = normalize_gram(gram) if self.row_l2 else np.ones(len(gram))
        key = digest and f"{digest} {self.row_l2}"  # what the duals depend on besides the targets

        self.C_ = candidates[0]
        if validated:
            self._cross_validate(gram, labels, candidates, splits, key)
        duals, self.intercept_ = self._solve(gram, self._targets(labels), self.C_, key, "Fitting SVMs")
        del gram  # half a gigabyte for 8,000 samples
        self.coef_ = primal_weights(duals * factors, reader, self.verbose)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Decision values `(n_samples, n_classes)`, or `(n_samples,)` for two classes: positive means the second."""
        scores = self._decisions(X)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> np.ndarray:
        """The label with the largest decision value for every row of `X`."""
        winners = _winners(self._decisions(X))
        return self.classes_[winners]

    @available_if(lambda self: self.probability)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities `(n_samples, n_classes)`, each row with a sum of one; only with `probability`."""
        check_is_fitted(self, "calibration_")
        return self.calibration_.probabilities(_by_class(self._decisions(X)))

    def dense_weights(self, class_count: int) -> tuple[np.ndarray, np.ndarray]:
        """The SVM as a dense layer over the classes 0 .. `class_count` - 1, also where `fit` has not seen them all.

        Args:
            class_count: number of classes; the fitted labels must be integers below it.

        Returns:
            Tuple of float32 arrays: kernel `(n_features, class_count)` and bias `(class_count,)`, for normalised
            vectors. A class without training samples gets the constant score `UNSEEN_SCORE`, below any other.

        Raises:
            ValueError: if the SVM was fitted to other labels.
        """
        check_is_fitted(self)
        unknown = sorted(set(self.classes_.tolist()) - set(range(class_count)))
        if unknown:
            raise ValueError(f"The SVM was fitted to labels outside 0 .. {class_count - 1}: {unknown}")
        if not np.issubdtype(self.classes_.dtype, np.integer):
            raise ValueError(f"The SVM was fitted to labels of dtype {self.classes_.dtype}; integers are needed.")
        signs = np.array([[-1.0], [1.0]]) if len(self.classes_) == 2 else 1.0
        kernel = np.zeros((self.n_features_in_, class_count), "float32")
        bias = np.full(class_count, UNSEEN_SCORE, "float32")
        kernel[:, self.classes_] = (signs * self.coef_).T
        bias[self.classes_] = (signs * self.intercept_[:, np.newaxis])[:, 0]
        return kernel, bias

    def dense_calibration(self, class_count: int) -> Calibration | None:
        """The calibration of the scores that `dense_weights` gives; `None` without `probability`."""
        calibration = getattr(self, "calibration_", None)
        return None if calibration is None else calibration.expanded(self.classes_, class_count)

    def _method(self):
        """The name of the calibration, or `None`."""
        method = {True: "sigmoid", False: None}.get(self.probability, self.probability)
        if method is not None and method not in METHODS:
            raise ValueError(
                f"`probability` must be False, True or one of {', '.join(METHODS)}. "
                f"Received: probability={self.probability!r}"
            )
        return method

    def _rows(self, X, reset):
        if isinstance(X, RowBlocks):
            if reset:
                self.n_features_in_ = X.shape[1]
            elif X.shape[1] != self.n_features_in_:
                raise ValueError(
                    f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                    "features as input."
                )
            return X
        if len(getattr(X, "shape", ())) > 2:  # an array or a tensor
            X = flat_rows(np.asarray(X))
        elif isinstance(X, list | tuple) and len(X) and len(getattr(X[0], "shape", ())) > 1:
            X = flat_rows(np.stack(X))
        # NaN and infinity are looked for in every block that is read: here it would take an array of the size of X.
        return RowBlocks([validate_data(self, X, dtype=FLOATS, ensure_all_finite=False, reset=reset)])

    def _reader(self, rows):
        scale = self.column_scale
        if scale is not None:
            scale = np.asarray(scale, np.float64).ravel()
            if len(scale) != rows.shape[1] or not np.isfinite(scale).all():
                raise ValueError(
                    f"`column_scale` must hold {rows.shape[1]} finite factors, one per column. Received: {len(scale)}, "
                    f"{np.count_nonzero(~np.isfinite(scale))} of them NaN or infinite"
                )
        return ColumnReader(rows, scale, self.signed_sqrt, self.block_columns)

    def _decisions(self, X):
        check_is_fitted(self)
        reader = self._reader(self._rows(X, reset=False))
        return decision_values(reader, self.coef_, self.intercept_, self.row_l2)

    def _targets(self, labels):
        """`(n_problems, n_samples)`: whether a sample is of the class; for two classes, of the second."""
        positives = [1] if len(self.classes_) == 2 else range(len(self.classes_))
        return np.stack([labels == positive for positive in positives])

    def _solve(self, gram, targets, C, key, description, rows=None):
        return solve_duals(
            gram,
            targets,
            C,
            self.tol,
            rows=rows,
            penalize_intercept=self.penalize_intercept,
            n_jobs=self.n_jobs,
            checkpoint=self.checkpoint,
            key=key,
            checkpoint_seconds=self.checkpoint_seconds,
            description=description,
            verbose=self.verbose,
        )

    def _splits(self, labels):
        """Pairs of training and test indices, each training part with samples of every class."""
        counts = np.bincount(labels)
        if isinstance(self.cv, numbers.Integral) and counts.min() < self.cv:
            rarest = self.classes_.tolist()[counts.argmin()]
            raise ValueError(
                f"Class {rarest!r} has {counts.min()} samples, fewer than the {self.cv} folds of `cv`; use fewer folds "
                "or one `C` without `probability`."
            )
        splits = check_cv(self.cv, labels, classifier=True).split(labels, labels)
        splits = [(_positions(train), _positions(test)) for train, test in splits]
        for fold, (train, _) in enumerate(splits):
            missing = set(range(len(counts))) - set(labels[train].tolist())
            if missing:
                name = self.classes_.tolist()[min(missing)]
                raise ValueError(f"The training part of fold {fold} of `cv` has no sample of class {name!r}.")
        return splits

    def _cross_validate(self, gram, labels, candidates, splits, key):
        """Chooses `C_`, and fits the calibration, by decision values of samples that were left out."""
        targets = self._targets(labels)
        scores = np.full((len(candidates), *targets.T.shape), np.nan)
        accuracies = np.zeros((len(candidates), len(splits)))
        folds = np.full(len(labels), -1)
        for fold, (train, test) in enumerate(splits):
            folds[test] = fold
            fold_key = f"{key} {train.tolist()}" if key else ""
            solved = [
                self._solve(gram, targets[:, train], C, fold_key, f"Fold {fold + 1} of {len(splits)}, C = {C:g}", train)
                for C in candidates
            ]
            for part in np.array_split(test, -(-len(test) // SCORED_ROWS)):
                across = gram[np.ix_(part, train)]  # a small copy of the matrix, for all candidates
                for row, (duals, intercepts) in enumerate(solved):
                    scores[row, part] = across @ duals.T + intercepts
            accuracies[:, fold] = [np.mean(_winners(one[test]) == labels[test]) for one in scores]
        best = int(accuracies.mean(axis=1).argmax())
        self.C_ = candidates[best]
        if len(candidates) > 1:
            self.cv_scores_ = accuracies
        if (method := self._method()) is not None:
            self._calibrate(method, _by_class(scores[best]), labels, folds)

    def _calibrate(self, method, scores, labels, folds):
        tested = folds >= 0
        if len(np.unique(labels[tested])) < len(self.classes_):
            raise ValueError("The test parts of `cv` together must have samples of every class for `probability`.")
        self.calibration_, held_out = fit_calibration(method, scores[tested], labels[tested], folds[tested])
        self.cv_decisions_ = scores
        self.cv_probabilities_ = np.full(scores.shape, np.nan)
        self.cv_probabilities_[tested] = held_out
        if method == "sigmoid":
            parameters = self.calibration_.parameters
            sigmoids = np.stack([parameters["slopes"], parameters["offsets"]], axis=1)
            self.sigmoids_ = sigmoids[1:] if len(sigmoids) == 2 else sigmoids


def _candidates(C):
    """The values of `C` to try, from small to large."""
    values = np.sort(np.atleast_1d(np.asarray(C, np.float64)).ravel())
    if not len(values) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"`C` must be positive. Received: C={C}")
    return values.tolist()


def _positions(part):
    """Rising positions of the samples of a part, of which a splitter has given positions or a mask."""
    part = np.asarray(part)
    return np.flatnonzero(part) if part.dtype == bool else np.unique(part)


def _winners(scores):
    """Positions of the classes that decision values `(n_samples, n_problems)` are for."""
    return (scores[:, 0] > 0).astype(int) if scores.shape[1] == 1 else scores.argmax(axis=1)


def _by_class(scores):
    """Decision values `(n, classes)`: of two classes, of which there is one problem, the first's are the negative."""
    return np.concatenate([-scores, scores], axis=1) if scores.shape[1] == 1 else scores
