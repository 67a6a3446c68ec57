"""The model zoo: entries by name, and packs of trained weights found, published and checked.

The parts are imported at first use: publishing and downloading need no TensorFlow.
"""

import importlib

_HOMES = {
    "card": "keras_fvvae.recipes.cards",
    "list_entries": "keras_fvvae.zoo.loading",
    "load": "keras_fvvae.zoo.loading",
    "load_classifier": "keras_fvvae.zoo.loading",
}

__all__ = ["card", "list_entries", "load", "load_classifier"]


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'keras_fvvae.zoo' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
