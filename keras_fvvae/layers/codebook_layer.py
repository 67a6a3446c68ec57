"""The frame of encodings by a codebook that is fitted once and not trained: VLAD and the GMM Fisher vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.fitting.kmeans import draw_descriptors
from keras_fvvae.layers.adapted import AdaptedLayer
from keras_fvvae.layers.descriptor_inputs import channels_of, check_descriptors, wide_dtype
from keras_fvvae.ops import codebooks


class CodebookLayer(AdaptedLayer):
    """Encodes descriptors `(batch, T, C)` by a codebook of `num_entries` entries in `rows` rows of length C.

    A layer adds its weights in `build`, fits them in `adapt`, and gives the rows of its encoding in `encode`.
    """

    def __init__(
        self,
        num_entries: int,
        argument: str,
        normalization: str | Sequence[str] | None,
        improved: Sequence[str],
        allowed: Sequence[str],
        seed: int,
        **kwargs: Any,
    ) -> None:
        # Sums over descriptors, divided by variances or not, leave float16's range: not narrowed on the way in.
        super().__init__(autocast=False, **kwargs)
        if not isinstance(num_entries, int) or num_entries < 1:
            raise ValueError(f"`{argument}` must be a positive integer. Received: {argument}={num_entries!r}")
        self.steps = codebooks.normalization_steps(normalization, improved, allowed)
        self.normalization = normalization
        self.seed = seed
        self.supports_masking = True

    def finish_build(self, input_shape: Sequence[int | None]) -> None:
        """What follows the layer's own weights."""
        self.add_counter()
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: input_shape[-1]})
        self.built = True

    @property
    def num_rows(self) -> int:
        """Rows of an encoding."""
        raise NotImplementedError

    def encode(self, descriptors: Any, mask: Any) -> Any:
        """Rows `(batch, num_rows, C)` of descriptors in at least float32."""
        raise NotImplementedError

    @property
    def output_dim(self) -> int:
        """Length of the vectors; known once the layer has seen a shape."""
        return self.num_rows * channels_of(self)

    def drawn_or_all(self, data: Any, count: int | None, verbose: int) -> Any:
        """At most `count` descriptors, drawn evenly in one pass; the data themselves for `None`."""
        if count is None:
            return data
        return draw_descriptors(data, count, self.seed, verbose, lambda shape: check_descriptors(self, shape))

    def call(self, inputs: Any, mask: Any = None) -> Any:
        inputs = codebooks.require_fitted(inputs, self.seen, self.not_adapted_message)
        rows = self.encode(ops.cast(inputs, wide_dtype(self)), mask)
        return codebooks.normalize_encoding(rows, self.steps)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, int]:
        check_descriptors(self, input_shape)
        return (input_shape[0], self.num_rows * input_shape[-1])

    def compute_output_spec(self, inputs: Any, mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide_dtype(self))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "normalization": self.normalization, "seed": self.seed}
