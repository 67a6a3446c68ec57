"""Arrays on disk: the store that activations and vectors are kept in, and vectors in the files of other programs.

open(PATH)                   ids, labels and vectors of what `keras-fvvae encode` wrote, in any of its formats
write(PATH, parts)           vectors as Parquet, Lance or HDF5, a part at a time
FeatureStore(DIR, settings)  arrays keyed by item and by the settings that made them
"""

from keras_fvvae.utils.lazy import lazy_attributes

_HOMES = {
    "DAMAGE": "keras_fvvae.features.store",
    "FeatureStore": "keras_fvvae.features.store",
    "SHARD_BYTES": "keras_fvvae.features.store",
    "Vectors": "keras_fvvae.features.vectors",
    "open": "keras_fvvae.features.vectors",
    "write": "keras_fvvae.features.writing",
}

__all__ = ["DAMAGE", "SHARD_BYTES", "FeatureStore", "Vectors", "open", "write"]

__getattr__, __dir__ = lazy_attributes(__name__, _HOMES)
