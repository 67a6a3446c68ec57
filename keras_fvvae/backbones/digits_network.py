"""The small network of the embedded entry `digits_conv`."""

from __future__ import annotations

import keras


def digits_conv_net(
    input_shape: tuple[int | None, ...],
    weights: None = None,
    include_top: bool = False,
    filters: int = 64,
    strides: tuple[int, int, int] = (1, 1, 1),
) -> keras.Model:
    """A small network for digits: three 3x3 convolutions with `filters // 2`, `filters` and `filters` channels.

    Args:
        input_shape: `(height, width, channels)`.
        weights: there are none; as in Keras Applications.
        include_top: likewise: it has no top.
        filters: channels of the last two layers.
        strides: of the three.

    Example:
        >>> digits_conv_net((8, 8, 3), filters=4).output.shape
        (None, 8, 8, 4)
    """
    inputs = x = keras.Input(input_shape)
    for index, (width, stride) in enumerate(zip((filters // 2, filters, filters), strides, strict=True), start=1):
        x = keras.layers.Conv2D(width, 3, stride, padding="same", activation="relu", name=f"conv{index}")(x)
    return keras.Model(inputs, x)
