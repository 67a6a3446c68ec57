"""Small helpers about shapes and dtypes of tensors."""

import math

import keras
from keras import ops


def at_least_float32(x):
    """Casts half-precision tensors to float32; float32 and float64 pass unchanged.

    Sums of squares over a map overflow float16 and lose bfloat16's eight bits, so losses, norms and Fisher vectors
    are computed on what this returns.
    """
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


def example_axes(x):
    """All axes of `x` but the first, as a tuple."""
    return tuple(range(1, len(x.shape)))


def example_size(x):
    """Number of entries per example of `x`: an integer where the shape is static, else a scalar tensor."""
    sides = x.shape[1:]
    if None not in sides:
        return math.prod(sides)
    return ops.prod(ops.stack([ops.convert_to_tensor(side, "int32") for side in ops.shape(x)[1:]]))
