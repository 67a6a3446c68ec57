"""What tells one Keras model from another: SHA-256 of its weights, and of its architecture."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

# Keys of a configuration that are no architecture.
_PASSING = ("trainable", "compile_config", "shared_object_id")


def weights_digest(model: keras.Model) -> str:
    """SHA-256 of the values of a model's weights, in their order; 64 hexadecimal digits."""
    import numpy as np
    from keras import ops

    digest = hashlib.sha256()
    for variable in model.weights:
        digest.update(np.ascontiguousarray(ops.convert_to_numpy(variable)).data)
    return digest.hexdigest()


def architecture_digest(model: keras.Model) -> str:
    """SHA-256 of a model's configuration, whatever of it is frozen, or compiled; 64 hexadecimal digits.

    The names of its layers count: of a network that is built anew, those that Keras numbers are others.

    Raises:
        NotImplementedError, TypeError: for a model without a configuration.

    Example:
        >>> import keras
        >>> def network(activation):
        ...     layers = [keras.Input((2,), name="x"), keras.layers.Dense(3, activation, name="only")]
        ...     return keras.Sequential(layers, name="network")
        >>> one = architecture_digest(network("relu"))
        >>> one == architecture_digest(network("relu")), one == architecture_digest(network("tanh"))
        (True, False)
    """
    from keras import saving

    config = saving.serialize_keras_object(model)
    return hashlib.sha256(json.dumps(_lasting(config), sort_keys=True, default=str).encode()).hexdigest()


def _lasting(value: Any) -> Any:
    """A configuration without what a training or another process changes."""
    if isinstance(value, dict):
        return {key: _lasting(item) for key, item in value.items() if key not in _PASSING}
    return [_lasting(item) for item in value] if isinstance(value, list | tuple) else value
