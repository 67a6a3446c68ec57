"""Serving SavedModels: a server that speaks TensorFlow Serving's REST and gRPC protocols, and a client for either.

The client needs nothing but the library itself for REST. The server, and the client over gRPC, need the extra:
`pip install keras_fvvae[serving]`.
"""

import importlib

_HOMES = {
    "Client": "client",
    "ModelConfig": "settings",
    "Server": "server",
    "ServerSettings": "settings",
    "ServingError": "errors",
    "predict_on_server": "client",
    "read_models_config": "settings",
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


def __getattr__(name):
    # Imported at first use: the client must not wait for TensorFlow, nor need the server's extra.
    if name in _HOMES:
        return getattr(importlib.import_module(f"keras_fvvae.serving.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'keras_fvvae.serving' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
