"""Which model's vectors a served model makes, as its export tells whoever asks for its metadata.

As the sampling of frames (`keras_fvvae.serving.sampling`) it stands in the map of signatures as one that nobody can
call, whose `method_name` is a text in JSON: what an index keeps of the encoding of its items.

    {"model": "<SHA-256 of model.keras>", "kind": "image", "views": {"size": [448, 448], ...}}
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from keras_fvvae.utils.text import TextError, parse_json

if TYPE_CHECKING:
    from keras_fvvae.serving.searching.interface import ServedIndex

ENCODER = "__encoder__"


def encoder_text(digest: str, kind: str, views: dict[str, Any]) -> str:
    """The text of an encoder.

    Args:
        digest: SHA-256 of its `model.keras`.
        kind: `"image"` or `"video"`.
        views: `keras_fvvae.data.Views.settings`.

    Example:
        >>> encoder_text("0a", "image", {"size": (8, 8)})
        '{"model": "0a", "kind": "image", "views": {"size": [8, 8]}}'
    """
    return json.dumps({"model": digest, "kind": kind, "views": views})


def read_encoder(text: str) -> dict[str, Any] | None:
    """What such a text tells; `None` of what cannot be understood.

    Example:
        >>> read_encoder('{"model": "0a", "kind": "image", "views": {}}')
        {'model': '0a', 'kind': 'image', 'views': {}}
        >>> read_encoder("tensorflow/serving/predict") is None
        True
    """
    try:
        content = parse_json(text)
    except TextError:
        return None
    return content if isinstance(content, dict) else None


def why_not_searched(index: ServedIndex, encoder: dict[str, Any] | None) -> str:
    """Why the vectors of a served model cannot be searched for in an index, in words; empty where they can.

    Args:
        index: the index.
        encoder: what the export tells (`read_encoder`).
    """
    if encoder is None:
        return "it does not tell which model it was exported from; export a run, without --pca, anew"
    if what := index.difference(encoder):
        made_by = "vectors of an unknown model" if index.model is None else f"those of {index.model}"
        return (
            f"it makes vectors of {what} than those in {index.path}, which holds {made_by}; build an index with its run"
        )
    return ""
