"""Spectral normalisation of matrices: the square root of their singular values, by one eigendecomposition."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

from keras import ops

from keras_fvvae.ops.spectral_products import root_by_products
from keras_fvvae.ops.tensors import at_least_float32

# Singular values below this share of the largest are rounding noise of float32 sums, and are dropped: their root would
# bring them up by a factor of a hundred and more.
NULL_SINGULAR_VALUE = 1e-4

_EIGENVALUES = contextvars.ContextVar("eigenvalues", default=True)


def matrix_square_root(matrices: Any, factor: Any = None) -> Any:
    """`R (R'R)^(-1/4)`: with the singular values `R = U S V'`, the matrix `U S^(1/2) V'`.

    For a symmetric positive semi-definite `R`, such as a sum of outer products `x x'`, this is its matrix square root.
    It is computed from the eigenvalues of the smaller of `R'R` and `R R'`, in float64 where the backend has it, since
    these are the squares of the singular values. Gradients are finite where singular values are equal or zero.

    Args:
        matrices: tensor `(batch, rows, columns)`.
        factor: their `spectral_factor`, where it is known.

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
    matrices = at_least_float32(ops.convert_to_tensor(matrices))
    if factor is None and not _EIGENVALUES.get():
        return root_by_products(matrices, NULL_SINGULAR_VALUE)
    factor = spectral_factor(matrices) if factor is None else factor
    return ops.matmul(matrices, factor) if _is_tall(matrices) else ops.matmul(factor, matrices)


@contextlib.contextmanager
def without_eigenvalues() -> Iterator[None]:
    """Inside, `matrix_square_root` is of products of matrices: for graphs of runtimes that have no eigenvalues.

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


def spectral_factor(matrices: Any) -> Any:
    """What `matrix_square_root` multiplies with: `R F` for matrices of no fewer rows than columns, `F R` for others.

    With `F` held, it splits over the terms of a sum `R = sum_t R_t` exactly.

    Returns:
        Tensor `(batch, n, n)` with n the smaller side.
    """
    matrices = at_least_float32(ops.convert_to_tensor(matrices))
    root = inverse_fourth_root(_gram(matrices) if _is_tall(matrices) else _gram(ops.swapaxes(matrices, 1, 2)))
    return ops.cast(root, matrices.dtype)


def _is_tall(matrices: Any) -> bool:
    """Whether matrices `(batch, rows, columns)` have no fewer rows than columns."""
    return matrices.shape[1] >= matrices.shape[2]


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
