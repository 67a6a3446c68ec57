"""The encoder of several branches: representations at several taps of one network, joined to one vector."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fvvae.layers import GramPCA
from keras_fvvae.models.encoder import Encoder
from keras_fvvae.models.fisher_encoder import FisherEncoder
from keras_fvvae.models.nested import require_parts
from keras_fvvae.ops.tensors import at_least_float32


@keras.saving.register_keras_serializable(package="keras_fvvae")
class JoinedEncoder(Encoder):
    """Represents images, or videos given as frames, at several taps of one network at once.

        v = [sqrt(w_1) v_1, ..., sqrt(w_n) v_n],    w_1 + ... + w_n = 1

    One forward pass of the backbone gives the activation maps of all taps, each branch its vector `v_i` of one of them.
    Inner products of joined vectors are the weighted mean of the branches' kernels (kernel fusion), so that one linear
    classifier weighs everything that the network knows. The raw vector is that of the branches, flattened, one after
    the other: it is averaged over frames as theirs are.

    Args:
        branches: `FisherEncoder`s of activation maps, without a backbone; at least two.
        backbone: model from images to a list of activation maps, that of each branch. It stays frozen.
        branch_weights: one positive number, or zero, a branch; they are divided by their sum. Default: equal, since
            vectors of unit length have kernels of one scale.
        compression: a `keras_fvvae.layers.GramPCA`, adapted on joined vectors; `None` (default) for none.
        **kwargs: `keras.Model` arguments (`name`, `dtype`).

    Call arguments:
        inputs: images, or videos of frames.
        mask: for videos, an optional boolean `(batch, frames)`; frames where it is false do not count.

    Input shape:
        Images `(batch, H, W, 3)` or videos `(batch, frames, H, W, 3)`.

    Output shape:
        `(batch, output_dim)`, the sum of the branches'; unit L2 norm where the branches' vectors have it.

    Raises:
        TypeError: for branches that are no `FisherEncoder`s, or a backbone that is no model.
        ValueError: for branches with a backbone of their own, for another number of maps or weights than branches, and
            for weights that are negative or all zero.

    Example:
        >>> import numpy as np
        >>> from keras_fvvae.layers import AveragePooling, BilinearPooling, VectorNormalization
        >>> images = keras.Input((8, 8, 3))
        >>> early = keras.layers.Conv2D(4, 3, strides=2)(images)
        >>> late = keras.layers.Conv2D(5, 3)(early)
        >>> branches = [
        ...     FisherEncoder(keras.layers.Reshape((-1, 4)), BilinearPooling(), VectorNormalization()),
        ...     FisherEncoder(keras.layers.Reshape((-1, 5)), AveragePooling(), VectorNormalization()),
        ... ]
        >>> encoder = JoinedEncoder(branches, keras.Model(images, [early, late]))
        >>> encoder(np.ones((2, 8, 8, 3), "float32")).shape
        TensorShape([2, 21])

    Reference:
        Kernel fusion: Qiu et al., CVPR 2017, Section 5.3, of frames and optical flow.
    """

    nested = ("branches", "backbone", "compression")

    def __init__(
        self,
        branches: Sequence[FisherEncoder],
        backbone: keras.Model,
        branch_weights: Sequence[float] | None = None,
        compression: GramPCA | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_parts(self, backbone=(backbone, keras.Model))
        branches = list(branches or ())
        for branch in branches:
            require_parts(self, branches=(branch, FisherEncoder))
            if branch.backbone is not None:
                raise ValueError("`branches` must have no backbone of their own: they share that of the encoder.")
        maps = len(backbone.outputs)
        if not 2 <= len(branches) == maps:
            raise ValueError(f"`branches` must be two or more, one a map. Received: {len(branches)}, and {maps} maps")
        weights = [1.0] * maps if branch_weights is None else [float(weight) for weight in branch_weights]
        if len(weights) != maps or min(weights) < 0 or not 0 < sum(weights) < math.inf:
            raise ValueError(f"`branch_weights` must be {maps} numbers, none negative, not all 0. Received: {weights}")
        self.branches = branches
        self.backbone = backbone
        self.branch_weights = tuple(weight / sum(weights) for weight in weights)
        self.compression = compression

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.check_rank(input_shape)
        for branch, output in zip(self.branches, self.backbone.outputs, strict=True):
            if not branch.built:
                branch.build(output.shape)
        self.raw_shape = (sum(math.prod(branch.raw_shape) for branch in self.branches),)
        if self.compression is not None and not self.compression.built:
            self.compression.build((None, self.uncompressed_dim))
        self.built = True

    def maps(self, images: Any) -> list[Any]:
        """The activation maps of images at the branches' taps, from one pass of the backbone."""
        return list(self.backbone(images, training=False))

    def raw_of_images(self, images: Any, training: bool = False) -> Any:
        """Raw vectors `(batch, n)` of images: those of the branches, flattened, one after the other."""
        pairs = zip(self.branches, self.maps(images), strict=True)
        raw = [at_least_float32(branch.raw_of_images(maps)) for branch, maps in pairs]
        return ops.concatenate([ops.reshape(one, (-1, math.prod(one.shape[1:]))) for one in raw], axis=1)

    def raw_of_branches(self, raw: Any) -> list[Any]:
        """The raw vectors `(batch, ...)` of each branch in those of the encoder."""
        ends = itertools.accumulate(math.prod(branch.raw_shape) for branch in self.branches)
        pairs = zip(itertools.pairwise([0, *ends]), self.branches, strict=True)
        return [ops.reshape(raw[:, start:end], (-1, *branch.raw_shape)) for (start, end), branch in pairs]

    def normalize_uncompressed(self, raw: Any) -> Any:
        """The joined vectors of raw vectors, before the compression."""
        pairs = zip(self.branches, self.raw_of_branches(raw), strict=True)
        return self.join([branch.normalize(one) for branch, one in pairs])

    def join(self, vectors: Sequence[Any]) -> Any:
        """Vectors of the branches `(batch, ...)` as one `(batch, n)`, each times the root of its weight."""
        return ops.concatenate([s * one for s, one in zip(self.scales, vectors, strict=True)], axis=1)

    @property
    def scales(self) -> list[float]:
        """Roots of the branches' weights, by which their vectors are multiplied."""
        return [math.sqrt(weight) for weight in self.branch_weights]

    def require_adapted(self, raw: Any) -> None:
        """Raises a `ValueError` where what normalises a branch's raw vectors was not adapted."""
        for branch, one in zip(self.branches, self.raw_of_branches(raw), strict=True):
            branch.require_adapted(one)

    @property
    def heads(self) -> list[keras.layers.Layer]:
        """The heads of the branches."""
        return [branch.head for branch in self.branches]

    @property
    def uncompressed_dim(self) -> int:
        """Entries of a representation before the compression, once built."""
        return sum(branch.output_dim for branch in self.branches)

    def with_compression(self, compression: GramPCA) -> JoinedEncoder:
        """A built encoder of the same branches whose vectors are compressed."""
        encoder = JoinedEncoder(self.branches, self.backbone, self.branch_weights, compression)
        encoder.build((None, *self.backbone.input.shape[1:]))
        return encoder

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "branch_weights": list(self.branch_weights)}
