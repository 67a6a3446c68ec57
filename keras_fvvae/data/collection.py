"""A labelled collection of images or videos, wherever they come from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.data.readers.regular_file import read_regular
from keras_fvvae.errors import DataError
from keras_fvvae.utils.labels import UNLABELLED

SPLITS = ("train", "test")
KINDS = ("image", "video")
# Of items in a collection.
Positions = Sequence[int] | np.ndarray


class Collection:
    """Images or videos with identity, label and split; their content is read one at a time, when asked for.

    Args:
        sources: one entry per item: a path (of an image file, a video file, or a folder of frames), or a uint8 array:
            an image `(height, width, 3)` or a video `(frames, height, width, 3)`.
        names: one name per item, unique, for reports: a path relative to the data folder, for example.
        labels: integer per item, an index into `class_names`; -1 for an unlabelled one.
        splits: `"train"` or `"test"` per item.
        class_names: names of the classes.
        notes: sentences about what was found while the collection was made, for the report.
        kind: `"image"` or `"video"`.
        groups: text per item: items of one group (a scene cut into clips, as in UCF101) must not be split.
        boxes: array `(items, 4)` of `(x, y, width, height)` in pixels: images are cut out before anything else.
        label_sets: tuple of labels per item where items can have several (ActivityNet); `labels` holds the main one.
        missing: names that an annotation lists and that are not on disk.

    Attributes:
        damage: dictionary from position to what is wrong with an item that is used as far as it can be read, such as a
            truncated video; filled while items are read.

    Raises:
        DataError: if there are no items.

    Example:
        >>> image = np.zeros((8, 8, 3), "uint8")
        >>> collection = Collection([image, image], ["a", "b"], [0, 1], ["train", "test"], ["cat", "dog"])
        >>> len(collection), collection.indices("test").tolist(), collection.read(0).shape
        (2, [1], (8, 8, 3))
    """

    def __init__(
        self,
        sources: Sequence[str | os.PathLike | np.ndarray],
        names: Sequence[str | os.PathLike],
        labels: Sequence[int] | np.ndarray,
        splits: Sequence[str] | np.ndarray,
        class_names: Iterable[str],
        notes: Sequence[str] = (),
        *,
        kind: str = "image",
        groups: Sequence[str] | None = None,
        boxes: Sequence[Sequence[float]] | np.ndarray | None = None,
        label_sets: Sequence[tuple[int, ...]] | None = None,
        missing: Sequence[str] = (),
    ):
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {KINDS}. Received: kind={kind!r}")
        if len(sources) == 0:
            raise DataError(f"There are no {kind}s to work on.")
        self.sources = list(sources)
        self.names: list[Any] = list(names)
        self.labels = np.asarray(labels, "int64")
        self.splits = np.asarray(splits)
        self.class_names = list(class_names)
        self.notes = list(notes)
        self.kind = kind
        self.groups = None if groups is None else list(groups)
        self.boxes = None if boxes is None else np.asarray(boxes, "float32").reshape(-1, 4)
        self.label_sets = None if label_sets is None else [tuple(labels) for labels in label_sets]
        self.missing = list(missing)
        self.damage: dict[int, str] = {}
        for field in ("names", "labels", "splits", "groups", "boxes", "label_sets"):
            value = getattr(self, field)
            if value is not None and len(value) != len(self.sources):
                raise ValueError(f"`{field}` must have {len(self.sources)} entries. Received: {len(value)}")

    def __len__(self):
        return len(self.sources)

    def indices(self, split: str) -> np.ndarray:
        """Positions of the items of a split, in order."""
        return np.flatnonzero(self.splits == split)

    def subset(self, indices: Positions) -> Collection:
        """A collection of some of the items, in the given order."""

        def chosen(values):
            return None if values is None else [values[i] for i in indices]

        return Collection(
            chosen(self.sources),
            chosen(self.names),
            self.labels[indices],
            self.splits[indices],
            self.class_names,
            self.notes,
            kind=self.kind,
            groups=chosen(self.groups),
            boxes=chosen(self.boxes),
            label_sets=chosen(self.label_sets),
            missing=self.missing,
        )

    def of_common_classes(self) -> Collection:
        """The items whose class has both training and test items, and those without a label; classes are renumbered.

        What a partial copy of a data set can be scored on.

        Raises:
            DataError: if no class has both.
        """
        trained, tested = (set(self.labels[self.indices(split)].tolist()) - {UNLABELLED} for split in SPLITS)
        common = sorted(trained & tested)
        if not common:
            raise DataError("No class has both training and test items.")
        if len(common) == len(self.class_names):
            return self
        indices = np.flatnonzero(np.isin(self.labels, [*common, UNLABELLED]))
        chosen = self.subset(indices)
        renumbered = {UNLABELLED: UNLABELLED, **{label: number for number, label in enumerate(common)}}
        chosen.labels = np.array([renumbered[label] for label in chosen.labels.tolist()], "int64")
        if chosen.label_sets is not None:
            chosen.label_sets = [
                tuple(renumbered[label] for label in labels if label in renumbered) for labels in chosen.label_sets
            ]
        chosen.class_names = [self.class_names[label] for label in common]
        chosen.notes.append(
            f"{len(common)} of {len(self.class_names)} classes have both training and test {self.kind}s; the other "
            f"{len(self) - len(chosen)} {self.kind}s are left out."
        )
        return chosen

    def read(self, index: int) -> bytes | np.ndarray:
        """An image's encoded bytes, or the pixels where the collection holds arrays.

        Raises:
            OSError: if the file cannot be read.
            DataError: if it is no file: a named pipe, for example.
        """
        source = self.sources[index]
        return source if isinstance(source, np.ndarray) else read_regular(source)

    def key(self, index: int) -> str:
        """Text that changes when the item does: path, size and time of change, or a digest of the pixels."""
        source = self.sources[index]
        box = "" if self.boxes is None else f":{self.boxes[index].tolist()}"
        if isinstance(source, np.ndarray):
            return f"{source.shape}:{hashlib.sha256(source.tobytes()).hexdigest()}{box}"
        path = Path(source)
        try:
            status = path.stat()
            if path.is_dir():
                return f"{path.absolute()}:{_listing_digest(path)}{box}"
        except OSError:
            return f"{path.absolute()}:absent"
        return f"{path.absolute()}:{status.st_size}:{status.st_mtime_ns}{box}"


def _listing_digest(folder):
    """Digest of the names, sizes and times of a folder's files: what changes when a frame does."""
    with os.scandir(folder) as entries:
        rows = sorted((entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in entries)
    return hashlib.sha256(repr(rows).encode(errors="surrogateescape")).hexdigest()
