"""Files and pictures as a trained model wants them: read, resized and cropped as in its training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import ops

from keras_fvvae.data.batch_sizes import items_per_batch
from keras_fvvae.data.collection import Collection
from keras_fvvae.data.items import item_collection
from keras_fvvae.data.pipeline import view_batches
from keras_fvvae.data.views import Views
from keras_fvvae.errors import DataError
from keras_fvvae.models import Classifier, Encoder
from keras_fvvae.training.vectors import mean_raw_vectors


@dataclasses.dataclass(frozen=True)
class ItemReader:
    """Reads images or videos for a model as its training did: what `zoo.load_encoder` gives an encoder as `reader`.

    Attributes:
        views: what is taken of an item.
        kind: `"image"` or `"video"`.
    """

    views: Views
    kind: str

    def vectors(self, encoder: Encoder, items: Any) -> np.ndarray:
        """Normalised vectors `(n, output_dim)`, see `Encoder.encode`."""
        return np.concatenate(list(self._whole_batches(encoder, items)))

    def scores(self, classifier: Classifier, items: Any) -> np.ndarray:
        """Scores `(n, classes)`, see `Classifier.classify`."""
        batches = self._whole_batches(classifier.encoder, items)
        return np.concatenate([ops.convert_to_numpy(classifier.svm(vectors)) for vectors in batches])

    def vector_batches(
        self, encoder: Encoder, collection: Collection
    ) -> Iterator[tuple[np.ndarray, list[tuple[int, str]]]]:
        """Encodes a collection a few items at a time.

        Args:
            encoder: an `Encoder`.
            collection: a `Collection` of this kind.

        Yields:
            Pairs, the items' in order: normalised vectors of those that could be read, and for all of them the position
            and the reason why they could not, empty where they could.
        """
        size = items_per_batch(self.views, self.kind)
        for batch in view_batches(collection, range(len(collection)), self.views, size):
            readable = batch["count"].numpy() > 0
            vectors = np.zeros((0, encoder.output_dim), "float32")
            if readable.any():
                raw = mean_raw_vectors(encoder, batch["views"].numpy(), batch["count"].numpy()[readable])
                vectors = encoder.normalize_on_batch(raw)
            reasons = (reason.decode() for reason in batch["reason"].numpy())
            yield vectors, list(zip(batch["index"].numpy().tolist(), reasons, strict=True))

    def _whole_batches(self, encoder: Encoder, items: Any) -> Iterator[np.ndarray]:
        """Vectors of all items; what cannot be read is an error, or rows would no longer be the caller's items."""
        collection = item_collection(items, self.kind)
        for vectors, positions in self.vector_batches(encoder, collection):
            for index, reason in positions:
                if reason:
                    name = collection.names[index]
                    raise DataError(f"The {self.kind} {name} cannot be used: {reason}. Repair it, or leave it out.")
            yield vectors
