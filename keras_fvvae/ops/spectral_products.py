"""The square root of singular values by products of matrices alone, for runtimes that compute no eigenvalues."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_fvvae.ops.tensors import at_least_float32

# Squarings of R'R by which the largest singular value is found, and the factor by which that estimate is raised: it is
# never too large, and of 256 equal values but for one it is too small by 0.7 % at most.
_SQUARINGS, _MARGIN = 8, 1.01
# Steps that bring the cut to `_CUT_AT`: the fewest that leave the largest values well above it. The last is milder.
_GROWING, _LAST = 8, 0.5
# Where 1 - (1 - x^2)^4 is 1/2.
_CUT_AT = math.sqrt(1 - 0.5**0.25)
# Each steepens the cut by 3/2, until only what is within 0.1 % of it is kept in part: no nearer does float32 tell it.
_SHARPENING = 22
# What rounding in float32 hides.
_CONVERGED = 1e-7
# Below every sum of squares of a matrix of trace 1: a zero matrix is divided by it.
_TINY = 1e-12


def multiplier_by_products(matrices: Any, cut: float) -> Callable[[Any], Any]:
    """A function that multiplies with `F = (R'R)^(-1/4)`, zero on what is dropped, without eigenvalues.

    Of `R = U S V'` itself it makes the root, `R F = U S^(1/2) V'`. With X = M = R / s for an s no smaller than the
    largest singular value, every step is

        Q = a (I - b X'X),    X <- X Q^2,    M <- M Q

    so that `X = R P^2` and `M = R P` with one product P of polynomials of R'R. The a and b of `polynomials` bring the
    singular values of X to 1; then P is `S^(-1/2)` on them, and M is the root. X'X is formed of what has grown already:
    small singular values are not squared away, as they are in a float32 `R'R`. When the values at the cut have become
    `_CUT_AT`, `1 - (1 - X'X)^4` has eigenvalues below 1/2 of what is to be dropped, above of what is to be kept;
    steps `E <- 3 E^2 - 2 E^3` (McWeeny) make a projector of it.

    Of 320 birds of docs/formats.md (112 x 256, of rank 4 to 22) scores differ from those by eigenvalues in float64 by
    at most 3e-6, of 48 textiles (48 x 256, 7 singular values within 5 % of the cut) by 7e-5. It takes 38 products of R
    with an n x n matrix or with itself, n the smaller side, and 65 of two n x n matrices.

    What else there is: Jacobi rotations are as exact, in 8 (n - 1) rounds one after the other. Newton-Schulz iterations
    of R'R in float32, with the least ridge at which they end, differ by 0.4 on the textiles: the cut is 1e-8 there.

    Args:
        matrices: tensor `(batch, rows, columns)`, sides known.
        cut: singular values below this share of an example's largest become zero.

    Returns:
        Function from matrices of that shape to others, `X F`; `F X` where there are fewer rows than columns. It is
        linear, and all of zero matrices becomes zero.

    Example:
        >>> import numpy as np
        >>> matrices = np.diag([16.0, 4.0]).astype("float32")[None]
        >>> multiplier_by_products(matrices, 1e-4)(np.ones_like(matrices)).numpy()[0].round(4).tolist()
        [[0.25, 0.5], [0.25, 0.5]]

    Reference:
        Higham, "Functions of Matrices", 2008, chapters 7 and 8 (iterations for roots and for the polar factor);
        McWeeny, "Some Recent Advances in Density Matrix Theory", Reviews of Modern Physics 32, 1960.
    """
    matrices = at_least_float32(ops.convert_to_tensor(matrices))
    if matrices.shape[1] < matrices.shape[2]:
        of_tall = multiplier_by_products(ops.swapaxes(matrices, 1, 2), cut)
        return lambda others: ops.swapaxes(of_tall(ops.swapaxes(others, 1, 2)), 1, 2)
    largest_entry = ops.max(ops.abs(matrices), axis=(1, 2), keepdims=True)
    # Entries of at most 1 overflow nothing; the largest singular value is at least 1 then, but for a zero matrix.
    unit = ops.where(largest_entry > 0, largest_entry, ops.ones_like(largest_entry))
    scaled = matrices / unit
    size = _MARGIN * _largest_singular_value(scaled)
    x = scaled / size
    grams, kept = [], None
    for index, (a, b) in enumerate(polynomials(cut)):
        gram = _gram(x)
        squared = _square(gram)
        if index == _GROWING:  # 1 - (1 - gram)^4
            kept = 4.0 * gram - 6.0 * squared + ops.matmul(4.0 * gram - squared, squared)
        grams.append(gram)
        # Written out, an identity matrix takes no room in the file.
        x = a * a * (x - b * ops.matmul(x, 2.0 * gram - b * squared))
    for _ in range(_SHARPENING):
        squared = _square(kept)
        kept = 3.0 * squared - 2.0 * ops.matmul(squared, kept)

    def multiply(others):
        root = at_least_float32(ops.convert_to_tensor(others)) / unit / size
        for (a, b), gram in zip(polynomials(cut), grams, strict=True):
            root = a * (root - b * ops.matmul(root, gram))
        return ops.matmul(root, kept) * ops.sqrt(size * largest_entry)

    return multiply


@functools.lru_cache
def polynomials(cut: float) -> tuple[tuple[float, float], ...]:
    """The a and b of the steps: of the polynomials `f(x) = x a^2 (1 - b x^2)^2`, whose largest value on 0 to 1 is 1.

    The first `_GROWING` bring what starts at the cut to `_CUT_AT`, and what is above it to more. The others raise the
    smallest value of an interval that ends at 1 as far as a polynomial of this kind can, until it is 1.

    Raises:
        ValueError: for a cut that so few steps do not bring there.

    Example:
        >>> x = 0.02
        >>> for a, b in polynomials(1e-4):
        ...     x = x * (a * (1 - b * x * x)) ** 2
        >>> round(x, 6)
        1.0
    """

    def grown(b):
        x = cut / _MARGIN
        for _ in range(_GROWING - 1):
            x = _step(x, b)
        return _step(x, _LAST)

    growing = _bisected(lambda b: grown(b) - _CUT_AT)
    if abs(grown(growing) - _CUT_AT) > _CONVERGED:
        raise ValueError(f"`cut` must be a share that {_GROWING} steps can bring to 1, such as 1e-4. Received: {cut}")
    steps, smallest = [growing] * (_GROWING - 1) + [_LAST], _CUT_AT
    while smallest < 1 - _CONVERGED:
        b = _bisected(lambda b, low=smallest: _step(low, b) - _step(1.0, b))  # as high at both ends
        steps.append(b)
        smallest = min(_step(smallest, b), _step(1.0, b))
    return tuple((math.sqrt(_rise(b)), b) for b in steps)


def _rise(b):
    """The a^2 for which the largest value, at x^2 = 1 / (5 b), is 1."""
    return math.sqrt(5 * b) / 0.64


def _step(x, b):
    return _rise(b) * x * (1 - b * x * x) ** 2


def _bisected(function):
    """Where an increasing function of b is zero: from 1/5, of which the largest value is at x = 1, to 1."""
    low, high = 0.2, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return low


def _gram(x):
    return ops.matmul(ops.swapaxes(x, 1, 2), x)


def _square(x):
    return ops.matmul(x, x)


def _largest_singular_value(matrices):
    """`(batch, 1, 1)`, at least 1: the mean of the eigenvalues of `A = R'R`, weighted by their powers."""
    gram = _gram(matrices)
    trace = ops.sum(ops.square(matrices), axis=(1, 2), keepdims=True)
    power = gram / ops.maximum(trace, 1.0)
    for _ in range(_SQUARINGS):
        # The trace of the square of a symmetric matrix is the sum of its squared entries.
        power = _square(power) / ops.maximum(ops.sum(ops.square(power), axis=(1, 2), keepdims=True), _TINY)
    weighted = ops.sum(power * gram, axis=(1, 2), keepdims=True)
    return ops.sqrt(ops.maximum(weighted, 1.0))
