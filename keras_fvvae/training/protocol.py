"""What a training does, in the words that stand beside its numbers."""

from __future__ import annotations

from keras_fvvae.data import Collection
from keras_fvvae.data.collection import SPLITS
from keras_fvvae.recipes import Recipe

_MODALITIES = {"rgb": "RGB", "flow": "optical flow", "flow_stack": "stacked optical flow"}


def protocol(recipe: Recipe, collection: Collection) -> str:
    """What is trained and tested on what; `collection` holds the items that are used."""
    train, test = (len(collection.indices(split)) for split in SPLITS)
    kind = collection.kind
    height, width = recipe.input_size
    size = f"{height}x{width}"
    if recipe.resize_to:
        size += f" of {recipe.resize_to[0]}x{recipe.resize_to[1]}"
    tap = f" ({', '.join(recipe.branch_recipes)})" if recipe.branches else f" {recipe.tap}" if recipe.tap else ""
    network = f"{_what(recipe, kind)}{recipe.backbone}{tap}"
    if recipe.fine_tune_steps:
        network += f" fine-tuned for {recipe.fine_tune_steps} steps"
    network += f", {size} ({recipe.resize}), {'ten crops' if recipe.crops == 'ten' else 'one crop'}"
    if not collection.class_names:
        return f"{train} training {kind}s without labels; {network}; Fisher statistics from them"
    return (
        f"{train} training and {test} test {kind}s of {len(collection.class_names)} classes; {network}; Fisher "
        f"statistics and SVM (C = {recipe.svm_c:g}) from the training {kind}s only"
    )


def _what(recipe: Recipe, kind: str) -> str:
    if kind == "image":
        return ""
    frames = f"every {recipe.frame_step}. frame" if recipe.frame_step else f"{recipe.frames} frames"
    method = "" if recipe.modality == "rgb" else f" ({recipe.flow_method}, +-{recipe.flow_bound:g} pixels)"
    return f"{_MODALITIES[recipe.modality]}{method}, {frames} a video; "
