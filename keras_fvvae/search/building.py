"""From files to an index, by a trained model."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.data.catalogue import recognize
from keras_fvvae.data.datasets.folder import SPLIT_FOLDERS
from keras_fvvae.encoding.extraction import Extraction
from keras_fvvae.encoding.items import Item, is_stored
from keras_fvvae.encoding.output import Summary
from keras_fvvae.errors import DataError
from keras_fvvae.search.approximate import require_usearch
from keras_fvvae.search.index import Index
from keras_fvvae.search.writing import require_free
from keras_fvvae.utils.files import sha256

# Vectors that are taken from the store at a time.
ROWS = 256
# In a folder of vectors that `index_data` made, and therefore may remove.
OWN = ".index"


def index_data(
    model: str | os.PathLike,
    data: str | os.PathLike,
    out: str | os.PathLike,
    *,
    encoded: str | os.PathLike | None = None,
    kind: str = "auto",
    dataset: str | None = None,
    dataset_options: dict[str, Any] | None = None,
    processes: int = 1,
    dtype: str = "float32",
    whiten: bool = False,
    dimension: int | None = None,
    approximate: bool = False,
    seed: int = 0,
    verbose: int = 1,
    tell: Callable[[Summary], None] = lambda summary: None,
) -> Index:
    """Encodes images or videos and builds an index of their vectors.

    A call that was stopped is repeated to go on: vectors are kept beside the index, in `OUT.encoding`, until it is
    whole. A folder of that name that is there already, of vectors of this model, is taken as `encoded` is.

    Args:
        model: a finished run, a pack or an entry with trained weights, see `keras_fvvae.zoo.load_encoder`.
        data: a folder, of which everything below is taken, or a list, or a copy of a known data set.
        out: the index's folder; must not be there yet, or be empty.
        encoded: the output folder of `keras-fvvae encode` with this model and these data, whose vectors are taken;
            what is missing there is encoded. It is kept. For data that several machines encode.
        kind, dataset, dataset_options: see `keras_fvvae.encoding.extraction.Extraction`. Labels are those of the data
            set or list, in a folder the names of its sub-folders.
        processes: processes on this machine.
        dtype, whiten, dimension, approximate, seed: see `Index.build`.
        verbose: 1 for a progress bar.
        tell: called with the `Summary` of what was encoded and what failed, before the index is written.

    Returns:
        The `Index` of all items that could be encoded, opened.

    Raises:
        RunError, WeightsError, DataError: if the model, the data or the folder cannot be used, or nothing could be
            encoded.
        ValueError: as `Index.build`.
    """
    out = Path(out)
    require_free(out)
    if approximate:
        require_usearch()
    if is_stored(data) and not Path(data).is_dir():
        raise DataError(
            f"{data} is no folder or list: an index names files, whose pictures `search` shows. Unpack it into a "
            f"folder, or take the vectors that `keras-fvvae encode` makes of it."
        )
    if dataset is None and Path(data).exists() and (found := recognize(data)) not in ("folder", "list"):
        dataset = found
    folder = Path(encoded) if encoded is not None else out.with_name(f"{out.name}.encoding")
    is_new = encoded is None and not folder.exists()
    extraction = Extraction(
        os.fspath(model), os.fspath(data), folder, kind=kind, dataset=dataset, dataset_options=dataset_options
    )
    if is_new:
        (folder / OWN).touch()
    summary = extraction.run(processes, verbose=verbose)
    tell(summary)
    store = extraction.output.open_store()
    labels = _labels(extraction)
    items, labels = _stored(extraction.items, labels, store)
    if not items:
        raise DataError(f"Nothing in {data} could be encoded: {folder / 'failed.csv'} says why.")
    with ThreadPoolExecutor(2) as pool:
        digests = list(pool.map(_digest, items))
    blocks = (
        np.concatenate([store[item.key] for item in items[start : start + ROWS]])
        for start in range(0, len(items), ROWS)
    )
    source = os.path.abspath(model) if Path(model).exists() else os.fspath(model)
    index = Index.build(
        out,
        blocks,
        [item.name for item in items],
        labels,
        [None if isinstance(item.source, np.ndarray) else item.source for item in items],
        digests,
        dtype=dtype,
        whiten=whiten,
        dimension=dimension,
        approximate=approximate,
        encoding=extraction.encoding.settings,
        model=source,
        seed=seed,
    )
    if encoded is None and (folder / OWN).exists():
        shutil.rmtree(folder, ignore_errors=True)
    return index


def folder_label(name: str) -> str | None:
    """The class of a file in a folder: its first sub-folder, after `train/` or `test/`; `None` where it is in none.

    Example:
        >>> [folder_label(name) for name in ("a.jpg", "cat/a.jpg", "train/cat/1/a.jpg")]
        [None, 'cat', 'cat']
    """
    parts = Path(name).parts[:-1]
    if len(parts) > 1 and any(parts[0].lower() in names for names in SPLIT_FOLDERS.values()):
        parts = parts[1:]
    return parts[0] if parts else None


def _labels(extraction: Extraction) -> list[str | None]:
    collection = extraction.collection
    if not collection.class_names:
        return [folder_label(name) for name in collection.names]
    return [collection.class_names[label] if label >= 0 else None for label in collection.labels.tolist()]


def _stored(items, labels, store):
    pairs = [(item, label) for item, label in zip(items, labels, strict=True) if item.key in store]
    return [item for item, _ in pairs], [label for _, label in pairs]


def _digest(item: Item) -> str | None:
    """SHA-256 of an item's file; `None` for arrays, folders of frames, and what cannot be read (any more)."""
    return None if isinstance(item.source, np.ndarray) else file_digest(item.source)


def file_digest(path: str | os.PathLike) -> str | None:
    """SHA-256 of a regular file; `None` for others, and what cannot be read."""
    try:
        return sha256(path) if os.path.isfile(path) else None
    except OSError:
        return None
