"""Scaling of activations before they become descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_fvvae.ops import normalization

SCHEMES = ("map", "descriptor", "none")


@keras.saving.register_keras_serializable(package="keras_fvvae")
class DescriptorNormalization(keras.layers.Layer):
    """Brings activations to a common scale before they are pooled and encoded (Section 5.2, "VAE optimization").

    The paper's text says "L2 normalization on each convolutional activation"; the authors' release normalises the
    whole map with one norm and scales it by 158 for 7x7x512, which is `sqrt(H * W * C)` rounded down. The default
    follows the release: descriptors keep their relative magnitudes, and their entries have a mean square of one. It is
    also the more accurate (docs/theory.md).

    Args:
        scheme: `"map"` (default): L2 norm of the whole example becomes `scale`; `"descriptor"`: every descriptor
            becomes unit length; `"none"`: nothing is changed.
        scale: norm of a whole example under `"map"`. Default `None`: `sqrt(H * W * C)`. The released weights were
            trained with exactly 158.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Input shape:
        `(batch, H, W, C)` or `(batch, T, C)`.

    Output shape:
        That of the input. All-zero maps and descriptors stay zero.

    Raises:
        ValueError: for an unknown scheme, or a scale that is not positive or not used by the scheme.

    Example:
        >>> import numpy as np
        >>> maps = np.random.default_rng(0).normal(size=(2, 7, 7, 16)).astype("float32")
        >>> scaled = DescriptorNormalization("map")(maps)
        >>> bool(np.allclose(np.mean(np.square(scaled), axis=(1, 2, 3)), 1.0, atol=1e-5))
        True

    Reference:
        Qiu et al., CVPR 2017, Section 5.2, and the authors' released code.
    """

    def __init__(self, scheme: str = "map", scale: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if scheme not in SCHEMES:
            raise ValueError(f"`scheme` must be one of {SCHEMES}. Received: scheme={scheme!r}")
        if scale is not None and (scheme != "map" or not scale > 0):
            raise ValueError(
                f"`scale` must be positive and goes with `scheme='map'`. Received: scale={scale}, scheme={scheme!r}"
            )
        self.scheme = scheme
        self.scale = scale

    def call(self, inputs: Any) -> Any:
        if self.scheme == "map":
            return normalization.normalize_example(inputs, self.scale)
        if self.scheme == "descriptor":
            return normalization.l2_normalize(inputs, axis=-1)
        return inputs

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Sequence[int | None]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scheme": self.scheme, "scale": self.scale}
