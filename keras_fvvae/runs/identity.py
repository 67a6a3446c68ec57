"""What tells one training from another: its settings, its data and the weights it starts from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_fvvae.data import Collection
    from keras_fvvae.recipes import Recipe


def data_identity(collection: Collection, weights_source: str | None) -> dict[str, Any]:
    """What a run notes of its data: their kind, a digest of items, labels and splits, and the backbone's weights."""
    return {"kind": collection.kind, "items": _fingerprint(collection), "backbone_weights": weights_source}


def differences(old: Recipe, new: Recipe, old_data: dict[str, Any], new_data: dict[str, Any]) -> list[str]:
    """How one training differs from another, in words; empty where they are the same.

    Raises:
        KeyError, TypeError: if what was noted of the data is incomplete.
    """
    before, after = dataclasses.asdict(old), dataclasses.asdict(new)
    pairs = ((key, before[key], after[key]) for key in before)
    found = [f"{key} = {a!r}, now {b!r}" for key, a, b in pairs if json.dumps(a) != json.dumps(b)]
    if old_data["items"] != new_data["items"]:
        found.append(f"other {new_data['kind']}s, labels or splits")
    if old_data["backbone_weights"] != new_data["backbone_weights"]:
        found.append("other backbone weights")
    return found


def _fingerprint(collection: Collection) -> str:
    keys = (collection.key(index) for index in range(len(collection)))
    rows = zip(collection.names, collection.labels.tolist(), collection.splits.tolist(), keys, strict=True)
    return hashlib.sha256(json.dumps([collection.class_names, *rows]).encode()).hexdigest()
