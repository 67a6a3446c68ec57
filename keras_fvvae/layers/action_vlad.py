"""ActionVLAD: NetVLAD aggregated over space and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.layers.descriptor_inputs import wide_dtype
from keras_fvvae.layers.net_vlad import NetVLAD


@keras.saving.register_keras_serializable(package="keras_fvvae")
class ActionVLAD(NetVLAD):
    """Represents a video by residuals of all of its frames' descriptors from centroids: one bag over space and time.

        V_k = sum_f sum_t a_ftk (x_ft - c_k),    a_ftk = softmax_k(w_k . x_ft + b_k)

    then intra-normalisation, the L2 norm and, while training, dropout. The sum over frames comes before any
    normalisation, so a video is not the mean of its frames' NetVLAD vectors. Streams get a layer each; their vectors
    are joined by concatenation.

    Args:
        num_centroids: positive integer K. Default 64, the paper's.
        alpha: sharpness of the assignment at the start. Default 1000, the paper's, nearly hard; `None` takes it from
            the data in `adapt`.
        normalize_descriptors: as in `NetVLAD`.
        normalization: as in `NetVLAD`.
        dropout: share of the vector's entries dropped while training, the others scaled up. Default 0, none.
        seed: integer, for k-means, the sample it sees, the random start and dropout.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: descriptors of frames `(batch, F, T, C)`.
        mask: optional boolean `(batch, F)`; frames where it is false contribute nothing, as those that pad a short
            video.
        training: whether to drop out.

    Input shape:
        `(batch, F, T, C)`.

    Output shape:
        `(batch, K * C)`, centroid by centroid, of unit L2 norm (zero where nothing was aggregated).

    Raises:
        ValueError: for wrong arguments and inputs; when called eagerly with `alpha=None` before `adapt` or a load.

    Example:
        >>> import numpy as np
        >>> frames = np.random.default_rng(0).random((2, 5, 49, 16)).astype("float32")
        >>> layer = ActionVLAD(num_centroids=4)
        >>> layer.adapt([frames])
        >>> layer(frames, mask=[[True] * 5, [True] * 3 + [False] * 2]).shape
        TensorShape([2, 64])

    Reference:
        Girdhar, Ramanan, Gupta, Sivic, Russell: "ActionVLAD: Learning spatio-temporal aggregation for action
        classification", CVPR 2017, Eq. 1.
    """

    def __init__(
        self,
        num_centroids: int = 64,
        alpha: float | None = 1000.0,
        normalize_descriptors: bool = True,
        normalization: str | None = "improved",
        dropout: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_centroids, alpha, normalize_descriptors, normalization, seed, **kwargs)
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be at least 0 and below 1. Received: dropout={dropout!r}")
        self.dropout = dropout
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        vectors = self.aggregate(*_one_bag(inputs, mask))
        if training and self.dropout:
            vectors = keras.random.dropout(vectors, self.dropout, seed=self.seed_generator)
        return vectors

    def compute_output_spec(self, inputs: Any, mask: Any = None, training: bool | None = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide_dtype(self))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dropout": self.dropout}

    @property
    def rank(self) -> int:
        """Axes of the input."""
        return 4

    def check_shape(self, input_shape: Sequence[int | None]) -> None:
        """Refuses inputs of another shape."""
        if len(input_shape) != 4 or input_shape[-1] is None:
            raise ValueError(
                "`ActionVLAD` expects descriptors of frames (batch, F, T, C) with a known number of channels C; "
                f"reshape frames' maps to (batch, F, H * W, C) first. Received: shape={tuple(input_shape)}"
            )


def _one_bag(frames, mask):
    """Descriptors `(batch, F * T, C)` of all frames, and the mask of frames repeated for each of them."""
    batch, count, positions, channels = ops.shape(frames)
    descriptors = ops.reshape(frames, (batch, count * positions, channels))
    if mask is None:
        return descriptors, None
    mask = ops.cast(mask, "bool")
    if len(mask.shape) != 2:
        raise ValueError(f"`mask` must be boolean (batch, F), one per frame. Received: shape={tuple(mask.shape)}")
    repeated = ops.broadcast_to(ops.expand_dims(mask, -1), (batch, count, positions))
    return descriptors, ops.reshape(repeated, (batch, count * positions))
