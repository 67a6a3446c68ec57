"""What the server asks of an index; `keras_fvvae.search.Index`, which builds on parts that the server does without."""

from __future__ import annotations

import os
from typing import Any, Protocol

import numpy as np


class ServedItems(Protocol):
    """The names, labels, paths and SHA-256 of an index's items, see `keras_fvvae.search.folder.Items`."""

    names: list[str]
    labels: list[str | None]
    paths: list[str | None]
    digests: list[str | None]


class ServedIndex(Protocol):
    """An index, see `keras_fvvae.search.Index`."""

    path: Any
    vectors: np.ndarray
    items: Any
    encoding: dict[str, Any] | None
    model: str | os.PathLike | None
    whitening: Any

    def __len__(self) -> int: ...

    def search(self, queries: Any, k: int) -> Any:
        """Positions and similarities `(queries, k)`, best first."""

    def difference(self, encoding: dict[str, Any]) -> str:
        """In what an encoding is another, in words; empty where it is the same."""
