"""What layers that encode descriptors share: checks of their inputs, and the dtype of their sums."""

from keras_fvvae.ops.tensors import at_least_float32_dtype


def wide_dtype(layer):
    """The dtype in which a layer sums over descriptors: its compute dtype, but at least float32."""
    return at_least_float32_dtype(layer.compute_dtype)


def check_descriptors(layer, shape):
    """Refuses, in one sentence, what is not `(batch, T, C)` with a known C."""
    if len(shape) != 3 or shape[-1] is None:
        raise ValueError(
            f"`{type(layer).__name__}` expects descriptors (batch, T, C) with a known number of channels C; reshape "
            f"activation maps to (batch, H * W, C) first. Received: shape={tuple(shape)}"
        )


def channels_of(layer):
    """Channels of the descriptors a layer was built for."""
    require_built(layer)
    return layer.input_spec.axes[-1]


def require_built(layer):
    """Refuses a question that only a built layer can answer."""
    if not layer.built:
        raise ValueError(
            f"`output_dimension` depends on the channels of the input: call this `{type(layer).__name__}` once, or "
            "`build` it with an input shape, before asking."
        )
