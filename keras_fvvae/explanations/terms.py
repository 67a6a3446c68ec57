"""The table of representations whose scores can be split: what each is a sum of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_fvvae import layers
from keras_fvvae.ops import codebooks
from keras_fvvae.ops.tensors import at_least_float32

# Every head's representation is a sum of outer products x_t y_t' (or linear in it). A function of the table takes the
# head, the descriptors (n, T, C) and the multipliers (batch, entries) and gives triples (x, y, matrix) such that a
# descriptor's part is the sum of x_t' matrix y_t over them.
Term = tuple[Any, Any, Any]


def can_explain(head: keras.layers.Layer) -> bool:
    """Whether scores of representations made by this layer can be split: a known sum, not normalised by the layer."""
    return type(head) in TERMS and not getattr(head, "normalization", None)


def _fisher_terms(head: Any, descriptors: Any, multipliers: Any) -> Iterator[Term]:
    start = 0
    for gradient, extended in head.factors(descriptors):
        rows, columns = gradient.shape[-1], extended.shape[-1]
        block = multipliers[:, start : start + rows * columns]
        start += rows * columns
        yield gradient, extended, ops.reshape(block, (-1, rows, columns))


def _maclaurin_terms(head: Any, descriptors: Any, multipliers: Any) -> Iterator[Term]:
    gradient, extended = head.head.factors(descriptors)[0]
    row_signs, column_signs = head.row_signs, head.column_signs
    if head.information == "separable":
        row_signs = ops.expand_dims(head.row_scale, 1) * row_signs
        column_signs = ops.expand_dims(head.column_scale, 1) * column_signs
    yield gradient, extended, _projected(multipliers, row_signs, column_signs)


def _bilinear_terms(head: Any, descriptors: Any, multipliers: Any) -> Iterator[Term]:
    x, y = _pair(descriptors)
    yield x, y, ops.reshape(multipliers, (-1, x.shape[-1], y.shape[-1]))


def _random_maclaurin_terms(head: Any, descriptors: Any, multipliers: Any) -> Iterator[Term]:
    x, y = _pair(descriptors)
    yield x, y, _projected(multipliers, head.x_signs, head.y_signs)


def _average_terms(head: Any, descriptors: Any, multipliers: Any) -> Iterator[Term]:
    descriptors = at_least_float32(descriptors)
    shares = ops.ones_like(descriptors[..., :1]) / descriptors.shape[1]
    yield shares, descriptors, ops.expand_dims(multipliers, 1)


def _vlad_terms(head: Any, descriptors: Any, multipliers: Any) -> Iterator[Term]:
    descriptors = at_least_float32(descriptors)
    centroids = ops.cast(head.centroids, descriptors.dtype)
    assignments = codebooks.hard_assignments(descriptors, centroids)
    # x_t - c_k = [I, -c_k] [x_t; 1]
    extended = ops.concatenate([descriptors, ops.ones_like(descriptors[..., :1])], axis=-1)
    matrix = ops.reshape(multipliers, (-1, *centroids.shape))
    constants = -ops.sum(matrix * centroids, axis=-1, keepdims=True)
    yield assignments, extended, ops.concatenate([matrix, constants], axis=-1)


def _pair(descriptors: Any) -> tuple[Any, Any]:
    pair = descriptors if isinstance(descriptors, list | tuple) else (descriptors,) * 2
    return tuple(at_least_float32(one) for one in pair)


def _projected(multipliers: Any, x_signs: Any, y_signs: Any) -> Any:
    """`W1 diag(m) W2' / sqrt(features)`, the matrix between both factors before the random projection."""
    x_signs, y_signs = (ops.cast(one, multipliers.dtype) for one in (x_signs, y_signs))
    scale = multipliers.shape[-1] ** -0.5
    return ops.matmul(ops.expand_dims(multipliers, 1) * (x_signs * scale), ops.transpose(y_signs))


TERMS = {
    layers.FisherVectorHead: _fisher_terms,
    layers.FisherMaclaurin: _maclaurin_terms,
    layers.BilinearPooling: _bilinear_terms,
    layers.RandomMaclaurin: _random_maclaurin_terms,
    layers.AveragePooling: _average_terms,
    layers.VLAD: _vlad_terms,
}
