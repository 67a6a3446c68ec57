"""The frame of compact bilinear pooling, and the random numbers of its projections."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_fvvae.layers.bilinear_pooling import BilinearPooling
from keras_fvvae.layers.old_names import with_new_names


class CompactBilinearPooling(BilinearPooling):
    """Bilinear pooling in `output_dim` numbers; a layer draws its projection in `build` and applies it in `pool`."""

    def __init__(self, output_dim: int, seed: int = 0, normalization: str | None = None, **kwargs: Any) -> None:
        super().__init__(normalization=normalization, **kwargs)
        check_projection(output_dim, seed)
        self._output_dim = output_dim
        self.seed = seed

    @property
    def output_dim(self) -> int:
        """Length of a representation."""
        return self._output_dim

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_dim": self.output_dim, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CompactBilinearPooling:
        return super().from_config(with_new_names(config))

    def length_of(self, x_channels: int, y_channels: int) -> int:
        """Length of a representation of streams with so many channels."""
        return self.output_dim


def check_projection(output_dim: int, seed: int) -> None:
    """Refuses what is not the size or the seed of a random projection."""
    if not isinstance(output_dim, int) or output_dim < 1:
        raise ValueError(f"`output_dim` must be a positive integer. Received: output_dim={output_dim!r}")
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"`seed` must be an integer, 0 or more. Received: seed={seed!r}")


def random_bits(seed: int, count: int) -> np.ndarray:
    """64-bit random numbers: the raw stream of PCG64, which NumPy keeps the same for good, unlike its distributions."""
    return np.random.PCG64(seed).random_raw(count)


def random_signs(bits: np.ndarray) -> np.ndarray:
    """-1 or 1 by the highest bit."""
    return np.where(bits >> np.uint64(63), 1.0, -1.0)
