"""One image or video whose linear scores are split over its frames and positions, a few views at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from keras import ops

from keras_fvvae.data.batch_sizes import backbone_batch_size
from keras_fvvae.data.views import Views
from keras_fvvae.explanations.contributions import score_split
from keras_fvvae.explanations.joined_split import JoinedScoreSplit
from keras_fvvae.explanations.positions import on_picture
from keras_fvvae.models import Encoder

# Views explained at a time: each holds a matrix of the size of its raw vector.
MAX_VIEWS = 16


class EncodedItem:
    """An image or a video, encoded once; memory does not grow with its frames but for the pictures and maps.

    Args:
        encoder: an `Encoder` that `keras_fvvae.explanations` can split.
        frames: resized frames `(n, *resize_to, channels)`, of an image one, values 0 to 255.
        views: `Views` of the training.

    Attributes:
        vector: `(1, dimension)`, its normalised vector.
        pictures: uint8 `(n, height, width, 3)`: the resized frames.
    """

    def __init__(self, encoder: Encoder, frames: np.ndarray, views: Views) -> None:
        self.encoder = encoder
        self.views = views
        self._pixels = views.crop(frames).numpy()
        # By the same operations as the parts, in the same batches, not compiled: where large parts of an entry cancel,
        # it has to be the sum of these very parts, or what is left of them is worth nothing.
        sums = sum(
            ops.convert_to_numpy(encoder.encode_raw(part)).sum(axis=0, dtype="float64") for part in self._parts()
        )
        self._raw = (sums / len(self._pixels))[np.newaxis].astype("float32")
        self.vector = ops.convert_to_numpy(encoder.normalize(self._raw))
        self.pictures = np.clip(np.round(frames[..., :3]), 0, 255).astype("uint8")

    def split(self, weights: np.ndarray) -> tuple[np.ndarray, float, list[float]]:
        """The parts of the score `weights . vector`.

        Args:
            weights: `(dimension,)`.

        Returns:
            Maps `(n, H, W)` over the resized frames; the constant part, see `ScoreSplit.split`: it and the maps add up
            to the score; and of an encoder with several branches what each contributes, else nothing.
        """
        parts_of_maps, branches = [], np.zeros(len(self.encoder.heads))
        count = len(self._pixels)
        for part in self._parts():
            raw = np.repeat(self._raw, len(part), axis=0)
            split = score_split(self.encoder, ops.convert_to_tensor(part), raw=raw)
            parts, constant = split.split(np.repeat(weights[None], len(part), axis=0))
            parts_of_maps.append(ops.convert_to_numpy(split.maps(parts)) / count)
            if isinstance(split, JoinedScoreSplit):
                branches += [float(ops.sum(own)) / count for own in split.parts_of_branches(parts)]
        maps = np.concatenate(parts_of_maps)
        maps = on_picture(ops.convert_to_tensor(maps.reshape(len(self.pictures), -1, *maps.shape[1:])), self.views)
        return ops.convert_to_numpy(maps), float(constant[0]), branches.tolist() if len(branches) > 1 else []

    def _parts(self) -> Iterator[np.ndarray]:
        """The views, as many as are explained at a time."""
        size = min(MAX_VIEWS, backbone_batch_size(self.views.size))
        for start in range(0, len(self._pixels), size):
            yield self._pixels[start : start + size]
