"""The model zoo: entries by name, and packs of trained weights found, published and checked.

The parts are imported at first use: listing, publishing and downloading need no TensorFlow.
"""

from keras_fvvae.utils.lazy import lazy_attributes

_HOMES = {
    "card": "keras_fvvae.recipes.cards",
    "list_entries": "keras_fvvae.zoo.entries",
    "load": "keras_fvvae.zoo.loading",
    "load_classifier": "keras_fvvae.zoo.loading",
}

__all__ = ["card", "list_entries", "load", "load_classifier"]

__getattr__, __dir__ = lazy_attributes(__name__, _HOMES)
