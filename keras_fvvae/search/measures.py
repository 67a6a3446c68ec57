"""How good the neighbours are: every labelled item is a query, and the others of its class are what it should find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from keras_fvvae.errors import DataError
from keras_fvvae.evaluation.bootstrap import bootstrap_intervals
from keras_fvvae.search.index import Index
from keras_fvvae.search.nearest import row_blocks

# Similarities of a block of queries to all items, 64 MB.
SIMILARITIES = 2**24


def retrieval_metrics(
    index: Index, ks: Sequence[int] = (1, 10), most_queries: int | None = None, resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Recall at k and mean average precision over the labelled items of an index, each left out of its own answer.

        recall at k     share of the queries that have an item of their class among the first k
        mAP             mean over the queries of the average precision, the mean of the precision at each item of the
                        class, over the whole ranking

    Both as in metric learning and retrieval; this average precision is not interpolated, as PASCAL VOC's and
    ActivityNet's is. Items without a label are distractors: they are ranked, and right for nobody. An item whose class
    has no other is no query.

    Args:
        index: an `Index` with labels.
        ks: positive integers.
        most_queries: a sample of so many queries. Default: all.
        resamples: of the bootstrap over queries; 0 for no intervals.
        seed: of the sample and the bootstrap.

    Returns:
        Dictionary: `queries`; `recall`, a dictionary from k, as text, to `value`, `low` and `high` (95 %); `map`, the
        same three numbers.

    Raises:
        DataError: if no class has two items.
        ValueError: for a `k` that is not positive.

    Example:
        >>> import tempfile
        >>> vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.9, 0.4]], "float32")
        >>> index = Index.build(tempfile.mkdtemp(), vectors, ["1", "2", "3", "4"], labels=["a", "a", "b", "b"])
        >>> found = retrieval_metrics(index, ks=(1, 2), resamples=0)
        >>> found["recall"]["1"]["value"], found["recall"]["2"]["value"], round(found["map"]["value"], 3)
        (0.75, 0.75, 0.833)
    """
    if not ks or min(ks) < 1:
        raise ValueError(f"`ks` must be positive. Received: {tuple(ks)}")
    names = {name: number for number, name in enumerate(sorted(set(index.items.labels) - {None}))}  # type: ignore[type-var]
    labels = np.array([names.get(label, -1) for label in index.items.labels])  # type: ignore[arg-type]
    counts = np.bincount(labels[labels >= 0], minlength=1)
    queries = np.flatnonzero((labels >= 0) & (counts[np.maximum(labels, 0)] > 1))
    if not len(queries):
        raise DataError(f"{index.path} has no class of two items or more: there is nothing to find.")
    if most_queries is not None and most_queries < len(queries):
        queries = np.sort(np.random.default_rng(seed).choice(queries, most_queries, replace=False))
    rows = max(1, SIMILARITIES // len(index))
    values = np.concatenate(
        [_of_block(index, labels, queries[start : start + rows], ks) for start in range(0, len(queries), rows)]
    )
    results = bootstrap_intervals(lambda weights: weights @ values / len(values), len(values), resamples, seed=seed)
    found = [dict(zip(("value", "low", "high"), map(float, row), strict=True)) for row in zip(*results, strict=True)]
    if not resamples:
        found = [{"value": one["value"]} for one in found]
    recall = dict(zip(map(str, ks), found, strict=False))
    return {"queries": len(values), "recall": recall, "map": found[-1]}


def _of_block(index, labels, queries, ks):
    """`(queries, len(ks) + 1)`: hits at each k, and average precisions."""
    vectors = np.asarray(index.vectors[queries], "float32")
    similarities = np.empty((len(queries), len(index)), "float32")
    for start, block in row_blocks(index.vectors):
        similarities[:, start : start + len(block)] = vectors @ block.T
    values = np.empty((len(queries), len(ks) + 1))
    for row, query in enumerate(queries):
        others = np.delete(similarities[row], query)
        relevant = np.delete(labels, query) == labels[query]
        first = relevant[np.argsort(-others, kind="stable")[: max(ks)]]
        values[row] = [*(first[:k].any() for k in ks), average_precision_score(relevant, others)]
    return values
