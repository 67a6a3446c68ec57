"""Gram matrix, primal weights and decision values of vectors that are read by blocks of columns."""

from __future__ import annotations

import os

import numpy as np

from keras_fvvae.svm.row_blocks import ColumnReader
from keras_fvvae.utils.checkpoints import CHECKPOINT_SECONDS, Checkpoint
from keras_fvvae.utils.products import add_products
from keras_fvvae.utils.progress import progress_bar

# Rows copied at a time when the lower triangle is mirrored.
MIRROR_ROWS = 1024


def gram_matrix(
    reader: ColumnReader,
    rows: np.ndarray | None = None,
    *,
    checkpoint: str | os.PathLike | None = None,
    key: str = "",
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    verbose: int = 0,
) -> np.ndarray:
    """`K = X X'` by symmetric rank-k updates in float64, one per block of columns.

    Half the products of `X @ X.T` are made, in place: the memory is `K` and one block. Products in float32 take about
    half the time but lose vectors far from the origin, whose scalar products differ in the seventh digit
    (docs/benchmarks/svm.md).

    Args:
        reader: of `(n_samples, n_features)`.
        rows: positions of the rows of X that are wanted. Default: all.
        checkpoint: folder for partial sums, or `None`. A sum that was continued is the same to the bit.
        key: text that tells data apart, for the checkpoint: `ColumnReader.digest`.
        checkpoint_seconds: between two of them.
        verbose: 1 for a progress bar.

    Returns:
        Array `(n_rows, n_rows)`, float64, C order.

    Raises:
        ValueError: for NaN or infinite values, and values whose products overflow.
        DataError: if the checkpoint cannot be written.

    Example:
        >>> from keras_fvvae.svm.row_blocks import RowBlocks
        >>> gram_matrix(ColumnReader(RowBlocks([np.array([[1.0, 2.0], [0.0, 3.0]])]))).tolist()
        [[5.0, 6.0], [6.0, 9.0]]
    """
    count = reader.shape[0] if rows is None else len(rows)
    chosen = None if rows is None else np.asarray(rows).tolist()
    saved = Checkpoint(checkpoint, "gram", (key, chosen, reader.block_columns), checkpoint_seconds)
    state = saved.load()
    # Only the lower triangle is filled.
    gram = state["gram"] if state else np.zeros((count, count), order="F")
    start = int(state["columns"]) if state else 0
    total, done = reader.block_count(), reader.block_count(start)
    with progress_bar("Gram matrix", total, done, enabled=bool(verbose)) as update:
        for columns, block in reader.blocks(start):
            gram = add_products(gram, block if rows is None else block[rows])
            done += 1
            update(done)
            if saved.is_due or (done == total and checkpoint is not None):
                saved.save(gram=gram, columns=np.array(columns.stop))
    if not np.isfinite(gram.diagonal()).all():
        row = int(np.argmin(np.isfinite(gram.diagonal())))
        raise ValueError(f"`X` holds values whose squares overflow, first in row {row}: infinity; scale the vectors.")
    _mirror(gram)
    return gram.T


def cross_gram(reader: ColumnReader, rows: np.ndarray, others: np.ndarray, unit_length: bool = False) -> np.ndarray:
    """Scalar products of some rows of X with others: `(n_rows, n_others)` in float64.

    Args:
        reader: of `(n_samples, n_features)`.
        rows, others: positions of rows of X.
        unit_length: whether they are divided by their L2 norms first; zero rows stay zero.

    Example:
        >>> from keras_fvvae.svm.row_blocks import RowBlocks
        >>> reader = ColumnReader(RowBlocks([np.array([[3.0, 4.0], [1.0, 0.0]])]))
        >>> cross_gram(reader, [0], [0, 1], unit_length=True).round(6).tolist()
        [[1.0, 0.6]]
    """
    products, squares = np.zeros((len(rows), len(others))), np.zeros(reader.shape[0])
    for _, block in reader.blocks():
        products += block[rows] @ block[others].T
        if unit_length:
            squares += np.einsum("nd,nd->n", block, block)
    if unit_length:
        factors = _inverse(np.sqrt(squares))
        products *= factors[others]
        products *= factors[rows][:, np.newaxis]
    return products


def normalize_gram(gram: np.ndarray) -> np.ndarray:
    """Makes the Gram matrix that of unit-length rows, in place: `K_ij / sqrt(K_ii K_jj)`.

    Returns:
        `(n_samples,)`: factor of every row, `1 / sqrt(K_ii)`; 0 for a zero row, which stays zero.
    """
    factors = _inverse(np.sqrt(gram.diagonal()))
    gram *= factors
    gram *= factors[:, np.newaxis]
    return factors


def primal_weights(duals: np.ndarray, reader: ColumnReader, verbose: int = 0) -> np.ndarray:
    """`W = B X` for dual coefficients `B` `(n_problems, n_samples)`: `(n_problems, n_features)` in float64."""
    weights = np.empty((len(duals), reader.shape[1]))
    with progress_bar("Weights", reader.block_count(), enabled=bool(verbose)) as update:
        for done, (columns, block) in enumerate(reader.blocks(), start=1):
            np.matmul(duals, block, out=weights[:, columns])
            update(done)
    return weights


def decision_values(
    reader: ColumnReader, weights: np.ndarray, intercepts: np.ndarray, unit_length: bool = False
) -> np.ndarray:
    """`X W' + b`: `(n_samples, n_problems)` in float64; with `unit_length`, of the rows divided by their L2 norms."""
    scores = np.zeros((reader.shape[0], len(weights)))
    squares = np.zeros(reader.shape[0])
    for columns, block in reader.blocks():
        scores += block @ weights[:, columns].T
        if unit_length:
            squares += np.einsum("nd,nd->n", block, block)
    if unit_length:
        scores *= _inverse(np.sqrt(squares))[:, np.newaxis]
    return scores + intercepts


def _inverse(norms):
    return np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)


def _mirror(gram):
    """Copies the lower triangle to the upper one."""
    for first in range(0, len(gram), MIRROR_ROWS):
        rows = slice(first, first + MIRROR_ROWS)
        corner = gram[rows, rows]
        gram[rows, rows] = np.tril(corner) + np.tril(corner, -1).T
        gram[rows, first + MIRROR_ROWS :] = gram[first + MIRROR_ROWS :, rows].T
