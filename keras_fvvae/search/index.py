"""An index: unit vectors on disk, with the names, labels and paths of what they are of."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.errors import DataError
from keras_fvvae.search import folder
from keras_fvvae.search.approximate import GRAPH, nearest_by_graph, open_graph
from keras_fvvae.search.folder import Items
from keras_fvvae.search.nearest import Neighbours, nearest
from keras_fvvae.search.whitening import MEAN, Whitening, unit
from keras_fvvae.search.writing import write_index
from keras_fvvae.utils.batches import require_finite


class Index:
    """Vectors of images or videos that can be searched. `Index.build` makes one, `Index.open` opens it.

        vectors.npy                 unit vectors, float32 or float16, a row an item: read as a memory map
        items.json                  names, labels, paths, SHA-256 of the files
        settings.json               the model that made the vectors, and the views that it took
        whitening_*.npy             where the vectors are whitened: what is applied to queries
        graph.usearch               where there is approximate search: its graph
        manifest.json               SHA-256 of every file; written last

    Attributes:
        path: its folder.
        vectors: `(items, dimension)`, a memory map.
        items: `Items`: lists of names, labels, paths and digests.
        encoding: what the vectors depend on (`keras_fvvae.encoding.item_encoder.Encoding.settings`); `None` where the
            caller did not say.
        model: run, pack or entry that made them; `None` where the caller did not say.
        whitening: `Whitening`, or `None`.

    Example:
        >>> import tempfile
        >>> vectors = np.array([[1, 0, 0], [0, 2, 0], [3, 3, 0]], "float32")
        >>> index = Index.build(Path(tempfile.mkdtemp(), "index"), vectors, ["a", "b", "c"], labels=["x", "y", "x"])
        >>> found = index.search([[0, 1, 0]], k=2)
        >>> [index.items.names[position] for position in found.positions[0]], found.similarities.round(3).tolist()
        (['b', 'c'], [[1.0, 0.7070000171661377]])
    """

    def __init__(
        self,
        path: Path,
        vectors: np.ndarray,
        items: Items,
        settings: dict[str, Any],
        whitened: Whitening | None,
        has_graph: bool,
    ) -> None:
        self.path = path
        self.vectors = vectors
        self.items = items
        self.encoding: dict[str, Any] | None = settings["encoding"]
        self.model: str | None = settings["model"]
        self.whitening = whitened
        self.has_graph = has_graph

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def build(
        cls,
        path: str | os.PathLike,
        vectors: np.ndarray | Iterable[np.ndarray],
        names: Sequence[str],
        labels: Sequence[str | None] | None = None,
        paths: Sequence[str | None] | None = None,
        digests: Sequence[str | None] | None = None,
        *,
        dtype: str = "float32",
        whiten: bool = False,
        dimension: int | None = None,
        approximate: bool = False,
        encoding: dict[str, Any] | None = None,
        model: str | None = None,
        seed: int = 0,
    ) -> Index:
        """Writes an index, whole or not at all, and opens it.

        Memory does not grow with the vectors. They are brought to unit norm: similarities are cosines.

        Args:
            path: its folder; must not be there yet, or be empty.
            vectors: array or memory map `(n, D)`, or an iterable of blocks of rows, in the order of the names.
            names: a name an item; distinct.
            labels: a class an item, or `None`s. Default: there are none.
            paths: the file of an item. Default: there are none.
            digests: SHA-256 of the files. Default: not known.
            dtype: `"float32"` or `"float16"`, half the disk and memory; cosines are exact to some 1e-4 then.
            whiten: whether the vectors, and queries later, are whitened, see `Whitening`.
            dimension: of whitened vectors, see `Whitening.fit`.
            approximate: whether a graph is built, for a quick search that finds most of the nearest; needs the extra
                `search`.
            encoding, model: see the attributes; both or none.
            seed: of the sample that whitening is fitted on, where there are very many long vectors.

        Raises:
            DataError: if the folder is not empty or cannot be written, or usearch is not installed.
            ValueError: for vectors that are not finite, not as many as names, or too few for the dimension.
        """
        items = Items.of(names, labels, paths, digests)
        settings = {"encoding": encoding, "model": model}
        write_index(Path(path), vectors, items, settings, dtype, whiten, dimension, approximate, seed)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | os.PathLike) -> Index:
        """Opens an index; the SHA-256 of every file is compared, which reads the vectors once.

        Raises:
            DataError: if it is none, is damaged or was altered, or is of a newer format.
        """
        path = Path(path)
        files = folder.check_files(path)
        items = folder.read_items(path)
        vectors = folder.read_vectors(path, len(items))
        whitened = None
        if MEAN in files:
            try:
                whitened = Whitening.load(path)
                if whitened.directions.shape[1] != vectors.shape[1]:
                    raise ValueError("they are of other vectors")
            except (OSError, ValueError, EOFError) as error:
                raise DataError(f"The whitening of {path} is damaged ({error}); build the index again.") from error
        return cls(path, vectors, items, folder.read_settings(path), whitened, GRAPH in files)

    @property
    def query_length(self) -> int:
        """Numbers of a query: of a vector as the model makes it."""
        return self.vectors.shape[1] if self.whitening is None else len(self.whitening.mean)

    def prepare(self, queries: Any) -> np.ndarray:
        """Vectors of the model as those of the index: unit norm, whitened where these are.

        Args:
            queries: `(queries, query_length)`.

        Raises:
            ValueError: for another length, and for NaN or infinite numbers.
        """
        queries = np.asarray(queries, "float32")
        if queries.ndim != 2 or queries.shape[1] != self.query_length:
            raise ValueError(
                f"The vectors of {self.path} are of {self.query_length} numbers: `queries` must have the shape "
                f"(queries, {self.query_length}). Received: {queries.shape}"
            )
        require_finite(queries, "queries")
        queries = unit(queries)
        return queries if self.whitening is None else self.whitening.apply(queries)

    def search(self, queries: Any, k: int = 10, approximate: bool = False) -> Neighbours:
        """The items whose vectors have the largest cosines with each query.

        Args:
            queries: `(queries, query_length)`, vectors as the model makes them.
            k: how many are given; of fewer items all.
            approximate: whether the graph is asked, which finds most of them in a fraction of the time.

        Returns:
            `Neighbours`: positions and similarities `(queries, k)`, best first.

        Raises:
            ValueError: for queries of another length, NaN or infinite ones, or a `k` that is not positive.
            DataError: for an approximate search where there is no graph, or no usearch.
        """
        prepared = self.prepare(queries)
        if not approximate:
            return nearest(self.vectors, prepared, k)
        return nearest_by_graph(self.graph, self.vectors, prepared, k)

    @functools.cached_property
    def graph(self) -> Any:
        """The graph of approximate search.

        Raises:
            DataError: where there is none, or no usearch.
        """
        if not self.has_graph:
            raise DataError(f"{self.path} has no graph: build it with `keras-fvvae index --graph`, or search exactly.")
        return open_graph(self.path / GRAPH, self.vectors.shape)

    def require_encoding(self, encoding: dict[str, Any], model: str) -> None:
        """Refuses the queries of another model, or of one that sees other parts of a file.

        Args:
            encoding: `keras_fvvae.encoding.item_encoder.Encoding.settings` of what encodes queries.
            model: its name, for the message.

        Raises:
            DataError: if it is another.
        """
        if self.encoding is None:
            raise DataError(f"{self.path} does not say which model made its vectors: search it by vectors, in Python.")
        if what := self.difference(encoding):
            raise DataError(
                f"{self.path} holds vectors of {what} than {model} would make: search with {self.model}, or build "
                f"an index with {model}."
            )

    def difference(self, encoding: dict[str, Any]) -> str:
        """In what an encoding is another than that of the index, in words; empty where queries may be made by it.

        Args:
            encoding: as of `require_encoding`; of an index without one everything is another.
        """
        own = self.encoding or {}
        for key, what in (("model", "another model"), ("views", "other sizes or crops"), ("kind", "another kind")):
            if key not in own or encoding.get(key) != own[key]:
                return what
        return ""
