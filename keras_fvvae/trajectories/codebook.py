"""The codebook of improved dense trajectories: for each descriptor a PCA and a mixture of Gaussians."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from keras_fvvae.errors import DataError
from keras_fvvae.features import FeatureStore
from keras_fvvae.fitting.descriptors import draw_descriptors
from keras_fvvae.layers import GMMFisherVector
from keras_fvvae.trajectories import DESCRIPTORS
from keras_fvvae.utils.files import write_atomically

# Descriptors that a component of the mixture is fitted to (the paper: 256,000 for 256).
PER_COMPONENT = 1000
# So many times the descriptors needed are read, evenly from all videos: some have fewer than their share.
SURPLUS = 4
# Names of a codebook's arrays, for each descriptor.
PARTS = ("centre", "axes", "priors", "means", "variances")
# Where each descriptor lies among the columns.
COLUMNS = {
    name: slice(end - length, end)
    for (name, length), end in zip(DESCRIPTORS.items(), np.cumsum(list(DESCRIPTORS.values())).tolist(), strict=True)
}


class TrajectoryCodebook:
    """Encodes a video's trajectories as Fisher vectors, one for each descriptor, one after the other.

        y = A (x - c)                                        PCA to half the length
        f = ssr(GMM Fisher vector of the y), f / |f|         for each of the five descriptors
        [f_1, ..., f_5] / sqrt(5)                            unit length, as the SVM's `C` and late fusion expect

    Args:
        arrays: dictionary from `descriptor/part` to arrays; the parts are `centre` `(C,)`, `axes` `(C / 2, C)`,
            `priors` `(K,)`, `means` and `variances` `(K, C / 2)`.

    Raises:
        KeyError: if one is missing.
        ValueError: if they do not go together.

    Reference:
        Wang and Schmid, ICCV 2013, Section 4.2.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays: dict[str, Any] = arrays
        self._layers = {}
        for name in DESCRIPTORS:
            _, _, priors, means, variances = (arrays[f"{name}/{part}"] for part in PARTS)
            self._layers[name] = GMMFisherVector(len(priors), normalization="improved")
            self._layers[name].set_mixture(priors, means, variances)

    @property
    def dimension(self) -> int:
        """Length of the vectors, `2 K` times half of 426."""
        return sum(layer.output_dim for layer in self._layers.values())

    def encode(self, descriptors: np.ndarray) -> np.ndarray:
        """The Fisher vector `(dimension,)` in float32 of trajectories `(n, 426)`; of none it is zero."""
        if len(descriptors) == 0:
            return np.zeros(self.dimension, "float32")
        parts = []
        for name, layer in self._layers.items():
            rows = np.asarray(descriptors[:, COLUMNS[name]], "float32") - self.arrays[f"{name}/centre"]
            projected = rows @ self.arrays[f"{name}/axes"].T
            parts.append(np.asarray(layer(projected[np.newaxis]))[0])
        return np.concatenate(parts) / np.float32(math.sqrt(len(parts)))

    def save(self, path: str | os.PathLike, digest: str) -> None:
        """Writes the codebook to an `.npz` file, whole or not at all, marked with the digest of what made it."""
        content = io.BytesIO()
        np.savez(content, digest=np.array(digest), **self.arrays)
        write_atomically(path, content.getvalue())


def load_codebook(path: str | os.PathLike, digest: str) -> TrajectoryCodebook | None:
    """The codebook in a file; `None` if there is none, it is damaged, or something else made it."""
    try:
        with np.load(path) as file:
            arrays = dict(file)
        return TrajectoryCodebook(arrays) if str(arrays.pop("digest")) == digest else None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def codebook_digest(store_settings: dict[str, Any], keys: Iterable[str], num_components: int, seed: int) -> str:
    """Text that changes with everything that a codebook depends on."""
    made_of = {"store": store_settings, "keys": sorted(keys), "num_components": num_components, "seed": seed}
    return hashlib.sha256(json.dumps([made_of, PER_COMPONENT, SURPLUS], sort_keys=True).encode()).hexdigest()


def fit_codebook(
    store: FeatureStore, keys: Sequence[str], num_components: int, seed: int = 0, verbose: int = 0
) -> TrajectoryCodebook:
    """Fits the PCA and the mixture of each descriptor to trajectories of training videos.

    Each descriptor is drawn in a pass of its own: memory holds 1,000 of one kind for each component.

    Args:
        store: `FeatureStore` of trajectories `(n, 426)`.
        keys: of the training videos that have any.
        num_components: K.
        seed: integer.
        verbose: 1 for progress bars.

    Returns:
        A `TrajectoryCodebook`.

    Raises:
        DataError: for too few trajectories.
    """
    total = sum(len(store[key]) for key in keys)
    needed = max(num_components, *DESCRIPTORS.values())
    if total < needed:
        raise DataError(
            f"The training videos gave {total} trajectories; {num_components} components need at least {needed}. Give "
            "more videos, or ask for fewer components."
        )
    count = num_components * PER_COMPONENT
    per_video = math.ceil(SURPLUS * count / len(keys))
    arrays = {}
    for name, length in DESCRIPTORS.items():
        rows = draw_descriptors(_evenly(store, keys, per_video, COLUMNS[name]), count, seed)
        # Of the covariance: exact, and the same every time.
        pca = PCA(length // 2, svd_solver="covariance_eigh").fit(rows)
        projected = (rows - pca.mean_) @ pca.components_.T
        layer = GMMFisherVector(num_components, seed=seed)
        layer.adapt(projected[np.newaxis], descriptors_per_component=None, verbose=verbose)
        mixture = (np.asarray(values) for values in (layer.priors, layer.means, layer.variances))
        for part, values in zip(PARTS, (pca.mean_, pca.components_, *mixture), strict=True):
            arrays[f"{name}/{part}"] = values.astype("float32")
    return TrajectoryCodebook(arrays)


def _evenly(store, keys, per_video, columns):
    for key in keys:
        rows = store[key]
        yield rows[:: math.ceil(len(rows) / per_video), columns]
