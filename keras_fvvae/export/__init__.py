"""Classifiers as SavedModels for TensorFlow Serving."""

from keras_fvvae.export.saved_model import TOP_K, export_fused, export_saved_model

__all__ = ["TOP_K", "export_fused", "export_saved_model"]
