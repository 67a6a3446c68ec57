"""Representations of a whole collection, written to disk as they are made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from keras_fvvae.data.batch_sizes import backbone_batch_size
from keras_fvvae.fitting.fisher_statistics import FisherStatistics
from keras_fvvae.layers import FisherNormalization
from keras_fvvae.ops.normalization import l2_normalize, signed_sqrt
from keras_fvvae.utils.files import write_npy
from keras_fvvae.utils.memory import release_pages
from keras_fvvae.utils.progress import progress_bar

if TYPE_CHECKING:
    import keras

    from keras_fvvae.data.collection import Positions
    from keras_fvvae.models import Encoder, FisherEncoder
    from keras_fvvae.training.inputs.activations import ActivationInputs
    from keras_fvvae.training.inputs.pixels import PixelInputs

# Rows that are worked on at a time, and their bytes: long vectors are few at a time, as the square root of a matrix's
# singular values takes ten times the vector's room.
BLOCK_ROWS, BLOCK_BYTES = 256, 2**26
# Views encoded at a time: their raw vectors are larger than their activations. Fewer where they are large images.
MAX_VIEWS = 64


def row_slices(count: int, row_bytes: int) -> Iterator[slice]:
    """Consecutive rows, as many at a time as memory should hold, one at least.

    Args:
        count: number of rows.
        row_bytes: of one of them.

    Example:
        >>> list(row_slices(300, 4)), list(row_slices(2, 2**30))
        ([slice(0, 256, None), slice(256, 300, None)], [slice(0, 1, None), slice(1, 2, None)])
    """
    rows = min(BLOCK_ROWS, max(1, BLOCK_BYTES // max(1, row_bytes)))
    return (slice(start, min(start + rows, count)) for start in range(0, count, rows))


def row_parts(vectors: np.ndarray, positions: Positions) -> Iterator[np.ndarray]:
    """Copies of some rows, as many at a time as memory should hold; a memory map's pages are given back.

    Example:
        >>> [part.tolist() for part in row_parts(np.array([[1.0], [2.0], [3.0]]), [0, 2])]
        [[[1.0], [3.0]]]
    """
    positions = np.asarray(positions)
    for rows in row_slices(len(positions), vectors[:1].nbytes):
        yield np.array(vectors[positions[rows]])
        release_pages(vectors)


def mean_raw_vectors(encoder: Encoder, views: np.ndarray, counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """Raw vectors of items: the mean over each item's views (Section 4, "video representation").

    Args:
        encoder: a `FisherEncoder` or `JoinedEncoder`.
        views: images or activation maps `(sum(counts), ...)`, those of one item after the other.
        counts: integer array: how many views are whose; at least one each.

    Returns:
        float32 array `(len(counts), ...)`, for Fisher vectors `(len(counts), C, latent_dim + 1)`.
    """
    owners = np.repeat(np.arange(len(counts)), counts)
    sums: Any = None
    size = min(MAX_VIEWS, backbone_batch_size(views.shape[1:3]))
    for start in range(0, len(views), size):
        raw = encoder.predict_raw_on_batch(views[start : start + size])
        if sums is None:
            sums = np.zeros((len(counts), *raw.shape[1:]), "float32")
        owned = owners[start : start + size]
        first = np.flatnonzero(np.diff(owned, prepend=-1))  # where the next item begins
        sums[owned[first]] += np.add.reduceat(raw, first, axis=0)
    return sums / np.asarray(counts, "float32").reshape(-1, *[1] * (sums.ndim - 1))


def encode_vectors(
    encoder: FisherEncoder,
    inputs: PixelInputs | ActivationInputs,
    train_count: int,
    path: str | os.PathLike,
    verbose: int = 1,
) -> None:
    """Encodes a collection, and adapts the encoder's Fisher normalisation, if it has one, on its training part.

    Raw vectors are streamed to the file and normalised there, in place: memory does not grow with the collection.

    Args:
        encoder: a `FisherEncoder` for what the inputs give; its normalisation is adapted.
        inputs: `PixelInputs`, or `ActivationInputs` for an encoder without a backbone.
        train_count: the first so many items of the inputs' collection are the training part.
        path: `.npy` file to write: float32, raw vectors' shape, `(items, C, latent_dim + 1)` for Fisher vectors.
        verbose: 1 for a progress bar.

    Raises:
        ValueError: for NaN or infinite vectors.
    """
    by_fisher = isinstance(encoder.normalization, FisherNormalization)
    statistics = FisherStatistics(kronecker=by_fisher and encoder.normalization.information == "kronecker")
    count, row = len(inputs.collection), 0
    # Written in order, not through a memory map: on a full disk that would be a bus error, not an exception.
    with open(path, "wb") as file, progress_bar("Encoding", count, enabled=bool(verbose)) as update:
        for views, counts in inputs.batches(np.arange(count)):
            raw = mean_raw_vectors(encoder, views, counts)
            if row == 0:
                header = {"descr": "<f4", "fortran_order": False, "shape": (count, *raw.shape[1:])}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(raw, "<f4").data)
            if by_fisher and row < train_count:
                statistics.update(raw[: train_count - row])
            row += len(raw)
            update(row)
    if by_fisher:
        encoder.normalization.set_statistics(statistics)
    vectors = np.load(path, mmap_mode="r+")
    for rows in row_slices(count, vectors[:1].nbytes):
        block = vectors[rows]
        block[...] = encoder.normalize_on_batch(np.array(block), compress=False).reshape(block.shape)
        release_pages(vectors)
    vectors.flush()
    if encoder.compression is not None:
        _compress(encoder, vectors.reshape(count, -1), train_count, path, verbose)


def _compress(encoder, vectors, train_count, path, verbose):
    """Adapts the PCA on the training part of normalised vectors, and replaces their file by the compressed ones."""
    encoder.compression.adapt(vectors[:train_count], verbose=verbose)
    parts = row_parts(vectors, np.arange(len(vectors)))
    compressed = np.concatenate([ops.convert_to_numpy(encoder.compression(part)) for part in parts])
    write_npy(path, compressed.astype("<f4"))


def adapt_head(
    encoder: FisherEncoder, inputs: PixelInputs | ActivationInputs, indices: Positions, verbose: int = 1
) -> None:
    """Fits the codebook of a representation that has one on training items, a few views at a time.

    Args:
        encoder: a `FisherEncoder` for what the inputs give; its head is adapted.
        inputs: `PixelInputs` or `ActivationInputs`.
        indices: positions of the training items.
        verbose: 1 for a progress bar.

    Raises:
        ValueError: for fewer descriptors than entries of the codebook.
    """
    parts = (part for views, _ in inputs.batches(indices) for part in _parts(views, MAX_VIEWS))
    encoder.adapt_head(parts, verbose)


def means_of_items(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean of each item's rows, those of one item after the other.

    Example:
        >>> means_of_items(np.array([[1.0], [3.0], [5.0]]), np.array([2, 1])).tolist()
        [[2.0], [5.0]]
    """
    if len(values) == len(counts):  # one row each, as images have: nothing to copy
        return values
    sums = np.add.reduceat(values, np.cumsum(counts) - counts, axis=0)
    return sums / counts.reshape(-1, *[1] * (sums.ndim - 1))


def encode_averages(backbone: keras.Model | None, inputs: PixelInputs | ActivationInputs) -> np.ndarray:
    """AVE: the mean of an item's local activations over positions and views, signed square root, L2 normalised.

    Args:
        backbone: model from what the inputs give to activation maps; `None` where they are activation maps.
        inputs: `PixelInputs` or `ActivationInputs`.

    Returns:
        float32 array `(items, C)`.

    Reference:
        Qiu et al., CVPR 2017, Section 5.3 ("AVE").
    """
    means = []
    for views, counts in inputs.batches(np.arange(len(inputs.collection))):
        maps = (part if backbone is None else backbone.predict_on_batch(part) for part in _parts(views))
        averages = np.concatenate([np.mean(part, axis=(1, 2), dtype="float32") for part in maps])
        means.append(means_of_items(averages, counts))
    return ops.convert_to_numpy(l2_normalize(signed_sqrt(np.concatenate(means).astype("float32")), axis=-1))


def _parts(views: np.ndarray, limit: int | None = None) -> Iterator[np.ndarray]:
    """Views in parts that a backbone, or what follows it, takes at once; of several items, one after the other."""
    size = backbone_batch_size(views.shape[1:3])
    size = size if limit is None else min(limit, size)
    return (views[start : start + size] for start in range(0, len(views), size))
