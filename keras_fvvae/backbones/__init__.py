"""Networks whose activations are encoded: a table, and how a tap of one becomes a Keras model."""

from keras_fvvae.backbones.table import BACKBONES, build_backbone, set_trainable

__all__ = ["BACKBONES", "build_backbone", "set_trainable"]
