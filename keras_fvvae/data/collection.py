"""A labelled collection of images, wherever they come from."""

import hashlib
from pathlib import Path

import numpy as np

from keras_fvvae.errors import DataError

SPLITS = ("train", "test")
UNLABELLED = -1


class ImageCollection:
    """Images with identity, label and split; pixels are read one at a time, when asked for.

    Args:
        sources: one entry per image: a path, or a uint8 array `(height, width, 3)`.
        names: one name per image, unique, for reports: a path relative to the data folder, for example.
        labels: integer per image, an index into `class_names`; -1 for an unlabelled one.
        splits: `"train"` or `"test"` per image.
        class_names: names of the classes.
        notes: sentences about what was found while the collection was made, for the report.

    Raises:
        DataError: if there are no images.

    Example:
        >>> image = np.zeros((8, 8, 3), "uint8")
        >>> collection = ImageCollection([image, image], ["a", "b"], [0, 1], ["train", "test"], ["cat", "dog"])
        >>> len(collection), collection.indices("test").tolist(), collection.read(0).shape
        (2, [1], (8, 8, 3))
    """

    def __init__(self, sources, names, labels, splits, class_names, notes=()):
        if len(sources) == 0:
            raise DataError("There are no images to work on.")
        self.sources = list(sources)
        self.names = list(names)
        self.labels = np.asarray(labels, "int64")
        self.splits = np.asarray(splits)
        self.class_names = list(class_names)
        self.notes = list(notes)

    def __len__(self):
        return len(self.sources)

    def indices(self, split):
        """Positions of the images of a split, in order."""
        return np.flatnonzero(self.splits == split)

    def subset(self, indices):
        """A collection of some of the images, in the given order."""
        return ImageCollection(
            [self.sources[i] for i in indices],
            [self.names[i] for i in indices],
            self.labels[indices],
            self.splits[indices],
            self.class_names,
            self.notes,
        )

    def read(self, index):
        """The image's encoded bytes, or its pixels where the collection holds arrays.

        Raises:
            OSError: if the file cannot be read.
        """
        source = self.sources[index]
        return source if isinstance(source, np.ndarray) else Path(source).read_bytes()

    def key(self, index):
        """Text that changes when the image does: path, size and time of change, or a digest of the pixels."""
        source = self.sources[index]
        if isinstance(source, np.ndarray):
            return f"{source.shape}:{hashlib.sha256(source.tobytes()).hexdigest()}"
        path = Path(source)
        try:
            status = path.stat()
        except OSError:
            return f"{path.absolute()}:absent"
        return f"{path.absolute()}:{status.st_size}:{status.st_mtime_ns}"
