"""Classifiers for other runtimes: SavedModels for TensorFlow Serving, ONNX, LiteRT, OpenVINO.

The parts are imported at first use: the table of formats needs no TensorFlow.
"""

from keras_fvvae.utils.lazy import lazy_attributes

_HOMES = {
    "TOP_K": "keras_fvvae.export.saved_model",
    "export_fused": "keras_fvvae.export.saved_model",
    "export_saved_model": "keras_fvvae.export.saved_model",
}

__all__ = ["TOP_K", "export_fused", "export_saved_model"]

__getattr__, __dir__ = lazy_attributes(__name__, _HOMES)
