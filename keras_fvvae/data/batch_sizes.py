"""How many images or videos are read, and how many views computed, at once: memory stays flat over their sizes."""

from __future__ import annotations

from collections.abc import Sequence

from keras_fvvae.data.views import Views

# Pixels that go through the backbone at once: 10 images of 448x448, whose first VGG layer takes 0.5 GB of activations.
PIXELS_PER_BATCH = 2_000_000
MAX_BATCH = 128


def backbone_batch_size(input_size: Sequence[int]) -> int:
    """Views that go through a backbone at once, so that memory stays flat over input sizes."""
    return max(1, min(MAX_BATCH, PIXELS_PER_BATCH // (input_size[0] * input_size[1])))


def items_per_batch(views: Views, kind: str) -> int:
    """Images or videos decoded together, so that their views are about one batch for the backbone."""
    return max(1, backbone_batch_size(views.size) // views.per_item(kind))
