"""Where a score comes from: its exact split over descriptors, frames and positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_fvvae import layers
from keras_fvvae.explanations.positions import on_map
from keras_fvvae.explanations.terms import TERMS, can_explain
from keras_fvvae.models import FisherEncoder
from keras_fvvae.ops.tensors import at_least_float32


class ScoreSplit:
    """Encodes inputs once, and splits any linear score of their vectors over descriptors.

    Args:
        encoder: a built `keras_fvvae.models.FisherEncoder`.
        inputs: images `(batch, H, W, 3)`, or videos `(batch, frames, H, W, 3)`.
        mask: for videos, an optional boolean `(batch, frames)`.
        raw: raw vectors `(batch, ...)` of the items that the inputs, which are images then, are views of: the frames of
            a long video piece by piece, for example. Divide the parts by the number of all views of the item. Default:
            the inputs' own.

    Raises:
        TypeError: for a representation whose score is not split.
    """

    def __init__(self, encoder: FisherEncoder, inputs: Any, mask: Any = None, raw: Any = None) -> None:
        if not can_explain(encoder.head):
            known = ", ".join(kind.__name__ for kind in TERMS)
            raise TypeError(
                f"Scores of `{type(encoder.head).__name__}` are not split over descriptors; those of {known} are, "
                "where the layer itself does not normalise."
            )
        self.encoder = encoder
        shape = tuple(inputs.shape)
        self.frames = ops.shape(inputs)[1] if len(shape) == 5 else None
        images = ops.reshape(inputs, (-1, *shape[-3:])) if self.frames is not None else inputs
        self.descriptors = encoder.compute_descriptors(images)
        self.map_shape = shape[-3:-1] if encoder.backbone is None else tuple(encoder.backbone.output.shape[1:3])
        raw = encoder.head(self.descriptors) if raw is None else ops.convert_to_tensor(raw)
        self.keep = None
        if self.frames is not None:
            raw = ops.reshape(raw, (-1, self.frames, *raw.shape[1:]))
            # Shares of the frames in the video's mean.
            self.keep = ops.ones(ops.shape(raw)[:2], raw.dtype) if mask is None else ops.cast(mask, raw.dtype)
            self.shares = self.keep / ops.maximum(ops.sum(self.keep, axis=1, keepdims=True), 1)
            raw = ops.sum(_where_kept(self.keep, _scaled(raw, self.shares)), axis=1)
        self.raw = at_least_float32(raw)
        self._normalized, self._multiply = _normalized(encoder.normalization, self.raw)
        self._flat = ops.reshape(self._normalized, (-1, encoder.head.output_dim))
        self.vectors = self._flat if encoder.compression is None else encoder.compression(self._flat)

    def split(self, weights: Any) -> tuple[Any, Any]:
        """The parts of the scores `weights . vectors`.

        Args:
            weights: tensor `(batch, dimension)`: each example's weights, those of its class.

        Returns:
            Tuple: parts `(batch, T)` or `(batch, frames, T)`, and `(batch,)` the constant part of the score that no
            descriptor makes: zero, but for representations compressed by PCA, which subtracts a mean. Both together add
            up to the score without the bias.
        """
        weights, constant = before_compression(self.encoder.compression, self._flat, self.vectors, weights)
        multipliers = self._multipliers(weights)  # (batch, entries of a raw vector)
        parts = 0
        for left, right, matrix in TERMS[type(self.encoder.head)](self.encoder.head, self.descriptors, multipliers):
            if self.frames is not None:
                left, right = (ops.reshape(x, (-1, self.frames * x.shape[1], x.shape[2])) for x in (left, right))
            parts += ops.sum(left * ops.matmul(right, ops.swapaxes(matrix, 1, 2)), axis=-1)
        if self.frames is not None:
            parts = ops.reshape(parts, (-1, self.frames, self.count))
            parts = _where_kept(self.keep, _scaled(parts, self.shares))
        return parts, constant

    @property
    def count(self) -> int:
        """T: how many descriptors an image has."""
        return _count(self.descriptors)

    def maps(self, parts: Any) -> Any:
        """Parts of descriptors `(..., T)` as maps `(..., H, W)`, see `keras_fvvae.explanations.positions.on_map`."""
        descriptors = self.encoder.descriptors
        chain = getattr(descriptors, "layers", None) or [descriptors]
        levels = next((one.levels for one in chain if isinstance(one, layers.SpatialPyramidPooling)), None)
        return on_map(parts, self.map_shape, levels)

    def _multipliers(self, weights: Any) -> Any:
        """What every entry of a raw vector is multiplied with to give its part of the score."""
        normalization, raw, normalized = self.encoder.normalization, self.raw, self._normalized
        weights = ops.reshape(weights, ops.shape(raw))
        information = getattr(normalization, "information", None)
        if information == "diagonal":
            scale = ops.cast(normalization.scale, raw.dtype)
            multipliers = weights * _ratio(normalized, raw * scale) * scale
        elif information == "kronecker":
            left, right = (ops.cast(one, raw.dtype) for one in (normalization.left, normalization.right))
            whitened = ops.matmul(ops.matmul(left, raw), right)
            ratio = weights * _ratio(normalized, whitened)
            multipliers = ops.matmul(ops.matmul(ops.transpose(left), ratio), ops.transpose(right))
        elif isinstance(normalization, layers.SpectralNormalization):
            shape = (-1, *normalization.matrix_shape(raw.shape))
            matrices, after, weights = (ops.reshape(one, shape) for one in (raw, normalized, weights))
            multipliers = _of_square_root(matrices, after, weights, self._multiply)
        else:
            multipliers = weights * _ratio(normalized, raw)
        return ops.reshape(multipliers, (-1, self.encoder.head.output_dim))


def before_compression(pca: layers.GramPCA | None, vectors: Any, compressed: Any, weights: Any) -> tuple[Any, Any]:
    """Weights of vectors that give the same scores as weights of what PCA made of them, and the constant beside it.

    Args:
        pca: what compressed them; `None`: nothing did.
        vectors: `(batch, n)`.
        compressed: `(batch, m)`, what it made of them.
        weights: `(batch, m)`.
    """
    weights = ops.cast(weights, compressed.dtype)
    if pca is None:
        return weights, ops.zeros_like(weights[:, 0])
    directions, mean = (ops.cast(one, vectors.dtype) for one in (pca.directions, pca.mean))
    projected = ops.matmul(vectors - mean, directions)
    weights = ops.matmul(weights * _ratio(compressed, projected), ops.transpose(directions))
    return weights, -ops.matmul(weights, mean)


def _normalized(normalization: Any, raw: Any) -> tuple[Any, Any]:
    """Normalised raw vectors, and of a matrix square root what made it, whose decomposition is costly."""
    if isinstance(normalization, layers.SpectralNormalization):
        return normalization.normalize_and_multiplier(raw)
    return normalization(raw), None


def _of_square_root(matrices: Any, after: Any, weights: Any, multiply: Callable[[Any], Any]) -> Any:
    """Of the matrix square root `R F`, or `F R`, with `F` held: it splits over descriptors as `R` does."""
    # F is symmetric: multiplied on the same side, it goes from the root's entries back to the matrix's.
    return multiply(weights * _ratio(after, multiply(matrices)))


def _ratio(after: Any, before: Any) -> Any:
    """`after / before`, and 0 where there is nothing."""
    is_zero = before == 0
    return ops.where(is_zero, ops.zeros_like(after), after / ops.where(is_zero, ops.ones_like(before), before))


def _scaled(values: Any, shares: Any) -> Any:
    return values * ops.reshape(shares, (*ops.shape(shares), *[1] * (len(values.shape) - 2)))


def _where_kept(keep: Any, values: Any) -> Any:
    """Values of frames that count; others may hold anything, NaN included, and become 0."""
    keep = ops.reshape(keep > 0, (*ops.shape(keep), *[1] * (len(values.shape) - 2)))
    return ops.where(keep, values, ops.zeros_like(values))


def _count(descriptors: Any) -> int:
    """T of descriptors `(batch, T, C)`, or positions of a map `(batch, H, W, C)`."""
    first = descriptors[0] if isinstance(descriptors, list | tuple) else descriptors
    return first.shape[1] if len(first.shape) == 3 else first.shape[1] * first.shape[2]
