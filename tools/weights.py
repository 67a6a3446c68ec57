"""`--backbone-weights` of a command: what it means by backbone. Needs no TensorFlow."""

from __future__ import annotations

from pathlib import Path

from keras_fvvae.tools.common.types import BACKBONE

from keras_fvvae.errors import WeightsError


def weights_by_backbone(values: tuple[str, ...]) -> str | dict[str | None, str | None] | None:
    """Weights of all backbones, or of each where `BACKBONE=WEIGHTS` names one; `none` is random weights.

    Args:
        values: what `--backbone-weights` gave; nothing: ImageNet's.

    Returns:
        One value for all, or a dictionary by backbone; `None` stands there for those that are not of the table.

    Raises:
        WeightsError: for a file that does not exist.

    Example:
        >>> weights_by_backbone(()), weights_by_backbone(("none",))
        ('imagenet', None)
        >>> weights_by_backbone(("none", "VGG19=imagenet"))["VGG16"]
    """
    chosen: dict[str | None, str | None] = {}
    for value in values:
        name, separator, weights = value.partition("=")
        if not separator or name not in BACKBONE.known():
            name, weights = None, value
        if weights.lower() not in ("imagenet", "none") and not Path(weights).is_file():
            raise WeightsError(f"The backbone weights {weights} are not a file. Check --backbone-weights.")
        chosen[name] = None if weights.lower() == "none" else weights
    if set(chosen) <= {None}:
        return chosen.get(None, "imagenet")
    default = chosen.pop(None, "imagenet")
    return {None: default, **dict.fromkeys(BACKBONE.known(), default), **chosen}


def weights_of(values: tuple[str, ...], backbone: str) -> str | None:
    """The weights of one backbone, see `weights_by_backbone`."""
    weights = weights_by_backbone(values)
    return weights.get(backbone, weights[None]) if isinstance(weights, dict) else weights
