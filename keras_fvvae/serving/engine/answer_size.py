"""How large an answer is, before it is computed: a small request can ask for far more than memory holds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from keras_fvvae.serving.errors import invalid

if TYPE_CHECKING:
    import numpy as np

    from keras_fvvae.serving.engine.signatures import Signature

# Of a number as JSON at most: sign, 17 digits, point, exponent, and what separates it from the next.
JSON_NUMBER_BYTES = 24


def expected_bytes(signature: Signature, inputs: dict[str, np.ndarray], number_bytes: int | None = None) -> int:
    """Bytes of a signature's outputs, as far as it tells their shapes.

    Args:
        signature: a `Signature`.
        inputs: of the request; they fit it.
        number_bytes: that a number takes in the answer. Default: those of its dtype.
    """
    rows = len(next(iter(inputs.values()))) if signature.batchable else 1
    total = 0
    for spec in signature.outputs.values():
        sides = spec.shape and (spec.shape[1:] if signature.batchable else spec.shape)
        if sides is not None and -1 not in sides:
            each = 1 if spec.dtype.name == "string" else number_bytes or spec.dtype.size
            total += rows * math.prod(sides) * each
    return total


def actual_bytes(outputs: dict[str, np.ndarray], number_bytes: int | None = None) -> int:
    """Bytes of outputs, as in `expected_bytes`."""
    return sum(
        sum(map(len, value.reshape(-1))) if value.dtype == object else value.size * (number_bytes or value.itemsize)
        for value in outputs.values()
    )


def check_size(size: int, limit: int) -> None:
    """Refuses an answer that is too large.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    if size > limit:
        raise invalid(
            f"The answer would take {size:,} bytes, more than the limit of {limit:,}: send fewer examples a request."
        )
