"""The one-vs-rest linear SVM for few long vectors."""

from keras_fvvae.svm.one_vs_rest import UNSEEN_SCORE, OneVsRestSVM

__all__ = ["UNSEEN_SCORE", "OneVsRestSVM"]
