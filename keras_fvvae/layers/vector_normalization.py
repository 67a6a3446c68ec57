"""Normalisation of vectors that are sums over descriptors: signed square root, unit blocks, unit length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.layers.old_names import with_new_names
from keras_fvvae.ops import normalization
from keras_fvvae.ops.tensors import at_least_float32, at_least_float32_dtype

STEPS = ("square_root", "blocks", "l2")


@keras.saving.register_keras_serializable(package="keras_fvvae")
class VectorNormalization(keras.layers.Layer):
    """Normalises raw vectors step by step, in the order given.

        "square_root"  sign(v) sqrt(|v|) of every entry
        "blocks"       every one of `num_blocks` equal parts, such as a centroid's residual, to unit L2 norm
        "l2"           the whole to unit L2 norm

    What `FisherNormalization` is for FV-VAE, this is for the representations it is compared with: raw vectors are sums
    over descriptors, so that a video's is the mean over its frames, and what is not linear comes afterwards.

    Args:
        steps: names of the steps. Default: signed square root, then unit norm, as for bilinear pooling and GMM Fisher
            vectors. VLAD takes `("square_root", "blocks", "l2")`, NetVLAD `("blocks", "l2")`, cross-layer pooling
            `("blocks", "square_root", "l2")`.
        num_blocks: number of parts. Default 1.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Input shape:
        `(batch, n)`, where `num_blocks` divides `n`.

    Output shape:
        That of the input. Zeros stay zeros and pass no gradient through the square root.

    Raises:
        ValueError: for unknown steps, no positive number of blocks, or one that does not divide the vectors.

    Example:
        >>> import numpy as np
        >>> layer = VectorNormalization(("blocks", "l2"), num_blocks=2)
        >>> vectors = layer(np.array([[3.0, 4.0, 0.0, 5.0]], "float32"))
        >>> [round(float(value), 3) for value in vectors[0]]
        [0.424, 0.566, 0.0, 0.707]

    Reference:
        Perronnin et al., ECCV 2010; Arandjelovic and Zisserman, "All about VLAD", CVPR 2013 (blocks).
    """

    def __init__(self, steps: str | Sequence[str] = ("square_root", "l2"), num_blocks: int = 1, **kwargs: Any) -> None:
        # Sums over descriptors exceed float16: under mixed precision they must not be narrowed on the way in.
        super().__init__(autocast=False, **kwargs)
        steps = (steps,) if isinstance(steps, str) else tuple(steps)
        if unknown := [step for step in steps if step not in STEPS]:
            raise ValueError(f"`steps` must be names of {STEPS}. Received: {unknown[0]!r}")
        if not isinstance(num_blocks, int) or num_blocks < 1:
            raise ValueError(f"`num_blocks` must be a positive integer. Received: num_blocks={num_blocks!r}")
        self.steps = steps
        self.num_blocks = num_blocks

    def build(self, input_shape: Sequence[int | None]) -> None:
        if len(input_shape) != 2 or input_shape[-1] is None or input_shape[-1] % self.num_blocks:
            raise ValueError(
                f"`VectorNormalization` expects vectors (batch, n), n a multiple of `num_blocks={self.num_blocks}`. "
                f"Received: shape={tuple(input_shape)}"
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        vectors = at_least_float32(ops.convert_to_tensor(inputs))
        for step in self.steps:
            if step == "square_root":
                vectors = normalization.signed_sqrt(vectors)
            elif step == "l2":
                vectors = normalization.l2_normalize(vectors, -1)
            else:
                parts = ops.reshape(vectors, (-1, self.num_blocks, vectors.shape[-1] // self.num_blocks))
                vectors = ops.reshape(normalization.l2_normalize(parts, -1), (-1, vectors.shape[-1]))
        return vectors

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Sequence[int | None]:
        return input_shape

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, at_least_float32_dtype(inputs.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "steps": list(self.steps), "num_blocks": self.num_blocks}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VectorNormalization:
        return super().from_config(with_new_names(config))
