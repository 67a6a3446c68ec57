"""Configurations and options written by version 0.1, in today's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# No two layers used one of the old names for different things.
OLD_NAMES = {
    "dimension": "output_dim",
    "components": "num_components",
    "count": "num_descriptors",
    "blocks": "num_blocks",
}


def with_new_names(config: Mapping[str, Any], normalization: str = "improved") -> dict[str, Any]:
    """A layer's configuration in which arguments of version 0.1 have their new names.

    Args:
        config: arguments of a constructor, of whatever version.
        normalization: what the flag `normalize=True` stood for in the layer.

    Raises:
        ValueError: for an argument given under both of its names.

    Example:
        >>> with_new_names({"dimension": 64, "seed": 3, "normalize": False})
        {'seed': 3, 'output_dim': 64, 'normalization': None}
    """
    config = dict(config)
    for old, new in {**OLD_NAMES, "normalize": "normalization"}.items():
        if old not in config:
            continue
        if new in config:
            raise ValueError(f"`{old}` is the former name of `{new}`: give one of them.")
        config[new] = config.pop(old)
        if old == "normalize":
            config[new] = normalization if config[new] else None
    return config
