"""Second-order pooling: sums of outer products of descriptors, and compact forms of the same kernel."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from keras_fvvae.ops import normalization
from keras_fvvae.ops.tensors import at_least_float32, clear_masked

# Features of `random_maclaurin` made at a time: their intermediate values stay in the processor's cache (measured: 1.7
# to 4 times faster than all of 16,384 at once), and memory does not grow with the number of features.
BLOCK_FEATURES = 512
# Spectra of T sketches take as long as the sketch of one outer product at `T * output_dim = 2.5 * C1 * C2` (measured).
SKETCHES_PER_PRODUCT = 2.5


def bilinear_pool(x: Any, y: Any, mask: Any = None) -> Any:
    """Sum of outer products, `B = sum_t x_t y_t'`, flattened row by row.

    Args:
        x: tensor `(batch, T, C1)`.
        y: tensor `(batch, T, C2)`; `x` itself for one stream.
        mask: optional boolean `(batch, T)`; pairs where it is false contribute nothing.

    Returns:
        Tensor `(batch, C1 * C2)`, entry `i * C2 + j` for `x_i y_j`; float32 even from half-precision inputs.
    """
    x, y = _wide_and_clear(x, y, mask)
    product = ops.matmul(ops.swapaxes(x, 1, 2), y)  # (batch, C1, C2)
    return ops.reshape(product, (-1, x.shape[-1] * y.shape[-1]))


def random_maclaurin(x: Any, y: Any, x_signs: Any, y_signs: Any, mask: Any = None) -> Any:
    """Random Maclaurin features of degree 2: `phi = m^(-1/2) sum_t (W1' x_t) * (W2' y_t)`.

    With independent random signs, `E <phi(x, y), phi(u, v)> = <x, u> <y, v>`: the inner product of the outer products.
    Nothing of `T * m` numbers is held, unless a gradient is taken: features are made block by block, from the
    descriptors or, where these are many (`T > C1 C2 / (C1 + C2)`, known beforehand), from the sum of outer products `B`
    by `phi = m^(-1/2) sum_i W1_i * (B W2)_i`, which is the same.

    Args:
        x: tensor `(batch, T, C1)`.
        y: tensor `(batch, T, C2)`; `x` itself for one stream.
        x_signs: tensor `(C1, m)` of -1 and 1, `W1`.
        y_signs: tensor `(C2, m)` of -1 and 1, `W2`, independent of `x_signs`.
        mask: optional boolean `(batch, T)`.

    Returns:
        Tensor `(batch, m)`; float32 even from half-precision inputs.
    """
    x, y = _wide_and_clear(x, y, mask)
    x_signs, y_signs = ops.cast(x_signs, x.dtype), ops.cast(y_signs, y.dtype)
    count, (x_channels, features), y_channels = x.shape[1], x_signs.shape, y_signs.shape[0]
    if count is not None and count * (x_channels + y_channels) > x_channels * y_channels:
        # Projecting B costs less than projecting every descriptor: phi = m^(-1/2) sum_i W1_i * (B W2)_i.
        y = ops.matmul(ops.swapaxes(x, 1, 2), y)  # (batch, C1, C2)
        x = None

    def block(start, size):
        start = ops.convert_to_tensor(start, "int32")
        corner = ops.stack([ops.zeros_like(start), start])
        left = ops.slice(x_signs, corner, (x_channels, size))
        right = ops.matmul(y, ops.slice(y_signs, corner, (y_channels, size)))
        return ops.sum((left if x is None else ops.matmul(x, left)) * right, axis=1)  # (batch, size)

    rest = features % BLOCK_FEATURES
    parts = [block(features - rest, rest)] if rest else []
    if features > rest:
        blocks = ops.map(lambda start: block(start, BLOCK_FEATURES), ops.arange(0, features - rest, BLOCK_FEATURES))
        parts.insert(0, ops.reshape(ops.swapaxes(blocks, 0, 1), (-1, features - rest)))
    return ops.concatenate(parts, axis=-1) / math.sqrt(features)


def count_sketch(x: Any, buckets: Any, signs: Any, output_dim: int) -> Any:
    """Count sketch: entry `c` of `x`, times its sign, is added to its bucket.

    Args:
        x: tensor `(batch, T, C)`.
        buckets: integer tensor `(C,)`, from 0 to `output_dim - 1`.
        signs: tensor `(C,)` of -1 and 1.
        output_dim: number of buckets.

    Returns:
        Tensor `(batch, T, output_dim)`.
    """
    signed = ops.transpose(x * ops.cast(signs, x.dtype), (2, 0, 1))  # (C, batch, T)
    sketch = ops.segment_sum(signed, ops.cast(buckets, "int32"), num_segments=output_dim)
    return ops.transpose(sketch, (1, 2, 0))


def tensor_sketch(
    x: Any, y: Any, x_hash: tuple[Any, Any], y_hash: tuple[Any, Any], output_dim: int, mask: Any = None
) -> Any:
    """Tensor Sketch of degree 2: the count sketch of `sum_t x_t y_t'`. `E <phi(x, y), phi(u, v)> = <x, u> <y, v>`.

    The count sketch of an outer product, with bucket `(h1(i) + h2(j)) mod d` and sign `s1(i) s2(j)`, is the circular
    convolution of the two vectors' sketches: a product of their spectra. The sum over descriptors is taken on the
    spectra, so that one inverse transform serves an image. For many descriptors, or a number not known beforehand, the
    sum of outer products itself is sketched: the same numbers, from `C1 C2` instead of `T d` intermediate values.

    Args:
        x: tensor `(batch, T, C1)`.
        y: tensor `(batch, T, C2)`; `x` itself for one stream.
        x_hash: pair of `buckets` and `signs` for `x`, see `count_sketch`.
        y_hash: the same for `y`, independent of `x_hash`.
        output_dim: integer, `d`.
        mask: optional boolean `(batch, T)`.

    Returns:
        Tensor `(batch, output_dim)`; float32 even from half-precision inputs.
    """
    x, y = _wide_and_clear(x, y, mask)
    count, pairs = x.shape[1], x.shape[-1] * y.shape[-1]
    if count is None or count * output_dim > SKETCHES_PER_PRODUCT * pairs:
        return _sketch_of_product(x, y, x_hash, y_hash, output_dim)
    x_real, x_imaginary = ops.rfft(count_sketch(x, *x_hash, output_dim))  # (batch, T, output_dim // 2 + 1)
    y_real, y_imaginary = ops.rfft(count_sketch(y, *y_hash, output_dim))
    real = ops.sum(x_real * y_real - x_imaginary * y_imaginary, axis=1)
    imaginary = ops.sum(x_real * y_imaginary + x_imaginary * y_real, axis=1)
    return ops.reshape(ops.irfft((real, imaginary), fft_length=output_dim), (-1, output_dim))


def _sketch_of_product(x: Any, y: Any, x_hash: tuple[Any, Any], y_hash: tuple[Any, Any], output_dim: int) -> Any:
    """The count sketch of `sum_t x_t y_t'` from the matrix itself."""
    (x_buckets, x_signs), (y_buckets, y_signs) = x_hash, y_hash
    x, y = x * ops.cast(x_signs, x.dtype), y * ops.cast(y_signs, y.dtype)
    product = ops.reshape(ops.matmul(ops.swapaxes(x, 1, 2), y), (-1, x.shape[-1] * y.shape[-1]))
    buckets = (ops.expand_dims(x_buckets, 1) + ops.expand_dims(y_buckets, 0)) % output_dim
    buckets = ops.cast(ops.reshape(buckets, (-1,)), "int32")
    return ops.transpose(ops.segment_sum(ops.transpose(product), buckets, num_segments=output_dim))


def normalize_bilinear(vectors: Any) -> Any:
    """Signed square root, then unit L2 norm, with finite gradients where entries are exactly zero.

    Args:
        vectors: tensor `(batch, n)`.

    Returns:
        Tensor `(batch, n)`; zero entries, and so zero vectors, stay zero and pass no gradient.
    """
    return normalization.l2_normalize(normalization.signed_sqrt(vectors), axis=-1)


def _wide_and_clear(x: Any, y: Any, mask: Any) -> tuple[Any, Any]:
    """Both streams in at least float32 and without masked descriptors; cleared once where they are the same."""
    x_clear = clear_masked(at_least_float32(x), mask)
    return x_clear, x_clear if y is x else clear_masked(at_least_float32(y), mask)
