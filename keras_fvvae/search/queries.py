"""Files as queries: encoded by the model of the index, or refused."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from keras_fvvae.builders.encoders import load_encoder
from keras_fvvae.data.items import item_collection
from keras_fvvae.data.readers.jpeg_scale import EXACT
from keras_fvvae.encoding.item_encoder import open_encoding
from keras_fvvae.search.building import file_digest
from keras_fvvae.search.index import Index
from keras_fvvae.zoo.reader import ItemReader


class QueryEncoder:
    """Encodes queries for an index as its items were encoded, and searches it.

    Args:
        index: an `Index` that a model has made (`index_data`).
        model: where that model is now. Default: where it was.

    Raises:
        DataError: if it is another model than that of the index, or the index does not say which made it.
        RunError, WeightsError: if it cannot be loaded.
    """

    def __init__(self, index: Index, model: str | os.PathLike | None = None) -> None:
        self.index = index
        source = os.fspath(model) if model is not None else index.model
        if index.encoding is None or source is None:
            index.require_encoding({}, str(source))
        decoder = index.encoding.get("views", {}).get("decoder", EXACT)
        encoding = open_encoding(source, index.encoding["kind"], decoder=decoder)
        index.require_encoding(encoding.settings, source)
        self.encoder = load_encoder(encoding.model)
        self.reader = ItemReader(encoding.views, encoding.kind)

    @property
    def kind(self) -> str:
        """What the index is of: `"image"` or `"video"`."""
        return self.reader.kind

    def search(
        self, files: Sequence[str | os.PathLike], k: int = 10, approximate: bool = False
    ) -> Iterator[dict[str, Any]]:
        """The neighbours of files.

        Args:
            files: paths of images, or of videos where the index is of videos.
            k, approximate: see `Index.search`.

        Yields:
            For every file in order a dictionary: `file` and either `neighbours` or `error`, the reason why the file
            could not be used. A neighbour is a dictionary: `name`, `path`, `label` (`None` where there is none),
            `similarity` (cosine), and `same_file`: whether the bytes of both files are the same.
        """
        items = self.index.items
        for vectors, positions in self.reader.vector_batches(self.encoder, item_collection(files, self.kind)):
            found = self.index.search(vectors, k, approximate) if len(vectors) else None
            row = 0
            for number, reason in positions:
                file = os.fspath(files[number])
                if reason:
                    yield {"file": file, "error": reason}
                    continue
                digest = file_digest(file)
                pairs = zip(found.positions[row].tolist(), found.similarities[row].tolist(), strict=True)
                neighbours = [
                    {
                        "name": items.names[position],
                        "path": items.paths[position],
                        "label": items.labels[position],
                        "similarity": similarity,
                        "same_file": digest is not None and digest == items.digests[position],
                    }
                    for position, similarity in pairs
                ]
                row += 1
                yield {"file": file, "neighbours": neighbours}
