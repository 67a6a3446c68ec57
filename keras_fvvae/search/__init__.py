"""Search: which images or videos of a folder are most like one, by the products of their vectors.

    Index.build(FOLDER, vectors, names)         unit vectors on disk, with names, labels and paths
    Index.open(FOLDER).search(vectors, k=10)    the nearest items: exactly, or by a graph of neighbours
    index_data(MODEL, DATA, FOLDER)             from files to an index, by a trained model
    QueryEncoder(index).search(files)           from files to neighbours, by the same model

The parts are imported at first use: an index of vectors needs no TensorFlow.
"""

from keras_fvvae.utils.lazy import lazy_attributes

_HOMES = {
    "Index": "keras_fvvae.search.index",
    "Neighbours": "keras_fvvae.search.nearest",
    "QueryEncoder": "keras_fvvae.search.queries",
    "Whitening": "keras_fvvae.search.whitening",
    "duplicates": "keras_fvvae.search.pairs",
    "index_data": "keras_fvvae.search.building",
    "retrieval_metrics": "keras_fvvae.search.measures",
}

__all__ = sorted(_HOMES)

__getattr__, __dir__ = lazy_attributes(__name__, _HOMES)
