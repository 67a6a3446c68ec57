"""What layers that encode descriptors share: checks of their inputs, and the dtype of their sums."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_fvvae.ops.tensors import at_least_float32_dtype


def wide_dtype(layer: keras.layers.Layer) -> str:
    """The dtype in which a layer sums over descriptors: its compute dtype, but at least float32."""
    return at_least_float32_dtype(layer.compute_dtype)


def check_descriptors(layer: keras.layers.Layer, shape: Sequence[int | None]) -> None:
    """Refuses, in one sentence, what is not `(batch, T, C)` with a known C."""
    if len(shape) != 3 or shape[-1] is None:
        raise ValueError(
            f"`{type(layer).__name__}` expects descriptors (batch, T, C) with a known number of channels C; reshape "
            f"activation maps to (batch, H * W, C) first. Received: shape={tuple(shape)}"
        )


def check_normalization(normalization: str | None, allowed: str = "improved") -> None:
    """Refuses what is not `None` or the one normalisation that a layer has."""
    if normalization not in (None, allowed):
        raise ValueError(f"`normalization` must be None or {allowed!r}. Received: normalization={normalization!r}")


def channels_of(layer: keras.layers.Layer) -> int:
    """Channels of the descriptors a layer was built for."""
    require_built(layer)
    return layer.input_spec.axes[-1]


def require_built(layer: keras.layers.Layer) -> None:
    """Refuses a question that only a built layer can answer."""
    if not layer.built:
        raise ValueError(
            f"`output_dim` depends on the channels of the input: call this `{type(layer).__name__}` once, or "
            "`build` it with an input shape, before asking."
        )
