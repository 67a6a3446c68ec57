"""The model zoo: trained models by name, path or URL, and packs of weights found, published and checked.

    load_encoder(SOURCE).encode(files)          images or videos to normalised vectors
    load_classifier(SOURCE).classify(files)     to labels and scores
    load(NAME)                                  an entry's model to train by `fit`
    list_entries("ucf101_*", installed=True)    the names there are

SOURCE is a finished run's folder, the name of an entry that has trained weights, or a pack's folder or URL.

The parts are imported at first use: listing, publishing and downloading need no TensorFlow.
"""

from keras_fvvae.utils.lazy import lazy_attributes

_HOMES = {
    "card": "keras_fvvae.recipes.cards",
    "list_entries": "keras_fvvae.zoo.entries",
    "load": "keras_fvvae.zoo.loading",
    "load_classifier": "keras_fvvae.zoo.loading",
    "load_encoder": "keras_fvvae.zoo.loading",
}

__all__ = ["card", "list_entries", "load", "load_classifier", "load_encoder"]

__getattr__, __dir__ = lazy_attributes(__name__, _HOMES)
