"""Networks whose activations are encoded: a table, and how a tap of one becomes a Keras model.

The parts are imported at first use: the table needs no TensorFlow.
"""

from keras_fvvae.utils.lazy import lazy_attributes

_HOMES = {
    "BACKBONES": "keras_fvvae.backbones.table",
    "build_backbone": "keras_fvvae.backbones.building",
    "set_trainable": "keras_fvvae.backbones.building",
}

__all__ = ["BACKBONES", "build_backbone", "set_trainable"]

__getattr__, __dir__ = lazy_attributes(__name__, _HOMES)
