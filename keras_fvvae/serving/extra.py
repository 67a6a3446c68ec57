"""Whether the extra `grpc` is installed."""

import importlib.util

# What it brings; REST, the page and the metrics need none of it.
GRPC = ("grpc", "tensorflow_serving")


def has_grpc() -> bool:
    """Whether the extra `grpc` is installed."""
    return all(importlib.util.find_spec(name) for name in GRPC)
