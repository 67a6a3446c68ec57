"""One-vs-all linear support vector machine for few, very long vectors."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import SVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from keras_fvvae.progress import track

# Columns of X held in float64 at a time while the Gram matrix is accumulated: 2,000 x 4,096 doubles are 64 MB.
GRAM_BLOCK_COLUMNS = 4096
# Score of a class without training samples: below any decision value on unit-length vectors.
UNSEEN_SCORE = -1e9


class OneVsRestSVM(ClassifierMixin, BaseEstimator):
    """Linear one-vs-all SVM, solved through the Gram matrix: fast where vectors are longer than they are many.

    The Gram matrix `K = X X'` is accumulated in float64 over blocks of columns (X is never copied and may be a memory
    map), one dual problem per class is solved on it by scikit-learn's `SVC(kernel="precomputed")`, and the primal
    weights `W = (alpha * y)' X` are recovered in a second pass, so that prediction is one matrix product. Unlike in
    `sklearn.svm.LinearSVC`, the intercept is not penalised.

    Args:
        C: inverse regularisation strength, positive. Default 100, fixed for all methods in the paper (Section 5.2).
        tol: tolerance of the dual solver. Default 1e-3, that of scikit-learn.
        verbose: 1 for a progress bar over the classes.

    Attributes:
        classes_: labels seen in `fit`, sorted.
        coef_: `(n_classes, n_features)`; `(1, n_features)` for two classes, as scikit-learn has it.
        intercept_: `(n_classes,)`, or `(1,)` for two classes.
        n_features_in_: length of the vectors.

    Example:
        >>> import numpy as np
        >>> X = np.array([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        >>> svm = OneVsRestSVM().fit(X, ["a", "a", "b", "c"])
        >>> svm.predict([[0.8, 0.2, 0.1]]).tolist(), svm.coef_.shape
        (['a'], (3, 3))

    Reference:
        Qiu et al., CVPR 2017, Section 5.2, "Classifier training".
    """

    def __init__(self, C=100.0, tol=1e-3, verbose=0):
        self.C = C
        self.tol = tol
        self.verbose = verbose

    def fit(self, X, y):
        """Fits one linear SVM per class.

        Args:
            X: array or memory map `(n_samples, n_features)`, floating point.
            y: `(n_samples,)` class labels, at least two different ones.

        Raises:
            ValueError: for NaN or infinite values, lengths that differ, or fewer than two classes.
        """
        if not self.C > 0:
            raise ValueError(f"`C` must be positive. Received: C={self.C}")
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32, np.float16])
        with warnings.catch_warnings():
            # Few examples of many classes are common here (a partial copy of a data set).
            warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")
            check_classification_targets(y)
        self.classes_, targets = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                "A classifier needs samples of at least two classes. "
                f"Received: one class, {self.classes_.tolist()[0]!r}"
            )
        gram = _gram(X)
        positives = [1] if len(self.classes_) == 2 else range(len(self.classes_))
        duals = np.zeros((len(positives), len(X)))
        self.intercept_ = np.zeros(len(positives))
        for row, positive in enumerate(track(positives, "Fitting SVMs", enabled=bool(self.verbose))):
            solver = SVC(C=self.C, kernel="precomputed", tol=self.tol).fit(gram, targets == positive)
            duals[row, solver.support_] = solver.dual_coef_[0]
            self.intercept_[row] = solver.intercept_[0]
        self.coef_ = _primal(duals, X)
        return self

    def decision_function(self, X):
        """Decision values `(n_samples, n_classes)`, or `(n_samples,)` for two classes: positive means the second."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32, np.float16], reset=False)
        scores = X @ self.coef_.T + self.intercept_
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X):
        """The label with the largest decision value for every row of `X`."""
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]

    def dense_weights(self, class_count):
        """The SVM as a dense layer over the classes 0 .. `class_count` - 1, also where `fit` has not seen them all.

        Args:
            class_count: number of classes; the fitted labels must be integers below it.

        Returns:
            Tuple of float32 arrays: kernel `(n_features, class_count)` and bias `(class_count,)`. A class without
            training samples gets the constant score `UNSEEN_SCORE`, below any other.

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


def _gram(X):
    gram = np.zeros((len(X), len(X)))
    for start in range(0, X.shape[1], GRAM_BLOCK_COLUMNS):
        block = np.asarray(X[:, start : start + GRAM_BLOCK_COLUMNS], np.float64)
        gram += block @ block.T
    return gram


def _primal(duals, X):
    weights = np.empty((len(duals), X.shape[1]))
    for start in range(0, X.shape[1], GRAM_BLOCK_COLUMNS):
        columns = slice(start, start + GRAM_BLOCK_COLUMNS)
        weights[:, columns] = duals @ np.asarray(X[:, columns], np.float64)
    return weights
