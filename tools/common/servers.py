"""Asking a server about the files that a user names."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_fvvae.tools.common.console import load_tensorflow_quietly

if TYPE_CHECKING:
    from keras_fvvae.serving.client import Client

# Of lists, see `keras_fvvae.data.datasets.listing`; importing it would take a server's client seconds.
LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson")


def ask_server(
    server: str,
    model: str | None,
    paths: Sequence[str],
    ask: Callable[[Client, Sequence[str]], Iterator[dict]],
    verbose: bool = False,
) -> Iterator[dict]:
    """What a server says of the files that paths stand for, in their order.

    Args:
        server: its URL.
        model: name of its model; `None`: the only one.
        paths: files, folders, patterns and lists.
        ask: from a client and files to a dictionary for each.
        verbose: whether a progress bar is drawn.
    """
    from keras_fvvae.serving.client import Client

    with Client(server, model) as client:
        if not verbose and all(_is_plain(path) for path in paths):
            yield from ask(client, paths)
            return
        # Only where folders are to be searched or lists read: their readers come with TensorFlow.
        load_tensorflow_quietly()
        from keras_fvvae.tasks.files import results_of

        inputs = client.signatures().get("serving_default", {"inputs": ()})["inputs"]
        kind = "video" if "frames" in inputs else "image"
        yield from results_of(paths, kind, lambda usable: ask(client, usable), verbose)


def _is_plain(path: str) -> bool:
    """Whether a path stands for itself: no folder, pattern or list."""
    return not (Path(path).is_dir() or glob.has_magic(path) or path.lower().endswith(LIST_SUFFIXES))
