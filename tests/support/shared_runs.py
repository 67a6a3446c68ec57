"""Finished runs that many tests need and none changes: trained when first asked for, once a session."""

import json

from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.identity import data_identity
from keras_fvvae.training.train import train


class SharedRuns:
    """Finished runs by what decides their result: recipe and collection.

    A test that changes a run takes a copy of its folder; a test that checks how a training behaves trains for itself.

    Args:
        folder: where they lie, and the cache of activations that they share.
    """

    def __init__(self, folder):
        self.folder = folder
        self.cache = folder / "cache"
        self._paths = {}

    def of(self, recipe, collection):
        """The finished run of a recipe with random backbone weights, to be read only."""
        key = json.dumps([recipe.to_yaml(), data_identity(collection, None)])
        if key not in self._paths:
            path = self.folder / f"run{len(self._paths)}"
            train(recipe, collection, path, backbone_weights=None, cache=self.cache, verbose=0)
            self._paths[key] = path
        return RunFolder.open(self._paths[key])  # refuses one that a test has altered
