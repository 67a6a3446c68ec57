"""Gram matrix, primal weights and decision values of vectors that are read by blocks of columns."""

import math

import numpy as np
from scipy.linalg.blas import dsyrk

from keras_fvvae.svm import row_blocks
from keras_fvvae.utils.checkpoints import Checkpoint
from keras_fvvae.utils.progress import progress_bar

# Rows copied at a time when the lower triangle is mirrored.
MIRROR_ROWS = 1024


def gram_matrix(reader, checkpoint=None, verbose=0):
    """`K = X X'` by symmetric rank-k updates in float64, one per block of columns.

    Half the products of `X @ X.T` are made, in place: the memory is `K` and one block. Products in float32 take about
    half the time but lose vectors far from the origin, whose scalar products differ in the seventh digit
    (docs/benchmarks/svm.md).

    Args:
        reader: `keras_fvvae.svm.row_blocks.ColumnReader` of `(n_samples, n_features)`.
        checkpoint: folder for partial sums, or `None`. A sum that was continued is the same to the bit.
        verbose: 1 for a progress bar.

    Returns:
        Array `(n_samples, n_samples)`, float64, C order.

    Raises:
        ValueError: for NaN or infinite values, and values whose products overflow.
        DataError: if the checkpoint cannot be written.

    Example:
        >>> from keras_fvvae.svm.row_blocks import ColumnReader, RowBlocks
        >>> gram_matrix(ColumnReader(RowBlocks([np.array([[1.0, 2.0], [0.0, 3.0]])]))).tolist()
        [[5.0, 6.0], [6.0, 9.0]]
    """
    count, length = reader.shape
    key = None if checkpoint is None else (reader.digest(), row_blocks.BLOCK_COLUMNS)
    saved = Checkpoint(checkpoint, "gram", key)
    state = saved.load()
    # In Fortran order BLAS takes it in place; only the lower triangle is filled.
    gram = state["gram"] if state else np.zeros((count, count), order="F")
    start = int(state["columns"]) if state else 0
    total, done = _block_count(length), _block_count(start)
    with progress_bar("Gram matrix", total, done, enabled=bool(verbose)) as update:
        for columns, block in reader.blocks(start):
            gram = dsyrk(1.0, block.T, beta=1.0, c=gram, trans=1, lower=1, overwrite_c=1)
            done += 1
            update(done)
            if saved.is_due or (done == total and checkpoint is not None):
                saved.save(gram=gram, columns=np.array(columns.stop))
    if not np.isfinite(gram.diagonal()).all():
        row = int(np.argmin(np.isfinite(gram.diagonal())))
        raise ValueError(f"`X` holds values whose squares overflow, first in row {row}: infinity; scale the vectors.")
    _mirror(gram)
    return gram.T


def normalise_gram(gram):
    """Makes the Gram matrix that of unit-length rows, in place: `K_ij / sqrt(K_ii K_jj)`.

    Returns:
        `(n_samples,)`: factor of every row, `1 / sqrt(K_ii)`; 0 for a zero row, which stays zero.
    """
    norms = np.sqrt(gram.diagonal())
    factors = _inverse(norms)
    gram *= factors
    gram *= factors[:, np.newaxis]
    return factors


def primal_weights(duals, reader, verbose=0):
    """`W = B X` for dual coefficients `B` `(n_problems, n_samples)`: `(n_problems, n_features)` in float64."""
    weights = np.empty((len(duals), reader.shape[1]))
    with progress_bar("Weights", _block_count(reader.shape[1]), enabled=bool(verbose)) as update:
        for done, (columns, block) in enumerate(reader.blocks(), start=1):
            np.matmul(duals, block, out=weights[:, columns])
            update(done)
    return weights


def decision_values(reader, weights, intercepts, unit_length=False):
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


def _block_count(columns):
    return math.ceil(columns / row_blocks.BLOCK_COLUMNS)


def _inverse(norms):
    return np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)


def _mirror(gram):
    """Copies the lower triangle to the upper one."""
    for first in range(0, len(gram), MIRROR_ROWS):
        rows = slice(first, first + MIRROR_ROWS)
        corner = gram[rows, rows]
        gram[rows, rows] = np.tril(corner) + np.tril(corner, -1).T
        gram[rows, first + MIRROR_ROWS :] = gram[first + MIRROR_ROWS :, rows].T
