"""Where a score of joined vectors comes from: its exact split over taps, and at each over descriptors and positions."""

from __future__ import annotations

import itertools
from typing import Any

from keras import ops

from keras_fvvae.explanations.positions import on_grid
from keras_fvvae.explanations.score_split import ScoreSplit, before_compression
from keras_fvvae.models import JoinedEncoder


class JoinedScoreSplit:
    """Encodes inputs once, and splits any linear score of their joined vectors over the branches' descriptors.

    A score of joined vectors is a sum of scores of the branches' vectors, `w . v = sum_i (sqrt(w_i) u_i) . v_i`, and
    each of these is split by a `ScoreSplit`. Nothing is left over: the parts add up as those do.

    Args:
        encoder: a built `keras_fvvae.models.JoinedEncoder`.
        inputs, mask, raw: as of `ScoreSplit`.

    Attributes:
        vectors: `(batch, dimension)`, the joined vectors.
        splits: the `ScoreSplit` of each branch.

    Raises:
        TypeError: for a branch whose score is not split.
    """

    def __init__(self, encoder: JoinedEncoder, inputs: Any, mask: Any = None, raw: Any = None) -> None:
        self.encoder = encoder
        shape = tuple(inputs.shape)
        if len(shape) == 5:
            frames = ops.shape(inputs)[1]
            maps = encoder.maps(ops.reshape(inputs, (-1, *shape[-3:])))
            maps = [ops.reshape(one, (-1, frames, *one.shape[1:])) for one in maps]
        else:
            maps = encoder.maps(inputs)
        whole = [None] * len(maps) if raw is None else encoder.raw_of_branches(ops.convert_to_tensor(raw))
        branches = zip(encoder.branches, maps, whole, strict=True)
        self.splits = [ScoreSplit(branch, one, mask, own) for branch, one, own in branches]
        self._flat = encoder.join([split.vectors for split in self.splits])
        self.vectors = self._flat if encoder.compression is None else encoder.compression(self._flat)

    def split(self, weights: Any) -> tuple[Any, Any]:
        """The parts of the scores `weights . vectors`.

        Args:
            weights: tensor `(batch, dimension)`: each example's weights, those of its class.

        Returns:
            Tuple: parts `(batch, T)` or `(batch, frames, T)`, the descriptors of one branch after those of the other,
            and `(batch,)` the constant part of the score, as of `ScoreSplit.split`.
        """
        weights, constant = before_compression(self.encoder.compression, self._flat, self.vectors, weights)
        parts, start = [], 0
        for split, branch, scale in zip(self.splits, self.encoder.branches, self.encoder.scales, strict=True):
            end = start + branch.output_dim
            own, own_constant = split.split(scale * weights[:, start:end])
            parts.append(own)
            constant = constant + own_constant
            start = end
        return ops.concatenate(parts, axis=-1), constant

    def parts_of_branches(self, parts: Any) -> list[Any]:
        """The parts `(..., T)` of each branch's descriptors."""
        ends = itertools.accumulate(split.count for split in self.splits)
        return [parts[..., start:end] for start, end in itertools.pairwise([0, *ends])]

    def maps(self, parts: Any) -> Any:
        """Parts of descriptors `(..., T)` as maps `(..., H, W)`, those of all branches added on the finest grid.

        A cell of a coarser map is shared among those of the finest that it overlaps: sums stay as they are.
        """
        maps = [split.maps(own) for split, own in zip(self.splits, self.parts_of_branches(parts), strict=True)]
        finest = tuple(max(one.shape[axis] for one in maps) for axis in (-2, -1))
        return sum(on_grid(one, finest) for one in maps)
