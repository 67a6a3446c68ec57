"""Serving SavedModels: a server that speaks TensorFlow Serving's REST and gRPC protocols, and a client for either.

The client needs nothing but the library itself for REST. The server, and the client over gRPC, need the extra:
`pip install keras_fvvae[serving]`.
"""

from keras_fvvae.utils.lazy import lazy_attributes

_HOMES = {
    "Client": "keras_fvvae.serving.client",
    "ModelConfig": "keras_fvvae.serving.settings",
    "Server": "keras_fvvae.serving.server",
    "ServerSettings": "keras_fvvae.serving.settings",
    "ServingError": "keras_fvvae.serving.errors",
    "predict_on_server": "keras_fvvae.serving.client",
    "read_models_config": "keras_fvvae.serving.settings",
}

__all__ = [
    "Client",
    "ModelConfig",
    "Server",
    "ServerSettings",
    "ServingError",
    "predict_on_server",
    "read_models_config",
]

# Imported at first use: the client must not wait for TensorFlow, nor need the server's extra.
__getattr__, __dir__ = lazy_attributes(__name__, _HOMES)
