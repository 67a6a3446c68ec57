"""Spectral normalisation of matrices: the square root of their singular values, by one eigendecomposition."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

from keras import ops

from keras_fvvae.ops.spectral_products import multiplier_by_products
from keras_fvvae.ops.tensors import at_least_float32

# Singular values below this share of the largest are rounding noise of float32 sums, and are dropped: their root would
# bring them up by a factor of a hundred and more.
NULL_SINGULAR_VALUE = 1e-4

_EIGENVALUES = contextvars.ContextVar("eigenvalues", default=True)


def matrix_square_root(matrices: Any) -> Any:
    """`R (R'R)^(-1/4)`: with the singular values `R = U S V'`, the matrix `U S^(1/2) V'`.

    For a symmetric positive semi-definite `R`, such as a sum of outer products `x x'`, this is its matrix square root.
    It is computed from the eigenvalues of the smaller of `R'R` and `R R'`, in float64 where the backend has it, since
    these are the squares of the singular values. Gradients are finite where singular values are equal or zero.

    Args:
        matrices: tensor `(batch, rows, columns)`.

    Returns:
        Tensor of the shape of `matrices`, at least float32. Singular values below `NULL_SINGULAR_VALUE` of an
        example's largest become zero; a zero matrix stays zero.

    Example:
        >>> import numpy as np
        >>> matrix_square_root(np.diag([9.0, 4.0]).astype("float32")[None]).numpy()[0].round(5).tolist()
        [[3.0, 0.0], [0.0, 2.0]]

    Reference:
        Lin and Maji, "Improved Bilinear Pooling with CNNs", BMVC 2017 (the matrix square root of symmetric matrices).
    """
    return spectral_multiplier(matrices)(matrices)


@contextlib.contextmanager
def without_eigenvalues() -> Iterator[None]:
    """Inside, `matrix_square_root` is made of products of matrices: for graphs of runtimes that have no eigenvalues.

    Example:
        >>> import numpy as np
        >>> with without_eigenvalues():
        ...     matrix_square_root(np.diag([9.0, 4.0]).astype("float32")[None]).numpy()[0].round(4).tolist()
        [[3.0, 0.0], [0.0, 2.0]]
    """
    token = _EIGENVALUES.set(False)
    try:
        yield
    finally:
        _EIGENVALUES.reset(token)


def spectral_multiplier(matrices: Any) -> Callable[[Any], Any]:
    """What makes the root of matrices: a function from X to `X F`, `F = (R'R)^(-1/4)`.

    With `F` held, the root `R F` splits over the terms of a sum `R = sum_t R_t` exactly.

    Returns:
        Function of matrices `(batch, rows, columns)`, linear; where there are fewer rows than columns it gives `F X`
        with `F = (R R')^(-1/4)`, which makes the same root.
    """
    matrices = at_least_float32(ops.convert_to_tensor(matrices))
    if not _EIGENVALUES.get():
        return multiplier_by_products(matrices, NULL_SINGULAR_VALUE)
    tall = matrices.shape[1] >= matrices.shape[2]
    gram = _gram(matrices) if tall else _gram(ops.swapaxes(matrices, 1, 2))
    factor = ops.cast(inverse_fourth_root(gram), matrices.dtype)
    return lambda others: ops.matmul(others, factor) if tall else ops.matmul(factor, others)


def _gram(matrices):
    """`R'R` in float64: its eigenvalues span the square of what the singular values do."""
    matrices = ops.cast(matrices, "float64")
    return ops.matmul(ops.swapaxes(matrices, 1, 2), matrices)


@ops.custom_gradient
def inverse_fourth_root(matrices: Any) -> Any:
    """`A^(-1/4)` of symmetric positive semi-definite matrices `(batch, n, n)`, zero on what is dropped.

    The derivative of `V f(L) V'` is `V (K * (V' dA V)) V'` with the divided differences
    `K_ij = (f(l_i) - f(l_j)) / (l_i - l_j)`, `f'(l_i)` where they are equal (Daleckii and Krein): finite where that of
    the eigenvectors is not.
    """
    values, vectors = ops.linalg.eigh(matrices)
    largest = ops.maximum(values[:, -1:], 0.0)
    kept = ops.logical_and(values > NULL_SINGULAR_VALUE**2 * largest, values > 0)
    safe = ops.where(kept, values, ops.ones_like(values))
    powers = ops.where(kept, safe**-0.25, ops.zeros_like(values))

    def gradient(*args, upstream=None):
        (upstream,) = args if upstream is None else (upstream,)
        upstream = (upstream + ops.swapaxes(upstream, 1, 2)) / 2
        inner = ops.matmul(ops.matmul(ops.swapaxes(vectors, 1, 2), upstream), vectors)
        inner = inner * _divided_differences(safe, powers, kept)
        return ops.matmul(ops.matmul(vectors, inner), ops.swapaxes(vectors, 1, 2))

    return ops.matmul(vectors * powers[:, None, :], ops.swapaxes(vectors, 1, 2)), gradient


def _divided_differences(values, powers, kept):
    """`K` of `f(l) = l^(-1/4)`, written without the differences that cancel; zero between dropped values.

    With `a = l_i^(1/4)`, `b = l_j^(1/4)`: `(1/a - 1/b) / (a^4 - b^4) = -1 / (a b (a + b) (a^2 + b^2))`.
    """
    root = ops.where(kept, values**0.25, ops.zeros_like(values))
    a, b = root[:, :, None], root[:, None, :]
    both = ops.logical_and(kept[:, :, None], kept[:, None, :])
    between = a * b * (a + b) * (ops.square(a) + ops.square(b))
    inside = -1.0 / ops.where(both, between, ops.ones_like(between))
    # Of a kept and a dropped value, both it and its f held at zero: f(l_i) / l_i, and f is zero for the dropped one.
    one = ops.logical_xor(kept[:, :, None], kept[:, None, :])
    mixed = powers[:, :, None] / values[:, :, None] + powers[:, None, :] / values[:, None, :]
    return ops.where(both, inside, ops.where(one, mixed, ops.zeros_like(mixed)))
