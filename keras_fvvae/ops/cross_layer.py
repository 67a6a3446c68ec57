"""Cross-layer pooling: local features of one layer summed with the activations of the next one as weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_fvvae.ops import normalization
from keras_fvvae.ops.tensors import at_least_float32, clear_masked

# Norm below which a block counts as zero.
BLOCK_NORM_FLOOR = 1e-7
# Standard deviation below which a vector counts as constant.
DEVIATION_FLOOR = 1e-7


def guided_pool(features: Any, guidance: Any, mask: Any = None) -> Any:
    """Sums of local features weighted by every channel of the guidance, `P_k = sum_i x_i a_ik`.

    Args:
        features: tensor `(batch, T, C)`, `x_i`.
        guidance: tensor `(batch, T, K)`, `a_ik`.
        mask: optional boolean `(batch, T)`; positions where it is false contribute nothing, whatever they hold.

    Returns:
        Tensor `(batch, K, C)`; float32 even from half-precision inputs.
    """
    features = clear_masked(at_least_float32(features), mask)
    guidance = clear_masked(at_least_float32(guidance), mask)
    return ops.matmul(ops.swapaxes(guidance, 1, 2), features)


def matched_positions(side: Any, guidance_side: Any, kernel_size: int, strides: int) -> tuple[Any, Any, Any]:
    """Where the convolution between two maps looks, along one axis, without the positions that reach over the border.

    Position i of the second map sees the rows `i * strides - begin` to `i * strides - begin + kernel_size - 1` of the
    first, with `begin` the padding before the first row: what is needed, halved and rounded down (Keras's "same"), or
    none ("valid").

    Args:
        side: of the first map, integer or scalar tensor.
        guidance_side: of the second map, integer or scalar tensor.
        kernel_size: integer.
        strides: integer.

    Returns:
        Tuple of the row of the first map where the first whole region starts, its position on the second map, and the
        number of whole regions.
    """
    needed = (guidance_side - 1) * strides + kernel_size - side
    needed = max(needed, 0) if isinstance(needed, int) else ops.maximum(needed, 0)
    begin = needed // 2
    first = (begin + strides - 1) // strides
    last = (side - kernel_size + begin) // strides
    return first * strides - begin, first, last - first + 1


def regions(maps: Any, kernel_size: int, strides: int, counts: Sequence) -> Any:
    """Every whole region of a map as a vector: row by row of the region, column by column, channels last.

    Args:
        maps: tensor `(batch, H, W, C)`, from the first region's corner on.
        kernel_size: integer.
        strides: integer.
        counts: numbers of regions along both axes.

    Returns:
        Tensor `(batch, *counts, kernel_size * kernel_size * C)`.
    """
    rows, columns = ((count - 1) * strides + 1 for count in counts)
    shifted = [
        maps[:, i : i + rows : strides, j : j + columns : strides]
        for i in range(kernel_size)
        for j in range(kernel_size)
    ]
    return ops.concatenate(shifted, axis=-1)


def project_regions(maps: Any, directions: Any, mean: Any, kernel_size: int, strides: int) -> Any:
    """Every whole region of a map, relative to a mean region, along given directions: a convolution.

    Args:
        maps: tensor `(batch, H, W, C)`, from the first region's corner on.
        directions: tensor `(kernel_size * kernel_size * C, k)`, entries as in `regions`.
        mean: tensor `(kernel_size * kernel_size * C,)`.
        kernel_size: integer.
        strides: integer.

    Returns:
        Tensor `(batch, H', W', k)`.
    """
    kernel = ops.reshape(directions, (kernel_size, kernel_size, maps.shape[-1], directions.shape[-1]))
    projected = ops.conv(maps, kernel, strides=strides, padding="valid", data_format="channels_last")
    return projected - ops.squeeze(ops.matmul(ops.expand_dims(mean, 0), directions), 0)


def standardize(blocks: Any) -> Any:
    """Shifts and scales every example to mean zero and standard deviation one over its entries; constants to zero."""
    axes = (1, 2)
    centred = blocks - ops.mean(blocks, axis=axes, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=axes, keepdims=True)
    return centred * ops.rsqrt(ops.maximum(variance, DEVIATION_FLOOR**2))


def normalize_blocks(blocks: Any) -> Any:
    """Unit L2 norm of every block, then signed square root, then unit L2 norm of the whole; zeros stay zeros.

    Args:
        blocks: tensor `(batch, K, C)`.

    Returns:
        Tensor of the same shape.
    """
    squared_norm = ops.sum(ops.square(blocks), axis=-1, keepdims=True)
    blocks = blocks * ops.rsqrt(ops.maximum(squared_norm, BLOCK_NORM_FLOOR**2))
    return normalization.l2_normalize(normalization.signed_sqrt(blocks), axis=(1, 2))
